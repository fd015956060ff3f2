# What comes from the package archive: build dependencies, QEMU, and files of packages that are only unpacked.
# Releases that the machine has no source line for are read through a private apt configuration in the cache;
# nothing below /etc/apt is changed. The archive's address is the one that the machine itself is configured with.
# shellcheck shell=bash

PACKAGES_BUILD="build-essential bison flex acpica-tools python3-dev python3-setuptools libncurses-dev uuid-dev zlib1g-dev
    libyajl-dev libglib2.0-dev libpixman-1-dev pkg-config gettext bc git cpio xz-utils zstd busybox-static kmod e2fsprogs patch"
PACKAGES_RUST="rustc-web cargo-web rust-web-src"
QEMU_MIN_MAJOR=10

release_codename() { . /etc/os-release; printf '%s' "${VERSION_CODENAME:-}"; }

# The address of the machine's main archive (not its security archive), whatever mirror that is.
archive_uri() {
    local uri
    uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(IDENTIFIER)' |
        awk -v code="$(release_codename)" '$2 == code && $3 == "Packages" { print $1; exit }')
    [ -n "$uri" ] || die "apt knows no archive for $(release_codename); run apt-get update first"
    printf '%s' "$uri"
}

# private_apt RELEASE: sets APT_PRIVATE, the options that make apt-get use RELEASE besides the machine's own one.
private_apt() {
    local release=$1 dir=$CACHE/apt/$1 uri keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/parts"
    uri=$(archive_uri)
    {
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$(release_codename)"
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$release"
        printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$release"
    } >"$dir/sources.list"
    APT_PRIVATE=(-q -o "Dir::Etc::SourceList=$dir/sources.list" -o "Dir::Etc::SourceParts=$dir/parts"
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=root"
        -o "Acquire::Retries=3")
    if [ -z "$(find "$dir/updated" -mmin -1440 2>/dev/null)" ]; then
        quietly "$dir/update.log" apt-get "${APT_PRIVATE[@]}" update
        touch "$dir/updated"
    fi
}

# qemu_major BINARY: its major version, 0 where there is none.
qemu_major() {
    command -v "$1" >/dev/null || { echo 0; return; }
    "$1" --version | sed -n '1s/.*version \([0-9]*\).*/\1/p'
}

install_packages() {
    local missing=() package
    for package; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep 'ok installed' >/dev/null || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    say "installing ${missing[*]}"
    # Lists that are missing, or older than what is installed, cannot resolve its dependencies: then fresh ones are needed.
    apt_install "${missing[@]}" || { as_root apt-get -q update && apt_install "${missing[@]}"; }
}

apt_install() { DEBIAN_FRONTEND=noninteractive as_root apt-get -q -y --no-install-recommends install "$@"; }

install_qemu() {
    [ "$(qemu_major "${XENLR_QEMU:-qemu-system-x86_64}")" -lt "$QEMU_MIN_MAJOR" ] || return 0
    case $(release_codename) in
    bookworm)
        say "installing QEMU from bookworm-backports (the release's own 7.2 does not boot the rig)"
        private_apt bookworm-backports
        DEBIAN_FRONTEND=noninteractive as_root apt-get "${APT_PRIVATE[@]}" -y --no-install-recommends \
            -t bookworm-backports install qemu-system-x86 ;;
    *)
        install_packages qemu-system-x86 ;;
    esac
    [ "$(qemu_major qemu-system-x86_64)" -ge "$QEMU_MIN_MAJOR" ] ||
        die "QEMU $QEMU_MIN_MAJOR or newer is needed, found $(qemu-system-x86_64 --version | head -n 1)"
}

# fetch_deb PACKAGE OUT: downloads a package of the machine's release and unpacks it into OUT; it is not installed.
fetch_deb() {
    local package=$1 out=$2 tmp
    tmp=$(mktemp -d)
    [ "$(id -u)" != 0 ] || chmod 755 "$tmp"
    (cd "$tmp" && quietly "$CACHE/logs/fetch-$package.log" apt-get -q -o APT::Sandbox::User=root download "$package") ||
        { rm -rf "$tmp"; return 1; }
    mkdir -p "$out"
    dpkg-deb -x "$tmp"/*.deb "$out"
    rm -rf "$tmp"
}
