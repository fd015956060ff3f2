# The checks that run on the host. Each is run by ci/test in a shell of its own with errexit; its name and the comment
# behind it are what the report shows.
# shellcheck shell=bash

CBINDGEN_VERSION=0.29.0

# cargo_tool SUBCOMMAND: whether the user's cargo has it (Debian's own has no clippy).
cargo_has() { host_cargo "$1" --version >/dev/null 2>&1; }

check_format() { # the Rust code is formatted
    find_cargo
    cargo_has fmt || { echo "no rustfmt for $HOST_CARGO"; exit 77; }
    (cd "$ROOT" && host_cargo fmt --all --check)
    [ ! -f "$ROOT/minios-guest/Cargo.toml" ] || (cd "$ROOT/minios-guest" && host_cargo fmt --check)
}

check_clippy() { # no lint, in the host's crates and in the guest
    find_cargo
    cargo_has clippy || { echo "no clippy for $HOST_CARGO"; exit 77; }
    (cd "$ROOT" && host_cargo clippy -q --locked --workspace --all-targets --target-dir "$(checks_dir tests)" -j "$JOBS" -- -D warnings)
    [ ! -f "$ROOT/minios-guest/Makefile" ] ||
        env -u CARGO -u RUSTC make -C "$ROOT/minios-guest" check CARGO="$HOST_CARGO" RUSTC="$(dirname "$HOST_CARGO")/rustc"
}

check_cargo() { # the crates' own tests
    find_cargo
    (cd "$ROOT" && host_cargo test --locked --workspace --no-fail-fast --target-dir "$(checks_dir tests)" -j "$JOBS")
}

check_loom() { # the ring and the stage hold in every order that two CPUs may see; each ordering taken away is found
    find_cargo
    (cd "$ROOT" && RUSTFLAGS="--cfg loom" host_cargo test --locked -p hv-logger --lib --target-dir "$(checks_dir loom)" -j "$JOBS")
}

# rig_with_qemu TEXT: runs the rig with a QEMU that says this and aborts, however often it is started: how often is the result.
rig_with_qemu() {
    local dir status=0
    dir=$(mktemp -d)
    printf '#!/bin/sh\necho >>%s/starts\necho "%s" >&2\nexit 134\n' "$dir" "$1" >"$dir/qemu"
    echo 'echo never' >"$dir/script"
    chmod +x "$dir/qemu"
    XENLR_QEMU=$dir/qemu "$RIG" --out "$dir/out" "$dir/script" >"$dir/log" 2>&1 || status=$?
    cat "$dir/log" >&2
    echo "$(wc -l <"$dir/starts") starts, status $status"
    rm -rf "$dir"
}

check_rig() { # a machine that QEMU aborts before dom0 is up, for the reason in docs/rig.md and for no other, is started again
    local text result
    text='qemu-system-x86_64: system/physmem.c:2678: iotlb_to_section: Assertion \`section_index < d->map.sections_nb'"' failed."
    result=$(rig_with_qemu "$text")
    [ "$result" = '3 starts, status 125' ] || { echo "$result"; return 1; }
    result=$(rig_with_qemu "${text/iotlb_to_section/another_function}")
    [ "$result" = '1 starts, status 125' ] || { echo "control: $result"; return 1; }
}

check_miri() { # the unsafe code of the library inside Xen keeps Rust's rules as Miri checks them
    find_cargo
    cargo_has miri || { echo "no Miri for $HOST_CARGO (a component of nightly toolchains)"; exit 77; }
    (cd "$ROOT" && host_cargo miri test --locked --target-dir "$TARGET/miri" -p hv-logger --lib -j "$JOBS" &&
        host_cargo miri test --locked --target-dir "$TARGET/miri" -p log-format --lib --test roundtrip -j "$JOBS")
}

# hypervisor_object DIR: builds the logger's object out of DIR/src as Xen does: with the series' own Makefile and the
# built Xen's configuration. The flags and the list of allowed imports stand there and nowhere else.
hypervisor_object() {
    local dir=$1
    mkdir -p "$dir/xen"
    xen_git "$XEN_REPO" archive "$XEN_COMMIT:xen/arch/x86/xenlr" Makefile prelink.lds | tar -x -C "$dir/xen"
    # The few things of Xen's build that this Makefile uses.
    cat >"$dir/GNUmakefile" <<EOF
.DEFAULT_GOAL := xen/hv-logger.o
include $XEN_OUT/config
objtree := .
srctree := .
obj := xen
src := xen
space := \$(empty) \$(empty)
LD := ld
NM := nm
XEN_LDFLAGS := -melf_x86_64
XENLR_SRC := $dir/src
cmd = \$(cmd_\$(1))
if_changed = \$(cmd_\$(1))
include xen/Makefile
FORCE:
.PHONY: FORCE cargo
EOF
    make -s -C "$dir"
}

check_panics() { # no panic can be reached from the entries of the library inside Xen; one put there is found
    local dir=$TARGET/panics object imports
    build_xen xenlr
    find_rust
    rm -rf "$dir/src" "$dir/xen/hv-logger.o"
    mkdir -p "$dir/src"
    (cd "$ROOT" && cp -r Cargo.toml Cargo.lock hv-logger log-format xenlr "$dir/src")
    hypervisor_object "$dir"
    object=$dir/xen/hv-logger.o
    imports=$(nm -u "$object" | sed 's/.* //')
    echo "imports: ${imports//$'\n'/ }"
    # Every panic ends in the panic handler, which calls hvlog_can_panic; an abort is an instruction.
    ! grep -vE '^(memcpy|memmove|memset|memcmp|xenlr_[a-z_]+|__x86_return_thunk|__x86_indirect_thunk_[a-z0-9]+)$' <<<"$imports" ||
        { echo "the object needs more than Xen has"; return 1; }
    ! nm "$object" | grep -E 'hvlog_can_panic|panicking|rust_begin_unwind' || { echo "the object can panic"; return 1; }
    ! objdump -d --no-show-raw-insn "$object" | grep -w ud2 || { echo "the object can abort"; return 1; }
    nm "$object" | grep -q ' T hvlog_commit$' || { echo "the object has no entries"; return 1; }

    # Control: an index that nobody checks, in one more entry.
    cat >>"$dir/src/hv-logger/src/ffi.rs" <<'EOF'

/// Panics beyond the end.
#[unsafe(no_mangle)]
pub extern "C" fn hvlog_control(index: usize) -> u8 {
    b"control"[index]
}
EOF
    if hypervisor_object "$dir" 2>"$dir/log"; then
        echo "control: an entry that can panic is not found"
        return 1
    fi
    grep "needs 'hvlog_can_panic'" "$dir/log" || { cat "$dir/log"; return 1; }
}

check_fuzz() { # bounded runs of the fuzz targets find nothing, and one of a target with a planted bug finds it
    local run=$ROOT/fuzz/run.sh FOUND
    find_cargo
    CARGO_TARGET_DIR=$(checks_dir fuzz)
    export CARGO=$HOST_CARGO CARGO_TARGET_DIR
    unset RUSTC
    # Its C++ and the coverage passes are not everywhere; the corpora are replayed by check_cargo in any case.
    "$HOST_CARGO" build -q --locked --release --manifest-path "$ROOT/fuzz/Cargo.toml" --target x86_64-unknown-linux-gnu -p libfuzzer-sys ||
        { echo "libFuzzer cannot be built here"; exit 77; }
    "$run" none
    FOUND=$(mktemp -d)
    export FOUND
    # libFuzzer's own status for a find would read as a SKIP.
    "$run" decoder -seed=1 -runs=200000 -max_total_time=60 -error_exitcode=1 || return 1
    "$run" file_reader -seed=1 -runs=50000 -max_total_time=60 -error_exitcode=1 || return 1
    "$run" ffi -seed=1 -runs=50000 -max_total_time=60 -error_exitcode=1 || return 1
    if "$run" control -seed=1 -runs=2000000 -max_total_time=600 >"$FOUND/log" 2>&1; then
        echo "control: the planted bug is not found"
        return 1
    fi
    grep 'the planted bug' "$FOUND/log"
    rm -rf "$FOUND" "$CARGO_TARGET_DIR"/artifacts/control-*
}

# compare_abi: the headers of $tree.
compare_abi() {
    XENLR_XEN_TREE=$tree host_cargo test --locked -p xenlr --test abi --target-dir "$(checks_dir tests)" -j "$JOBS" -- --ignored
}

check_abi() { # sizes, offsets and numbers of the public headers are the same in Rust
    local tree
    find_cargo
    source_commit xenlr
    tree=$(mktemp -d)
    xen_git "$XEN_REPO" archive "$XEN_COMMIT" xen/include/public | tar -x -C "$tree"
    (cd "$ROOT" && compare_abi) || return
    # Control: a field that moved is found.
    sed -i 's/^    uint32_t magic; .*/    uint32_t moved;\n&/' "$tree/xen/include/public/xenlr.h"
    (cd "$ROOT" && ! compare_abi >"$tree/log" 2>&1) ||
        { echo "control: a moved field is not found"; return 1; }
    rm -rf "$tree"
}

check_header() { # the C header of the hypervisor library is what cbindgen makes of it
    local header cbindgen
    header=$(cd "$ROOT" && git ls-files 'hv-logger/*.h' | head -n 1)
    [ -n "$header" ] || { echo "hv-logger has no committed header"; exit 77; }
    cbindgen=$(command -v cbindgen) || cbindgen=$CACHE/cbindgen-$CBINDGEN_VERSION/bin/cbindgen
    if [ ! -x "$cbindgen" ]; then
        find_cargo
        host_cargo install -q --locked --root "$CACHE/cbindgen-$CBINDGEN_VERSION" --version "=$CBINDGEN_VERSION" cbindgen ||
            { echo "no cbindgen, and it cannot be installed"; exit 77; }
    fi
    "$cbindgen" -q --config "$ROOT/hv-logger/cbindgen.toml" "$ROOT/hv-logger" | diff -u "$ROOT/$header" - ||
        { echo "$header is stale: write it anew with cbindgen --config hv-logger/cbindgen.toml -o $header hv-logger"; exit 1; }
}

check_patches() { # the series regenerates to the same bytes and applies without fuzz to each base that can be had
    verify_patches
}

check_fetch() { # Xen's source comes from the next place when one has none, a wrong one or half of it; if none has it, one error says why
    "$ROOT/ci/checks/fetch/run"
}

check_deb() { # the packages of command and hypervisor have no error for lintian and hold what they should, no path of this machine
    verify_debs
}

check_benchmarks() { # docs/benchmarks.md shows the figures that were measured, and no others
    local copy report=$ROOT/ci/bench/report
    "$report" page "$ROOT/docs/benchmarks" | diff -u "$ROOT/docs/benchmarks.md" - ||
        { echo "docs/benchmarks.md is not what ci/bench/report makes of docs/benchmarks"; return 1; }
    # Controls: a figure that was altered is found, one of other code is marked, one that nobody knows is refused.
    copy=$(mktemp -d)
    cp "$ROOT"/docs/benchmarks/*.json "$copy/"
    sed -i '0,/"value": [0-9.]*/s//"value": 7/' "$copy/items.json"
    "$report" page "$copy" >"$copy/page"
    ! cmp -s "$copy/page" "$ROOT/docs/benchmarks.md" || { echo "control: an altered figure is not found"; return 1; }
    sed -i 's/"run": "/&9/; s/"build": "/&other/' "$copy/items.json"
    "$report" page "$copy" >"$copy/page"
    grep -q 'older: ' "$copy/page" || { echo "control: figures of other code are not marked"; return 1; }
    sed -i 's/"items.rdtsc"/"items.nobody"/' "$copy/items.json"
    ! "$report" page "$copy" >"$copy/page" 2>&1 || { echo "control: a figure that nobody knows is not found"; return 1; }
    grep -q 'does not know items.nobody' "$copy/page" || { cat "$copy/page"; return 1; }
    rm -rf "$copy"
}
