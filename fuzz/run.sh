#!/usr/bin/env bash
# Builds the fuzz targets and runs one or all of them for a bounded time.
# usage: fuzz/run.sh [TARGET|all] [SECONDS]
# Needs no nightly toolchain and no cargo-fuzz: the coverage passes are rustc's own.
set -eu
cd "$(dirname "$0")"
target=${1:-all} seconds=${2:-60}
triple=x86_64-unknown-linux-gnu
out=${CARGO_TARGET_DIR:-target}
export RUSTFLAGS="-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4
 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table
 -Cllvm-args=-sanitizer-coverage-trace-compares -Cdebug-assertions=yes --cfg fuzzing"
RUSTFLAGS=$(tr '\n' ' ' <<<"$RUSTFLAGS")
# With --target the flags reach the targets but not the build scripts.
cargo build --release --target "$triple"
[ "$target" = all ] && target="decoder file_reader"
# The file target makes each file durable; that need not be a disk.
if [ -d /dev/shm ]; then export TMPDIR=/dev/shm; fi
for name in $target; do
    # What is found stays under target/; only hand-picked inputs are committed.
    found=$out/found/$name
    mkdir -p "$found" "$out/artifacts"
    echo "fuzz $name for $seconds s"
    "$out/$triple/release/$name" "$found" "corpus/$name" -max_total_time="$seconds" \
        -max_len=8192 -artifact_prefix="$out/artifacts/$name-" -print_final_stats=1 -verbosity=0
done
