# The check "errors": a copy of this tree is built with programs that only pretend, and each step is broken in turn. The run has to
# end there, with one message, no stamp, and without what was built before being used.
# shellcheck shell=bash

# errors_tree DIR: the copy in DIR/tree, programs in DIR/bin, a small repository in the place of Xen's.
errors_tree() {
    local dir=$1 name repo=$1/cache/xen/fake/repo
    mkdir -p "$dir/tree" "$dir/bin" "$repo/xen" "$repo/tools" "$dir/sysroot/lib/rustlib/src/rust/library/core" "$dir/tree/xen-patches"
    (cd "$ROOT" && tar -c --exclude=target --exclude=.git build.sh ci fuzz xenlr vm-tests hv-logger minios-guest/Makefile Cargo.* docs) | tar -x -C "$dir/tree"
    : >"$dir/sysroot/lib/rustlib/src/rust/library/core/Cargo.toml"
    cat >"$dir/bin/stub" <<'STUB'
#!/bin/bash
# Pretends to be the program that it is called as. $BREAK is a pattern of the call that fails.
words="${0##*/} $*"
echo "$words" >>"$STUBS/calls"
if [[ -n ${BREAK:-} && $words = $BREAK ]]; then echo "it breaks"; exit 3; fi
option() { sed -n "s/.* $1[ =]\([^ ]*\).*/\1/p" <<<"$words "; }
case $words in
'make -C '*' defconfig '*) : >"$2/.config" ;;
'make -C '*/xen' '-j*) for file in xen xen-syms xen.gz; do echo built >"$2/$file"; done ;;
'make -C '*/tools' '*' install '*)
    out=$(option DESTDIR)
    mkdir -p "$out"/usr/{sbin,bin,lib/xen/bin}
    : >"$out/usr/lib/libx.so.1" ;;
'make -C '*minios-guest) echo minios >"$2/minios.elf" ;;
'apt-get '*' download '*) : >"${*: -1}.deb" ;;
'apt-cache depends '*) echo '  Depends: linux-image-6.12.9' ;;
'dpkg-deb -x '*linux-image-*) mkdir -p "$3/boot" "$3/lib/modules/6.12.9"; : >"$3/boot/vmlinuz-6.12.9" ;;
'dpkg-deb -x '*) mkdir -p "$3"; : >"$3/grub-x86_64-xen.bin" >"$3/grub-i386-xen_pvh.bin" ;;
'dpkg-query '*) [ -n "${MISSING:-}" ] || echo 'install ok installed' ;;
'qemu-system-x86_64 '*) echo 'QEMU emulator version 10.0.2' ;;
'rustc --print sysroot') echo "$STUBS/sysroot" ;;
'cargo build '*)
    out=$(option --target-dir)/x86_64-unknown-linux-gnu/release
    mkdir -p "$out"
    for name in xenlr field alter fuzz_reader udp; do echo program >"$out/$name"; done ;;
'cargo -vV' | 'rustc -vV') echo "${0##*/} 1.95.0" ;;
'cargo bench '*) for name in log-format postcard bincode fixed; do echo "$name: 3 bytes a record"; done ;;
'cargo test '*) [ ! -e "$STUBS/tested" ] || { echo 'a linker is missing'; exit 1; }; : >"$STUBS/tested" ;;
'cbindgen --version') echo "cbindgen $CBINDGEN" ;;
'cbindgen '*) cat "$HEADER" ;;
'xenlr --quiet daemon') exec sleep 60 ;;
'sudo -v') ;;
'sudo '*) exec "$@" ;;
'git '*) PATH=${PATH#*:} exec git "$@" ;;
'cpio '*) PATH=${PATH#*:} exec cpio "$@" ;;
esac
STUB
    chmod +x "$dir/bin/stub"
    for name in make apt-get apt-cache dpkg-deb dpkg-query qemu-system-x86_64 rustc cargo cbindgen sudo git cpio; do
        ln -s stub "$dir/bin/$name"
    done
    for name in demo soak nightly test bench/run; do
        cp "$dir/tree/ci/$name" "$dir/tree/ci/$name.real"
        printf '#!/bin/bash\necho "%s ${KERNEL:-}" >>%s/ran\n' "$name" "$dir" >"$dir/tree/ci/$name"
    done
    mkdir -p "$repo/xen/include/public" "$repo/xen/include/xen"
    cp "$(find "$dir/tree/hv-logger" -name '*.h' | head -n 1)" "$repo/xen/include/xen/"
    echo '    uint32_t magic; ' >"$repo/xen/include/public/xenlr.h"
    : >"$repo/xen/include/xen/xenlr.h"
    : >"$repo/xen/Kconfig"
    : >"$repo/tools/Makefile"
    printf '#!/bin/sh\nmkdir -p config; echo -DHAVE_BZLIB -DHAVE_LZMA -DHAVE_LZO1X -DHAVE_ZSTD >config/Tools.mk\n' >"$repo/configure"
    chmod +x "$repo/configure"
    xen_git "$repo" init -q -b main
    xen_git "$repo" add -A
    xen_git "$repo" commit -qm base
    xen_git "$repo" tag base
    echo change >"$repo/xen/change"
    xen_git "$repo" add -A
    xen_git "$repo" commit -qm 'xen: a change'
    rm -f "$dir/tree/xen-patches/"*
    xen_git "$repo" format-patch -q -1 --stdout >"$dir/tree/xen-patches/0101-xen-a-change.patch"
    echo 0101-xen-a-change.patch >"$dir/tree/xen-patches/series"
    xen_git "$repo" checkout -q --detach base
    xen_git "$dir/tree" init -q
    xen_git "$dir/tree" add -f hv-logger
    # Getting Xen's source has a check of its own.
    # shellcheck disable=SC2016
    printf '%s\n' 'XEN_REPO=$CACHE/xen/fake/repo' 'make_xen_repo() { :; }' 'find_xen() { :; }' >>"$dir/tree/ci/lib/xen.sh"
}

# in_tree WORD=VALUE… COMMAND…: runs a command in the copy; sets status, $dir/said and $dir/errors.
in_tree() {
    status=0
    (cd "$dir/tree" && env -u FOUND_RUST -u HOST_CARGO STUBS="$dir" PATH="$dir/bin:$PATH" RUSTC="$dir/bin/rustc" \
        CARGO="$dir/bin/cargo" XENLR_CACHE="$dir/cache" XEN_FOLDER="$dir/cache/xen/fake" XENLR_JOBS=1 PROG= "$@") \
        >"$dir/said" 2>"$dir/errors" </dev/null || status=$?
}

complain() { echo "$*: status $status"; cat "$dir/said" "$dir/errors"; exit 1; }

# ends_at NAME PATTERN STAMP [WORD=VALUE…]: with this call broken the demo is not begun, one line says why, and what the broken
# step makes (a pattern below the cache) is not stamped.
ends_at() {
    local name=$1 pattern=$2 stamp=$3
    rm -rf "$dir"/cache/{out,tmp,kernel-*,grub-*,xen/fake/repo/.git/refs/series}
    rm -f "$dir/ran" "$dir/calls" "$dir"/cache/xen/fake/*/xen/.config
    in_tree BREAK="$pattern" "${@:4}" ./build.sh demo
    [ "$status" != 0 ] || complain "$name: the run does not fail"
    [ ! -e "$dir/ran" ] || complain "$name: the demo was begun"
    [ "$(grep -c 'error: ' "$dir/errors")" = 1 ] || complain "$name: not one message"
    [ -z "$(find "$dir/cache" -path "$dir/cache/$stamp/done")" ] || complain "$name: stamped"
    ! grep -q $'\r' "$dir/errors" || complain "$name: control characters"
    echo "$name: $(grep 'error: ' "$dir/errors")"
}

errors_check() {
    local dir status verb held
    dir=$(mktemp -d)
    errors_tree "$dir"
    in_tree ./build.sh demo
    [ "$status" = 0 ] && [ -e "$dir/ran" ] || complain "control: the run fails with nothing broken"
    cp -r "$dir"/cache/grub-* "$dir/grub"
    [ "$(cat "$dir/ran")" = 'demo ' ] || complain "the demo gets a kernel that the user did not name: $(cat "$dir/ran")"
    in_tree KERNEL=/own/kernel ./build.sh demo
    grep -qx 'demo /own/kernel' "$dir/ran" || complain "the user's kernel does not come to the demo: $(cat "$dir/ran")"

    ends_at 'the packages' 'apt-get *-y *install *' none MISSING=1
    ends_at 'the series' 'git * am -q *' 'out/xen-*'
    ends_at 'the tree of the hypervisor' 'git *hypervisor-xenlr * checkout *' 'out/xen-*'
    ends_at 'the configuration' 'make -C *-xenlr/xen olddefconfig *' 'out/xen-*'
    ends_at 'the hypervisor' 'make -C *-xenlr/xen -j*' 'out/xen-*'
    ends_at 'the tree of the tools' 'git *tools-xenlr * checkout *' 'out/tools-*'
    ends_at "the tools' headers" 'make -C * build-tools-public-headers' 'out/tools-*'
    ends_at 'the tools' 'make -C */tools -j*' 'out/tools-*'
    ends_at "the tools' installation" 'make -C */tools * install *' 'out/tools-*'
    ends_at "the kernel's package" 'apt-get * download linux-image*' 'kernel-*'
    ends_at 'the kernel' 'dpkg-deb -x *linux-image*' 'kernel-*'
    ends_at "dom0's image" 'cpio *' 'out/dom0-*'
    ends_at "GRUB's package" 'apt-get * download grub*' 'grub-*'
    ends_at 'GRUB' 'dpkg-deb -x *grub*' 'grub-*'
    ends_at 'the guest' 'make -C *minios-guest' 'out/minios-*'
    ends_at 'the command' 'cargo build *' 'out/cli-*'

    # No verb goes on after a failed build.
    for verb in bench soak nightly test; do
        rm -rf "$dir"/cache/out/xen-* "$dir/ran"
        in_tree BREAK='make -C *-xenlr/xen -j*' ./build.sh $verb
        [ "$status" != 0 ] && [ ! -e "$dir/ran" ] || complain "$verb goes on after a failed build"
        in_tree ./build.sh $verb
        [ "$status" = 0 ] && [ -e "$dir/ran" ] || complain "control: $verb"
    done

    # Who waited for a lock looks again: what another process made meanwhile is not made twice.
    rm -rf "$dir"/cache/grub-* "$dir/calls"
    exec 5>"$dir/cache/locks/grub"
    flock 5
    held=$(mktemp -u "$dir/fifo.XXXXXX")
    mkfifo "$held"
    : >"$dir/errors"
    (exec 5>&-; in_tree ./build.sh guest; echo "$status" >"$held") &
    until grep -qs "waiting for another build of 'grub'" "$dir/errors"; do kill -0 $!; sleep 0.1; done
    cp -r "$dir/grub" "$dir/cache/$(basename "$(. /etc/os-release; echo "grub-pv-pvh-$VERSION_CODENAME")")"
    exec 5>&-
    read -r status <"$held"
    [ "$status" = 0 ] || complain "a build that waited for a lock"
    ! grep 'download grub' "$dir/calls" || complain "GRUB is fetched twice"

    # Words that a verb does not take, and the repository that all checkouts share.
    for verb in deps tools cli guest image clean 'xen --src x --stock' 'xen --src' 'xen --config'; do
        # shellcheck disable=SC2086  # words
        in_tree ./build.sh $verb ${verb:+$([[ $verb = xen* ]] || echo another)}
        [ "$status" = 1 ] && [ "$(grep -c 'error: ' "$dir/errors")" = 1 ] || complain "$verb takes what it does not know"
    done
    xen_git "$dir/cache/xen/fake/repo" checkout -q --detach base
    in_tree ./build.sh patches
    [ "$status" = 0 ] || complain "patches"
    [ "$(xen_git "$dir/cache/xen/fake/repo" rev-parse HEAD)" = "$(xen_git "$dir/cache/xen/fake/repo" rev-parse base)" ] ||
        complain "patches moves the HEAD of the repository that all checkouts share"
    one_check patches # applies the patches as they were just written
    xen_git "$dir/cache/xen/fake/repo" checkout -q --detach base
    one_check patches
    [ "$(xen_git "$dir/cache/xen/fake/repo" rev-parse HEAD)" = "$(xen_git "$dir/cache/xen/fake/repo" rev-parse base)" ] ||
        complain "the check patches moves the HEAD of the repository that all checkouts share"

    errors_of_checks
    errors_of_scripts
    rm -rf "$dir"
}

# one_check NAME: runs a check in the copy.
one_check() { in_tree "${@:2}" bash ci/test.real --one "$1"; }

errors_of_checks() {
    # What fails is no SKIP.
    one_check fuzz BREAK='cargo build *'
    [ "$status" != 0 ] && [ "$status" != 77 ] || complain "check_fuzz takes a failed build for a SKIP or a pass"
    # Only the right cbindgen, and the right failure of a control.
    local header
    header=$(find "$dir/tree/hv-logger" -name '*.h' | head -n 1)
    one_check header CBINDGEN=0.1.0 HEADER="$header" BREAK='cargo install *'
    [ "$status" = 77 ] || complain "check_header takes any cbindgen"
    one_check header CBINDGEN="$CBINDGEN_VERSION" HEADER="$header"
    [ "$status" = 0 ] || complain "control: check_header with the right cbindgen"
    rm -f "$dir/tested"
    one_check abi
    [ "$status" != 0 ] && grep -q 'not for the moved field' "$dir/said" || complain "check_abi takes any failure for its control's"
}

errors_of_scripts() {
    local criterion=$dir/tree/target/bench-host/criterion group name
    # A figure that cannot be read ends the table.
    for group in encode decode; do
        for name in log-format postcard bincode fixed; do
            mkdir -p "$criterion/$group/$name/new"
            echo '{"median":{"confidence_interval":{},"point_estimate":2.5}}' >"$criterion/$group/$name/new/estimates.json"
            echo '{"throughput":{"Elements":1}}' >"$criterion/$group/$name/new/benchmark.json"
        done
    done
    in_tree ci/bench-host
    [ "$status" != 0 ] && grep -q 'log-format | 3 |' "$dir/said" || complain "bench-host goes on without the ring's figures"

    # The soak's part that builds something works from any folder.
    printf '#!/bin/sh\necho "rig: fine"\n' >"$dir/rig"
    chmod +x "$dir/rig"
    in_tree RIG="$dir/rig" env -C / bash "$dir/tree/ci/soak.real" fuzz 1 1
    [ "$status" = 0 ] || { cat "$dir/tree/target/soak-fuzz.log"; complain "soak fuzz from another folder"; }

    # The demo in dom0 ends at the first command that fails.
    printf '%s\n' 'fail() { exit 1; }' 'guest() { :; }' 'console() { :; }' 'type_line() { :; }' 'log_of() { echo /dev/null; }' >"$dir/lib.sh"
    for name in xl cp; do ln -sf stub "$dir/bin/$name"; done
    ln -sf stub "$dir/bin/xenlr"
    sed "s|/rig/lib.sh|$dir/lib.sh|" "$dir/tree/ci/dom0/demo" >"$dir/dom0-demo"
    in_tree sh "$dir/dom0-demo"
    [ "$status" = 0 ] || complain "control: the demo in dom0"
    for name in status stop info; do
        in_tree BREAK="xenlr $name *" sh "$dir/dom0-demo"
        [ "$status" != 0 ] || complain "the demo in dom0 goes on after xenlr $name failed"
    done
}
