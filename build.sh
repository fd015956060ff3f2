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
  soak [PART [ARG…]]… the long runs: boots, replays (100,000,000 sync points), kills, cycles, hostile, fuzz; see ci/soak
  nightly [PART…]     what is too long for each change: debug and UBSAN builds, CONFIG_XENLR=n, each patch; see ci/nightly
  patches [TREE]      writes xen-patches/ anew from the commits on top of "base" in the git tree TREE
  clean [--all]       removes target/; with --all the cache too

Environment: XENLR_CACHE (the cache, ~/.cache/xenlr), XENLR_DOWNLOADS (a folder that holds Xen's tarball),
XENLR_JOBS (parallel jobs), CARGO and RUSTC (a toolchain with its library sources).
USAGE
}

verb_deps() {
    # shellcheck disable=SC2086
    install_packages $PACKAGES_BUILD
    if ! (find_rust) 2>/dev/null; then
        # shellcheck disable=SC2086
        install_packages $PACKAGES_RUST
        find_rust
    fi
    install_qemu
}

verb_xen() {
    local src='' variant=xenlr options=() out
    while [ $# -gt 0 ]; do
        case $1 in
        --src) src=${2:?--src needs a folder}; shift ;;
        --stock) variant=stock ;;
        --debug) options+=(CONFIG_DEBUG=y) ;;
        --config) options+=("${2:?--config needs KEY=VAL}"); shift ;;
        *) die "xen: unknown option $1" ;;
        esac
        shift
    done
    if [ -n "$src" ]; then
        build_user_tree "$src" "${options[@]}"
        return
    fi
    build_xen "$variant" "${options[@]}"
    out=$DIST
    [ "$variant" = xenlr ] || out=$DIST/$variant
    for file in xen xen-syms xen.gz config; do install_file "$XEN_OUT/$file" "$out/$file"; done
    say "hypervisor: ${out#"$ROOT"/}/xen"
}

verb_tools() {
    build_tools xenlr
    mkdir -p "$DIST"
    ln -sfn "$TOOLS_OUT" "$DIST/tools"
}

verb_cli() {
    [ -f "$ROOT/xenlr/Cargo.toml" ] || { say "no xenlr/ yet"; return 0; }
    local flags
    find_cargo
    # Static, and without the paths of the crates on this machine.
    printf -v flags '%s\x1f%s' -Ctarget-feature=+crt-static "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    CARGO_ENCODED_RUSTFLAGS=$flags host_cargo build -q --locked --release --manifest-path "$ROOT/Cargo.toml" \
        -p xenlr --target x86_64-unknown-linux-gnu --target-dir "$TARGET/cli" -j "$JOBS"
    install_file "$TARGET/cli/x86_64-unknown-linux-gnu/release/xenlr" "$DIST/xenlr"
}

verb_guest() {
    build_guests
    [ -f "$ROOT/minios-guest/Makefile" ] || { say "no minios-guest/ yet"; return 0; }
    find_rust
    quietly "$CACHE/logs/minios-guest.log" make -C "$ROOT/minios-guest"
    install_file "$ROOT/minios-guest/minios.elf" "$DIST/guests/minios"
}

verb_image() {
    verb_deps
    verb_xen
    verb_tools
    build_dom0 "$TOOLS_OUT"
    install_file "$DOM0_INITRD" "$DIST/dom0.cpio"
    install_file "$KERNEL/vmlinuz" "$DIST/vmlinuz"
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
    verb_xen
    verb_cli
    make_debs "$release"
}

verb_patches() {
    if [ $# -gt 0 ]; then
        write_patches "$1"
    else
        source_commit xenlr
        xen_git "$XEN_REPO" checkout -qf --detach "$XEN_COMMIT"
        write_patches "$XEN_REPO"
    fi
}

verb_test() {
    verb_image
    "$ROOT/ci/test" "$@"
}

# The verbs below are scripts of their own; each says in its head what it does.
verb_demo() { verb_image && exec "$ROOT/ci/demo" "$@"; }
verb_bench() { verb_image && exec "$ROOT/ci/bench/run" "$@"; }
verb_soak() { verb_image && exec "$ROOT/ci/soak" "$@"; }
verb_nightly() { verb_image && exec "$ROOT/ci/nightly" "$@"; }

verb_clean() {
    rm -rf "$TARGET"
    [ "${1:-}" = --all ] || return 0
    # The systems in it belong to root.
    [ ! -d "$CACHE/chroot" ] || as_root rm -rf --one-file-system "$CACHE/chroot"
    rm -rf "$CACHE"
}

main() {
    local verb=${1:-}
    [ -n "$verb" ] || { usage; return 0; }
    shift
    case $verb in
    deps | xen | tools | cli | guest | image | deb | demo | test | bench | soak | nightly | patches | clean) "verb_$verb" "$@" ;;
    -h | --help | help) usage ;;
    *) usage >&2; die "unknown verb $verb" ;;
    esac
}

main "$@"
