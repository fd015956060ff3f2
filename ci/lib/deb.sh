# ./build.sh deb: the packages of packaging/, for one Debian release. Needs common.sh, apt.sh, xen.sh, image.sh and chroot.sh.
#
# Results lie in the cache, keyed by what they are made of.
# shellcheck shell=bash

DEB_RELEASES="trixie bookworm"

# deb_suffix RELEASE: what its packages' versions end with, so that those of a newer release are newer.
deb_suffix() {
    case $1 in
    bookworm) echo deb12 ;;
    trixie) echo deb13 ;;
    *) die "no packages for '$1', only for: $DEB_RELEASES" ;;
    esac
}

# deb_version RELEASE: that of the workspace, and the time of the commit.
deb_version() {
    local version time
    version=$(sed -n '/^\[workspace.package\]/,/^\[/s/^version = "\(.*\)"/\1/p' "$ROOT/Cargo.toml")
    time=$(git -C "$ROOT" log -1 --format=%cd --date=format:%Y%m%d.%H%M)
    echo "$version+$time~$(deb_suffix "$1")"
}

# deb_interface: the name of the interface between hypervisor and toolstack. Needs source_commit.
deb_interface() { echo "xenlr-interface-$(tree_key "$XEN_COMMIT" xen/include/public | cut -c1-12)"; }

# ---- where packages are built -------------------------------------------------------------------------------------------

# The build dependencies of a source package, by apt's names.
build_depends() {
    sed -n '/^Build-Depends:/,/^[A-Z][a-z-]*:/p' "$ROOT/packaging/$1/debian/control" | sed '1s/^[^:]*://; /^[A-Z]/d' |
        tr ',' '\n' | sed 's/(.*//; s/[[:space:]]//g; s/^debhelper-compat$/debhelper/' | grep .
}

# deb_chroot RELEASE: sets DEB_CHROOT, a system of this release with what the packages are built with, made anew each month.
deb_chroot() {
    local release=$1 packages key
    packages="build-essential lintian $({ build_depends xenlr; build_depends xenlr-tools; } | sort -u | tr '\n' ' ')"
    key=$(hash_of "$packages" "$(declare -f make_chroot archive_lines)" "$(date -u +%Y-%m)")
    DEB_CHROOT=$CACHE/chroot/$release-$key
    [ ! -e "$DEB_CHROOT/done" ] || return 0
    install_packages debootstrap
    # shellcheck disable=SC2086
    with_lock "chroot-$release" kept_chroot "$release" "$DEB_CHROOT" make_chroot "$release" "$DEB_CHROOT" $packages
}

# ---- the packages -------------------------------------------------------------------------------------------------------

# write_changelog SOURCE RELEASE OUT
write_changelog() {
    printf '%s (%s) %s; urgency=medium\n\n  * Built from commit %s.\n\n -- %s  %s\n' "$1" "$(deb_version "$2")" "$2" \
        "$(git -C "$ROOT" rev-parse --short=12 HEAD)" \
        "$(sed -n 's/^Maintainer: //p' "$ROOT/packaging/$1/debian/control")" \
        "$(git -C "$ROOT" log -1 --format=%cd --date=rfc2822)" >"$3"
}

# build_source RELEASE DIR: runs dpkg-buildpackage and lintian for the unpacked source DIR, whose packages come to lie beside it:
# in the chroot DEB_CHROOT without a network, or on this machine where that is not set.
build_source() {
    local dir=$1 place=() build=$1
    if [ -n "${DEB_CHROOT:-}" ]; then
        build=/build/$(basename "$dir")
        as_root rm -rf "$DEB_CHROOT/build"
        as_root mkdir -p "$DEB_CHROOT/build"
        as_root cp -r --no-preserve=ownership "$dir" "$DEB_CHROOT$build"
        place=(in_chroot --offline "$DEB_CHROOT")
    fi
    # shellcheck disable=SC2016  # expanded by the inner shell
    "${place[@]}" env XENLR_INTERFACE="$XENLR_INTERFACE" DEB_BUILD_OPTIONS="parallel=$JOBS nocheck noautodbgsym" \
        sh -euc 'cd "$1" && dpkg-buildpackage -b -us -uc -ui --no-pre-clean
            cd .. && lintian --allow-root --fail-on error --tag-display-limit 0 ./*.changes' sh "$build"
    if [ -n "${DEB_CHROOT:-}" ]; then
        cp "$DEB_CHROOT"/build/*.deb "$(dirname "$dir")/"
        as_root rm -rf "$DEB_CHROOT/build"
    fi
}

# make_deb OUT SOURCE RELEASE: the packages of one source package. The caller exports what it is made of: XENLR_INTERFACE, and
# XEN_COMMIT, or DEB_XEN (a folder with xen.gz and config) and DEB_CLI; and DEB_CHROOT.
make_deb() {
    local out=$1 source=$2 release=$3 version tmp dir
    tmp=$(mktemp -d "$CACHE/tmp/deb.XXXXXX")
    version=$(deb_version "$release")
    dir=$tmp/$source-$version
    mkdir "$dir"
    cp -r "$ROOT/packaging/$source/." "$dir/"
    write_changelog "$source" "$release" "$dir/debian/changelog"
    "fill_${source//-/_}" "$dir"
    build_source "$dir"
    mv "$tmp"/*.deb "$out/"
    rm -rf "$tmp"
}

fill_xenlr() {
    local dir=$1
    cp "$DEB_XEN/xen.gz" "$dir/xen-4.20-xenlr.gz"
    cp "$DEB_XEN/config" "$dir/config"
    cp "$DEB_CLI" "$dir/xenlr"
    cp "$ROOT/docs/man/xenlr.1" "$dir/"
    sed 's|/usr/local/bin/xenlr|/usr/bin/xenlr|' "$ROOT/xenlr/xenlr-daemon.service" >"$dir/debian/xenlr.xenlr-daemon.service"
    mkdir "$dir/completions"
    "$DEB_CLI" completions bash >"$dir/completions/xenlr"
    "$DEB_CLI" completions zsh >"$dir/completions/_xenlr"
    "$DEB_CLI" completions fish >"$dir/completions/xenlr.fish"
}

fill_xenlr_tools() {
    mkdir "$1/xen"
    xen_git "$XEN_REPO" archive "$XEN_COMMIT" | tar -x -C "$1/xen"
}

# build_deb SOURCE RELEASE: sets DEB_OUT, the folder with its packages. Needs verb_xen (XEN_OUT) and verb_cli for "xenlr".
build_deb() {
    local source=$1 release=$2 key
    source_commit xenlr
    XENLR_INTERFACE=$(deb_interface)
    DEB_XEN=$XEN_OUT DEB_CLI=$DIST/xenlr
    case $source in
    xenlr) key=$(sha256sum "$DEB_XEN/xen.gz" "$DEB_XEN/config" "$DEB_CLI" "$ROOT/docs/man/xenlr.1" "$ROOT/xenlr/xenlr-daemon.service" |
        sed 's/ .*//') ;;
    xenlr-tools) key=$(tree_key "$XEN_COMMIT" "${TOOLS_INPUTS[@]}" docs; sed -n "/^version/p" "$ROOT/Cargo.toml") ;;
    esac
    key=$(hash_of "$source" "$release" "$XENLR_INTERFACE" "$key" "$(hash_paths "$ROOT/packaging/$source")" "$(basename "${DEB_CHROOT:-none}")" \
        "$(declare -f make_deb build_source fill_xenlr fill_xenlr_tools deb_version)")
    DEB_OUT=$CACHE/out/deb-$source-$release-$key
    export XENLR_INTERFACE XEN_COMMIT DEB_XEN DEB_CLI DEB_CHROOT
    [ -z "${DEB_CHROOT:-}" ] || [ -e "$DEB_OUT/done" ] || ask_for_root
    once "deb-$release" "$DEB_OUT" "packages of $source for $release" make_deb "$source" "$release"
    keep_newest 4 "$CACHE/out/deb-$source-$release-"
}

# make_debs RELEASE: all of them → target/dist/deb/RELEASE
make_debs() {
    local release=$1 out=$DIST/deb/$1 source
    deb_suffix "$release" >/dev/null
    deb_chroot "$release"
    rm -rf "$out"
    mkdir -p "$out"
    for source in xenlr-tools xenlr; do
        build_deb "$source" "$release"
        cp "$DEB_OUT"/*.deb "$out/"
    done
    say "packages: ${out#"$ROOT"/}"
}

# ---- the check ----------------------------------------------------------------------------------------------------------

# own_paths DIR: the files below it that name a folder of this machine.
own_paths() { grep -rlF -e "$ROOT/" -e "$CACHE/" -e "${CARGO_HOME:-$HOME/.cargo}/" "$1"; }

# deb_files DEB: the files in it, wherever the release has its units.
deb_files() { dpkg-deb -c "$1" | awk '$1 !~ /^d/ { sub(/^\.\/(usr\/)?/, "", $6); print $6 }' | LC_ALL=C sort; }

# verify_debs: builds the source package "xenlr" on this machine, which takes seconds, and looks at it. The toolstack's is left to
# ci/nightly.
verify_debs() {
    local release dir deb
    release=$(release_codename)
    [[ " $DEB_RELEASES " = *" $release "* ]] || { echo "no packages for $release"; exit 77; }
    # shellcheck disable=SC2086  # words
    install_packages $PACKAGES_TEST
    build_xen xenlr
    unset DEB_CHROOT
    build_deb xenlr "$release" # with lintian, which fails it on an error
    dir=$(mktemp -d)
    for deb in "$DEB_OUT"/*.deb; do dpkg-deb -x "$deb" "$dir/root"; done
    diff - <(deb_files "$DEB_OUT"/xenlr_*.deb) <<'FILES'
bin/xenlr
lib/systemd/system/xenlr-daemon.service
share/bash-completion/completions/xenlr
share/doc/xenlr/changelog.gz
share/doc/xenlr/copyright
share/fish/vendor_completions.d/xenlr.fish
share/man/man1/xenlr.1.gz
share/zsh/vendor-completions/_xenlr
FILES
    diff - <(deb_files "$DEB_OUT"/xenlr-hypervisor_*.deb) <<'FILES'
boot/xen-4.20-xenlr.gz
etc/default/grub.d/xenlr.cfg
share/doc/xenlr-hypervisor/changelog.gz
share/doc/xenlr-hypervisor/config
share/doc/xenlr-hypervisor/copyright
FILES
    grep -rqx --include=xenlr-daemon.service 'ExecStart=/usr/bin/xenlr daemon' "$dir/root" ||
        { echo "the unit starts another program"; return 1; }
    "$dir/root/usr/bin/xenlr" --version
    # The arena's size in the conffile is what GRUB gives to Xen; a user's change counts.
    sed 's/^XENLR_ARENA=.*/XENLR_ARENA=7G/' "$dir/root/etc/default/grub.d/xenlr.cfg" >"$dir/xenlr.cfg"
    [ "$(GRUB_CMDLINE_XEN=given sh -euc '. "$1"; echo $GRUB_CMDLINE_XEN' sh "$dir/xenlr.cfg")" = "given xenlr_arena=7G" ] ||
        { echo "the conffile gives other words to Xen"; return 1; }
    gunzip "$dir/root/boot/xen-4.20-xenlr.gz"
    ! own_paths "$dir/root" || { echo "they name folders of this machine"; return 1; }
    # Controls: such a path is found, and so is a file in a place that packages must leave alone.
    echo "$ROOT/control" >"$dir/root/control"
    own_paths "$dir/root" >/dev/null || { echo "control: a path of this machine is not found"; return 1; }
    dpkg-deb -R "$DEB_OUT"/xenlr_*.deb "$dir/control"
    mkdir "$dir/control/usr/local"
    cp "$dir/xenlr.cfg" "$dir/control/usr/local/"
    dpkg-deb --root-owner-group -b "$dir/control" "$dir/control.deb" >/dev/null
    ! lintian --allow-root --fail-on error "$dir/control.deb" >"$dir/lintian" 2>&1 || { echo "control: lintian finds no error"; return 1; }
    grep 'E: xenlr: file-in-usr-local' "$dir/lintian" || { cat "$dir/lintian"; return 1; }
    rm -rf "$dir"
}
