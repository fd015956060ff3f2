# What comes from the package archive: build dependencies, QEMU, and files of packages that are only unpacked.
# Releases that the machine has no source line for are read through a private apt configuration in the cache;
# nothing below /etc/apt is changed. The archive's address is the one that the machine itself is configured with.
# shellcheck shell=bash

PACKAGES_BUILD="build-essential bison flex acpica-tools python3-dev python3-setuptools libncurses-dev uuid-dev zlib1g-dev
    libyajl-dev libglib2.0-dev libpixman-1-dev libzstd-dev liblzma-dev libbz2-dev liblzo2-dev pkg-config gettext bc git cpio xz-utils zstd busybox-static kmod e2fsprogs patch
    ca-certificates"
PACKAGES_TEST="shellcheck debhelper lintian"
PACKAGES_RUST="rustc-web cargo-web rust-web-src"
QEMU_MIN_MAJOR=10

release_codename() { . /etc/os-release; printf '%s' "${VERSION_CODENAME:-}"; }

# The address of the machine's main archive (not its security archive), whatever mirror that is.
archive_uri() {
    local uri
    uri=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME) $(IDENTIFIER)' |
        awk -v code="$(release_codename)" '!found && $2 == code && $3 == "Packages" { print $1; found = 1 }')
    [ -n "$uri" ] || die "apt knows no archive for $(release_codename); run apt-get update first"
    printf '%s' "$uri"
}

# private_apt RELEASE: sets APT_PRIVATE, the options that make apt-get use RELEASE besides the machine's own one.
private_apt() {
    [ -n "$(younger_than_a_day "$CACHE/apt/$1/updated")" ] || with_lock "apt-$1" refresh_private_apt "$1"
    private_apt_options "$1"
}

private_apt_options() { # RELEASE
    local dir=$CACHE/apt/$1
    APT_PRIVATE=(-q -o "Dir::Etc::SourceList=$dir/sources.list" -o "Dir::Etc::SourceParts=$dir/parts"
        -o "Dir::State::Lists=$dir/lists" -o "Dir::Cache=$dir/cache" -o "APT::Sandbox::User=root"
        -o "Acquire::Retries=3")
}

refresh_private_apt() { # RELEASE
    local dir=$CACHE/apt/$1
    [ -z "$(younger_than_a_day "$dir/updated")" ] || return 0
    step "package lists of $1" update_private_apt "$1"
    touch "$dir/updated"
}

update_private_apt() { # RELEASE
    local release=$1 dir=$CACHE/apt/$1 uri codename keyring=/usr/share/keyrings/debian-archive-keyring.gpg
    mkdir -p "$dir/lists/partial" "$dir/cache/archives/partial" "$dir/parts"
    refresh_old_lists
    uri=$(archive_uri)
    codename=$(release_codename)
    {
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$codename"
        printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$release"
        printf 'deb-src [signed-by=%s] %s %s main\n' "$keyring" "$uri" "$release"
    } >"$dir/sources.list"
    private_apt_options "$release"
    apt-get "${APT_PRIVATE[@]}" update
}

# younger_than_a_day FILE: prints its name if it is.
younger_than_a_day() { [ ! -e "$1" ] || find "$1" -maxdepth 0 -mmin -1440; }

# qemu_major BINARY: its major version, 0 where there is none.
qemu_major() {
    command -v "$1" >/dev/null || { echo 0; return; }
    "$1" --version | sed -n '1s/.*version \([0-9]*\).*/\1/p'
}

install_packages() { # PACKAGE...: those that are not installed
    local missing=() package state
    for package; do
        state=$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null) || state=none
        [[ $state = *'ok installed' ]] || missing+=("$package")
    done
    [ ${#missing[@]} -gt 0 ] || return 0
    ask_for_root
    step "installing ${#missing[@]} packages" apt_install "${missing[@]}"
}

# ask_for_root: sudo's question comes before a step, whose output is not seen.
ask_for_root() { [ "$(id -u)" = 0 ] || sudo -v || die "packages are installed by root: run this as root, or where sudo works"; }

apt_install() { # PACKAGE...
    echo "packages: $*"
    refresh_old_lists
    # Lists older than what is installed cannot resolve its dependencies.
    apt-get -q -s --no-install-recommends install "$@" || update_lists
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends -o DPkg::Lock::Timeout=300 install "$@"
}

# refresh_old_lists: fetches the machine's package lists where there are none, or none of today. The lists' own times are those of
# the archive; the folder for what is being fetched has the time of the last update.
refresh_old_lists() {
    local lists=/var/lib/apt/lists
    if [ -z "$(find "$lists" -maxdepth 1 -name '*_Packages*')" ] || [ -z "$(younger_than_a_day "$lists/partial")" ]; then
        update_lists
    fi
}

# Where that fails, what needs the lists may work with the old ones, or says what it lacks.
update_lists() { as_root apt-get -q -o DPkg::Lock::Timeout=300 update || echo "going on with the lists as they are"; }

install_qemu() {
    [ "$(qemu_major "${XENLR_QEMU:-qemu-system-x86_64}")" -lt "$QEMU_MIN_MAJOR" ] || return 0
    case $(release_codename) in
    bookworm)
        # The release's own QEMU 7.2 does not boot the rig.
        private_apt bookworm-backports
        ask_for_root
        step "installing QEMU from bookworm-backports" apt_install_backport qemu-system-x86 ;;
    *)
        install_packages qemu-system-x86 ;;
    esac
    [ "$(qemu_major qemu-system-x86_64)" -ge "$QEMU_MIN_MAJOR" ] ||
        die "QEMU $QEMU_MIN_MAJOR or newer is needed, found $(qemu-system-x86_64 --version | head -n 1)"
}

apt_install_backport() { # PACKAGE...
    private_apt bookworm-backports
    as_root env DEBIAN_FRONTEND=noninteractive apt-get "${APT_PRIVATE[@]}" -y --no-install-recommends \
        -o DPkg::Lock::Timeout=300 -t bookworm-backports install "$@"
}

# fetch_deb PACKAGE OUT [OPTION…]: downloads a package of the machine's release (or of what the options of apt-get say) and unpacks
# it into OUT; it is not installed.
fetch_deb() {
    local package=$1 out=$2 tmp
    tmp=$(mktemp -d)
    [ "$(id -u)" != 0 ] || chmod 755 "$tmp"
    (cd "$tmp" && apt-get -q -o APT::Sandbox::User=root "${@:3}" download "$package")
    mkdir -p "$out"
    dpkg-deb -x "$tmp"/*.deb "$out"
    rm -rf "$tmp"
}
