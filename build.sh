#!/usr/bin/env bash
# Builds XenLR and everything that its rig needs. Bare ./build.sh prints the verbs.
set -euo pipefail
PROG=build.sh
# shellcheck source-path=SCRIPTDIR
. "$(dirname "${BASH_SOURCE[0]}")/ci/lib/common.sh"
. "$ROOT/ci/lib/apt.sh"
. "$ROOT/ci/lib/rust.sh"
. "$ROOT/ci/lib/xen.sh"
. "$ROOT/ci/lib/patches.sh"
. "$ROOT/ci/lib/image.sh"
. "$ROOT/ci/lib/chroot.sh"
. "$ROOT/ci/lib/deb.sh"

usage() {
    cat <<'USAGE'
usage: ./build.sh VERB [OPTION…]

  deps                installs what the build and the rig need from Debian's archive (12 or 13), QEMU 10 included
  xen [OPTION…]       the hypervisor with the patches of xen-patches/             → target/dist/xen, xen-syms, xen.gz
      --src DIR         patch and build the Xen tree DIR instead (4.20, clean)    → DIR/xen/xen.gz
      --stock           without the patches                                       → target/dist/stock/xen
      --debug           with CONFIG_DEBUG=y
      --config KEY=VAL  with this Kconfig option; may be repeated
  tools               Xen's tools with the patches                                → target/dist/tools (as installed)
  cli                 the dom0 command                                            → target/dist/xenlr
  guest               the guests: our own Mini-OS, GRUB, Debian's Linux           → target/dist/guests
  image               all of the above and dom0's image: what ci/rig boots
  deb                 Debian packages of hypervisor, tools and command            → target/dist/deb/RELEASE
      --release NAME    for trixie (13) or bookworm (12), else for this machine's own
  demo                records a guest, replays it, compares (KERNEL=FILE: an upstream Mini-OS)
  test [NAME…]        every check, or only those named; the last line counts them
  bench [--short] [PART…]  what recording and replaying cost → docs/benchmarks.md (--list: the parts)
  soak [PART [ARG…]]… the long runs: boots, replays (100,000,000 sync points), kills, cycles, eight, faults, records, hostile,
                      fuzz; see ci/soak
  nightly [PART…]     what is too long for each change: debug and UBSAN builds, CONFIG_XENLR=n, each patch; see ci/nightly
  patches [TREE]      writes xen-patches/ anew from the commits on top of "base" in the git tree TREE
  clean [--all]       removes target/; with --all the cache too

Xen's source comes from the first place that has it with the right digest (ci/source says which places there are).

Environment: XENLR_CACHE (the cache, ~/.cache/xenlr), XENLR_JOBS (parallel jobs),
XENLR_DOWNLOADS (a folder that holds Xen's tarball, by its name in ci/downloads.sha256),
XENLR_XEN_URL and XENLR_XEN_SHA256 (the address of a tarball of Xen 4.20 and its digest, used where the others fail),
CARGO and RUSTC (a toolchain with its library sources).
USAGE
}

# no_words VERB WORD…: for verbs that take none.
no_words() { [ $# = 1 ] || die "$1 takes no words, but was given: ${*:2}"; }

verb_deps() {
    local rustc=given
    no_words deps "$@"
    # shellcheck disable=SC2086
    install_packages $PACKAGES_BUILD
    [ -n "${RUSTC:+${CARGO:-}}" ] || rustc=$(rust_toolchain)
    # shellcheck disable=SC2086
    [ -n "$rustc" ] || install_packages $PACKAGES_RUST
    find_rust
    install_qemu
}

verb_xen() {
    local src='' variant=xenlr options=() out file
    while [ $# -gt 0 ]; do
        case $1 in
        --src | --config) [ $# -gt 1 ] || die "xen: $1 needs a value" ;;&
        --src) src=$2; shift ;;
        --config) options+=("$2"); shift ;;
        --stock) variant=stock ;;
        --debug) options+=(CONFIG_DEBUG=y) ;;
        *) die "xen: unknown option $1" ;;
        esac
        shift
    done
    if [ -n "$src" ]; then
        [ "$variant" = xenlr ] || die "xen: --src patches the tree that it is given, --stock means without patches: give one of them"
        build_user_tree "$src" "${options[@]}"
        return
    fi
    build_xen "$variant" "${options[@]}"
    out=$DIST
    [ "$variant" = xenlr ] || out=$DIST/$variant
    for file in xen xen-syms xen.gz config; do install_file "$XEN_OUT/$file" "$out/$file"; done
}

verb_tools() {
    no_words tools "$@"
    build_tools xenlr
    mkdir -p "$DIST"
    ln -sfn "$TOOLS_OUT" "$DIST/tools"
}

verb_cli() {
    no_words cli "$@"
    build_cli
}

verb_guest() {
    no_words guest "$@"
    build_guests
}

verb_image() {
    no_words image "$@"
    verb_deps
    verb_xen
    verb_tools
    build_dom0 "$TOOLS_OUT"
    install_file "$DOM0_INITRD" "$DIST/dom0.cpio"
    install_file "$KERNEL_FOLDER/vmlinuz" "$DIST/vmlinuz"
    verb_guest
    verb_cli
}

verb_deb() {
    local release
    release=$(release_codename)
    case "$#:${1:-}" in
    0:) ;;
    2:--release) release=$2 ;;
    *) die "deb: wants --release NAME or nothing, not: $*" ;;
    esac
    deb_suffix "$release" >/dev/null
    verb_deps
    verb_xen
    verb_cli
    make_debs "$release"
}

verb_patches() {
    [ $# -le 1 ] || die "patches takes one tree, but was given: $*"
    if [ $# = 1 ]; then
        write_patches "$1" HEAD
    else
        source_commit xenlr
        write_patches "$XEN_REPO" "$XEN_COMMIT"
    fi
}

verb_clean() {
    case "$*" in
    '') rm -rf "$TARGET" ;;
    --all)
        rm -rf "$TARGET"
        # The systems in it belong to root.
        [ ! -d "$CACHE/chroot" ] || as_root rm -rf --one-file-system "$CACHE/chroot"
        rm -rf "$CACHE" ;;
    *) die "clean takes --all or nothing, but was given: $*" ;;
    esac
}

# verb_help VERB SCRIPT: its lines of the usage, and the head of its script if it has one.
verb_help() {
    usage | awk -v verb="$1" '/^  [a-z]/ { on = $1 == verb } /^$/ { on = 0 } on'
    [ ! -f "$2" ] || sed -n '2,/^[^#]/s/^#\( \|$\)//p' "$2"
}

main() {
    local verb=${1:-} script=
    [ -n "$verb" ] || { usage; return 0; }
    shift
    # These are scripts of their own, which take the words and run when all is built.
    case $verb in
    bench) script=$ROOT/ci/bench/run ;;
    demo | test | soak | nightly) script=$ROOT/ci/$verb ;;
    esac
    case $verb in
    deps | xen | tools | cli | guest | image | deb | demo | test | bench | soak | nightly | patches | clean) ;;
    -h | --help | help) usage; return 0 ;;
    *) usage >&2; die "unknown verb $verb" ;;
    esac
    case ${1:-} in
    -h | --help) verb_help "$verb" "$script" ;;
    *)
        if [ -n "$script" ]; then
            verb_image
            # Before anything runs in the background, where sudo could not ask.
            # shellcheck disable=SC2086  # words
            [ "$verb" != test ] || install_packages $PACKAGES_TEST
            exec "$script" "$@"
        fi
        "verb_$verb" "$@" ;;
    esac
}

main "$@"
