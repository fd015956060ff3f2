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

# long_lines DIR: the documents' lines of more than 110 columns that could be shorter: no tables, no commands, nothing that programs print.
long_lines() {
    (cd "$1" && find . -name target -prune -o -name '*.md' -print0 | LC_ALL=C sort -z |
        xargs -0 awk '/^```/ { code = !code } !code && !/^\|/ { print FILENAME ":" FNR ":" $0 }') |
        LC_ALL=C.UTF-8 grep -P '^[^:]*:[0-9]*:.{111}' || [ $? = 1 ]
}

check_lines() { # the documents have lines of at most 110 columns, but for tables and what is typed or printed
    local long dir
    long=$(long_lines "$ROOT")
    [ -z "$long" ] || { echo "$long"; return 1; }
    # Control: one column more, of characters that are several bytes.
    dir=$(mktemp -d)
    printf '%.0sä' {1..110} >"$dir/control.md"
    expect_is '' "$(long_lines "$dir")"
    printf 'ä' >>"$dir/control.md"
    [ -n "$(long_lines "$dir")" ] || { echo "control: a line of 111 columns is not found"; return 1; }
    rm -rf "$dir"
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

# rig_with_qemu LINE…: runs the rig with a QEMU that is these lines of shell; prints the status, and what the rig said to $said.
# $talk, $archive and $output are the machine's ends of the ports, $mark is what dom0 writes behind the script's output.
rig_with_qemu() {
    local dir=$1 status=0
    {
        echo '#!/bin/bash'
        echo 'for word; do [[ $word != pipe,id=* ]] || { name=${word#pipe,id=}; declare "${name%%,*}=${word##*path=}.out"; }; done'
        echo 'run=${talk%/*}; mark=rig-end-of-output-${run##*.}'
        echo 'exec 6<>"$talk" 7<>"$archive" 8<>"$output"'
        printf '%s\n' "${@:2}"
    } >"$dir/qemu"
    chmod +x "$dir/qemu"
    echo 'echo never' >"$dir/script"
    rm -f "$dir/starts"
    XENLR_QEMU=$dir/qemu "$RIG" --timeout 60 --out "$dir/out" "$dir/script" >"$dir/said" 2>"$dir/errors" || status=$?
    cat "$dir/errors" >&2
    echo "status $status"
}

check_rig() { # the rig brings all of output and /out back or fails; QEMU's abort of docs/rig.md, and no other, starts it again
    local dir result bytes word abort words
    dir=$(mktemp -d)
    abort=("echo start >>$dir/starts" 'echo "$ABORT" >&2' 'exit 134')
    export ABORT='qemu-system-x86_64: system/physmem.c:2678: iotlb_to_section: Assertion `section_index < d->map.sections_nb'"' failed."
    result=$(rig_with_qemu "$dir" "${abort[@]}")
    expect_is '3 starts, status 125' "$(wc -l <"$dir/starts") starts, $result"
    ABORT=${ABORT/iotlb_to_section/another_function}
    result=$(rig_with_qemu "$dir" "${abort[@]}")
    expect_is '1 starts, status 125' "$(wc -l <"$dir/starts") starts, $result"

    # The words of dom0 may come before what they tell of: the host waits for all of the archive, and of the output.
    mkdir -p "$dir/content"
    head -c 300000 /dev/urandom >"$dir/content/random"
    tar -C "$dir/content" -cf "$dir/archive" .
    bytes=$(stat -c %s "$dir/archive")
    words=('echo ready >&6' "echo piece $bytes >&6; echo packed 0 >&6; echo status 3 >&6")
    result=$(rig_with_qemu "$dir" "${words[@]}" "cat $dir/archive >&7" 'seq 20000 >&8; echo "the end$mark" >&8' 'exec sleep 600')
    expect_is 'status 3' "$result"
    cmp "$dir/content/random" "$dir/out/random"
    (seq 20000; echo 'the end') | cmp - "$dir/said"
    # What does not come whole is an error, whatever the script's status is.
    result=$(rig_with_qemu "$dir" "${words[@]/status 3/status 0}" "head -c 200000 $dir/archive >&7" 'exit')
    expect_is 'status 125' "$result"
    grep -q 'of /out is incomplete: 200000 bytes' "$dir/errors"
    result=$(rig_with_qemu "$dir" "${words[@]/packed 0/packed 1}" "cat $dir/archive >&7; echo \$mark >&8" 'exec sleep 600')
    expect_is 'status 125' "$result"

    # A word that lacks its value is an error of whoever called.
    for word in --smp --mem --disk --timeout --xen-args --dom0-args --overlay --out; do
        result=$("$RIG" $word 2>&1 >/dev/null && echo 'status 0') || result="status $?: $(tail -n 1 <<<"$result")"
        expect_is "status 125: ci/rig: $word needs a value" "$result"
    done
    rm -rf "$dir"
}

# expect_is WANTED GOT
expect_is() { [ "$1" = "$2" ] || { echo "wanted '$1', got '$2'"; exit 1; }; }

check_suites() { # each check of a suite has its own result, also when one fails, or the machine breaks off under it
    local dir status=0
    dir=$(mktemp -d)
    # A rig in which one check fails in the first boot, and which breaks off under another one in the second. The checks are not run.
    cat >"$dir/rig" <<'EOF'
#!/usr/bin/env bash
echo "ci/rig: console in $(dirname "$0")/run/console"
echo boot >>"$(dirname "$0")/boots"
until [[ $1 = */suite.sh ]]; do shift; done
shift
for name; do
    echo "suite: begin $name"
    echo "this is $name"
    case $name in
    reader-faults) printf 'FAIL: without a line end'; echo "suite: end $name 1"; exit 1 ;;
    reader-killed) echo 'ci/rig: the machine ended by itself'; exit 125 ;;
    *) echo "suite: end $name 0" ;;
    esac
done
EOF
    chmod +x "$dir/rig"
    RIG=$dir/rig XENLR_TEST_LOGS=$dir/logs bash "$ROOT/ci/test" vm/{lifecycles,reader-faults,reader-killed,slow-disk} >"$dir/said" || status=$?
    cat "$dir/said"
    awk '{ print $1, $2 }' "$dir/said" | grep ' vm/' | diff - <(printf '%s\n' 'SUCCESS vm/lifecycles' 'FAILURE vm/reader-faults' \
        'ERROR vm/reader-killed' 'SUCCESS vm/slow-disk') || return 1
    [ "$status $(wc -l <"$dir/boots") $(tail -n 1 "$dir/said")" = '1 3 2 passed, 2 failed, 0 skipped' ] ||
        { echo "status $status, $(wc -l <"$dir/boots") boots, $(tail -n 1 "$dir/said")"; return 1; }
    printf 'this is reader-faults\nFAIL: without a line end\n' | cmp - "$dir/logs/vm-reader-faults.log" || return 1
    echo 'this is slow-disk' | cmp - "$dir/logs/vm-slow-disk.log" || return 1
    rm -rf "$dir"
}

check_rebuilds() { # a changed test, benchmark or example of the crates inside Xen builds no Xen anew, a changed source does; no checkout gets what another one built
    local dir file before
    dir=$(mktemp -d)
    find_rust
    (cd "$ROOT" && cp -r Cargo.toml Cargo.lock hv-logger log-format "$dir")
    before=$(ROOT=$dir hypervisor_inputs xenlr)
    for file in "$dir"/{hv-logger,log-format}/{tests,benches,examples}/*.rs; do echo '// changed' >>"$file"; done
    [ "$(ROOT=$dir hypervisor_inputs xenlr)" = "$before" ] || { echo "what is not linked into Xen builds it anew"; return 1; }
    for file in hv-logger/src/lib.rs log-format/src/lib.rs log-format/Cargo.toml Cargo.lock; do
        echo >>"$dir/$file"
        [ "$(ROOT=$dir hypervisor_inputs xenlr)" != "$before" ] || { echo "control: a changed $file does not build Xen anew"; return 1; }
        before=$(ROOT=$dir hypervisor_inputs xenlr)
    done
    find_cargo
    (cd "$ROOT" && cp --parents Cargo.lock fuzz/Cargo.lock "$dir")
    expect_is "$(CACHE=$dir/cache checks_dir tests)" "$(CACHE=$dir/cache checks_dir tests)"
    before=$(CACHE=$dir/cache ROOT=$dir checks_dir tests)
    [ "$(CACHE=$dir/cache checks_dir tests)" != "$before" ] || { echo "another checkout gets what this one built"; return 1; }
    mkdir -p "$dir/tree/xen/common/xenlr/target"
    touch "$dir/tree/xen/common/xenlr/target/object"
    (ROOT=$dir forget_others "$dir/tree")
    [ ! -e "$dir/tree/xen/common/xenlr/target/object" ] || { echo "Xen gets another checkout's library"; return 1; }
    touch "$dir/tree/xen/common/xenlr/target/object"
    (ROOT=$dir forget_others "$dir/tree")
    [ -e "$dir/tree/xen/common/xenlr/target/object" ] || { echo "control: the library is built anew each time"; return 1; }
    rm -rf "$dir"
}

check_arrows() { # crates, and the modules of the guest, use each other one way only, as they are listed
    local dir
    "$ROOT/ci/checks/arrows" "$ROOT"
    # Controls: an arrow that goes back, between crates and between modules.
    dir=$(mktemp -d)
    (cd "$ROOT" && cp -r --parents {hv-logger,log-format,xenlr,vm-tests,fuzz,minios-guest}/Cargo.toml minios-guest/src docs/design.md "$dir")
    sed -i 's/^\[dependencies\]/&\nxenlr = { workspace = true }/' "$dir/log-format/Cargo.toml"
    echo 'use crate::witness;' >>"$dir/minios-guest/src/hypercall.rs"
    ! "$ROOT/ci/checks/arrows" "$dir" >"$dir/said" || { echo "control: arrows that go back are not found"; return 1; }
    grep -q 'log-format uses \[\]' "$dir/said"
    grep -q 'hypercall uses witness' "$dir/said"
    rm -rf "$dir"
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
    xen_git "$XEN_REPO" archive "$XEN_COMMIT:xen/common/xenlr" Makefile prelink.lds | tar -x -C "$dir/xen"
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
    build_xen xenlr
    find_rust
    find_cargo
    export XEN_OUT
    # In the cache, so that the core library is compiled once for all checkouts.
    with_lock panics verify_panics "$(checks_dir panics)"
}

verify_panics() { # DIR
    local dir=$1 object imports
    rm -rf "$dir/src" "$dir/xen/hv-logger.o"
    mkdir -p "$dir/src"
    (cd "$ROOT" && cp -r Cargo.toml Cargo.lock hv-logger log-format vm-tests xenlr "$dir/src")
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
    # libFuzzer is C++; the corpora are replayed by check_cargo in any case. Whatever else fails is a failure.
    command -v c++ >/dev/null || { echo "no C++ compiler, which libFuzzer needs"; exit 77; }
    "$run" none
    FOUND=$(mktemp -d)
    export FOUND
    # libFuzzer's own status for a find would read as a SKIP.
    "$run" decoder -seed=1 -runs=200000 -max_total_time=60 -error_exitcode=1 || return 1
    "$run" file_reader -seed=1 -runs=50000 -max_total_time=60 -error_exitcode=1 || return 1
    "$run" ffi -seed=1 -runs=50000 -max_total_time=60 -error_exitcode=1 || return 1
    "$run" frontends -seed=1 -runs=100000 -max_total_time=60 -error_exitcode=1 || return 1
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

check_abi() { # sizes, offsets and numbers of the public headers are the same in Rust, and the hypervisor's own list of values
    local tree
    find_cargo
    source_commit xenlr
    tree=$(mktemp -d)
    xen_git "$XEN_REPO" archive "$XEN_COMMIT" xen/include/public xen/include/xen/xenlr.h | tar -x -C "$tree"
    (cd "$ROOT" && compare_abi)
    # Control: a field that moved is found.
    sed -i 's/^    uint32_t magic; .*/    uint32_t moved;\n&/' "$tree/xen/include/public/xenlr.h"
    (cd "$ROOT" && ! compare_abi >"$tree/log" 2>&1) || { echo "control: a moved field is not found"; return 1; }
    grep -q 'magic)*: Xen says' "$tree/log" || { echo "control: it fails, but not for the moved field"; cat "$tree/log"; return 1; }
    rm -rf "$tree"
}

check_header() { # the C header of the hypervisor library is what cbindgen makes of it
    local header cbindgen
    header=$(cd "$ROOT" && git ls-files 'hv-logger/*.h' | head -n 1)
    [ -n "$header" ] || { echo "hv-logger has no committed header"; exit 77; }
    cbindgen=$(command -v cbindgen) || cbindgen=none
    # Each version writes headers of its own.
    [ "$("$cbindgen" --version 2>/dev/null)" = "cbindgen $CBINDGEN_VERSION" ] || cbindgen=$CACHE/cbindgen-$CBINDGEN_VERSION/bin/cbindgen
    if [ ! -x "$cbindgen" ]; then
        find_cargo
        host_cargo install -q --locked --root "$CACHE/cbindgen-$CBINDGEN_VERSION" --version "=$CBINDGEN_VERSION" cbindgen ||
            { echo "no cbindgen, and it cannot be installed"; exit 77; }
    fi
    "$cbindgen" -q --config "$ROOT/hv-logger/cbindgen.toml" "$ROOT/hv-logger" | diff -u "$ROOT/$header" - ||
        { echo "$header is stale: write it anew with cbindgen --config hv-logger/cbindgen.toml -o $header hv-logger"; exit 1; }
    # Xen has a copy of it.
    source_commit xenlr
    xen_git "$XEN_REPO" show "$XEN_COMMIT:xen/include/xen/hv-logger.h" | diff -u - "$ROOT/$header" ||
        { echo "the series has another header: copy $header to xen/include/xen/ in its tree"; exit 1; }
}

check_shell() { # the scripts have no fault that is known to shellcheck, which finds a function that is called where errexit does not hold
    local files host=() dom0=() file
    # shellcheck disable=SC2086  # words
    install_packages $PACKAGES_TEST
    files=$(cd "$ROOT" && git ls-files)
    cd "$ROOT"
    for file in $files; do
        case $(head -c 100 "$file" | tr -d '\0' | head -n 2 | tr '\n' ' ') in
        '#!'*bash* | *'shellcheck shell=bash'*) host+=("$file") ;;
        '#!/bin/sh'* | '# For scripts that run in the rig'*) dom0+=("$file") ;;
        esac
    done
    shellcheck --severity=warning "${host[@]}"
    shellcheck --severity=info --include=SC2310,SC2311 build.sh ci/lib/*.sh ci/lib/step ci/source ci/rig ci/soak ci/nightly ci/demo ci/bench/run ci/bench-host
    # In dom0: busybox has "local"; $log and the like are set by /rig/lib.sh, or are for it.
    shellcheck --severity=warning --shell=dash --exclude=SC2154,SC2034,SC2155 "${dom0[@]}"
    echo "${#host[@]} scripts of the host, ${#dom0[@]} of dom0"
    # Control.
    printf '#!/bin/bash\nset -e\nf() { false; echo on; }\nif f; then echo on; fi\n' >"$TARGET/control.sh"
    ! shellcheck "$TARGET/control.sh" >"$TARGET/control.log" || { echo "control: nothing is found"; return 1; }
    grep -q SC2310 "$TARGET/control.log"
}

check_errors() { # each step of the build, broken, ends the run: one message, no stamp, nothing old is used
    errors_check
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
