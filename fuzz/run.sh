#!/usr/bin/env bash
# Builds the fuzz targets and runs one of them, or all, with options of libFuzzer.
# usage: fuzz/run.sh [TARGET|all|none] [OPTION…]      (default: all -max_total_time=60)
# Needs no nightly toolchain and no cargo-fuzz: the coverage passes are rustc's own. FOUND names the folder that new
# inputs go to; a run with -runs=N -seed=S from an empty one repeats itself.
set -eu
cd "$(dirname "$0")"
target=${1:-all}
[ $# = 0 ] || shift
[ $# -gt 0 ] || set -- -max_total_time=60
triple=x86_64-unknown-linux-gnu
out=${CARGO_TARGET_DIR:-target}
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=yes -Coverflow-checks=yes --cfg fuzzing"
RUSTFLAGS=$(tr '\n' ' ' <<<"$RUSTFLAGS")
# With --target the flags reach the targets but not the build scripts.
"${CARGO:-cargo}" build -q --locked --release --target "$triple"
case $target in
all) target="decoder file_reader ffi frontends" ;;
none) exit 0 ;;
esac
# The file target makes each file durable; that need not be a disk.
if [ -d /dev/shm ]; then export TMPDIR=/dev/shm; fi
for name in $target; do
    # What is found stays under target/; only hand-picked inputs are committed.
    found=${FOUND:-$out/found}/$name
    seeds=("corpus/$name")
    [ -d "corpus/$name" ] || seeds=()
    mkdir -p "$found" "$out/artifacts"
    echo "fuzz $name $*"
    "$out/$triple/release/$name" "$found" "${seeds[@]}" -max_len=8192 -artifact_prefix="$out/artifacts/$name-" \
        -print_final_stats=1 -verbosity=0 "$@"
done
