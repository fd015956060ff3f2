#!/usr/bin/env bash
# An upstream Mini-OS, given as KERNEL=FILE, runs logged unmodified and replays equal.
set -euo pipefail
here=ci/vm/upstream-minios
[ -n "${KERNEL:-}" ] || { echo "SKIP: no upstream Mini-OS given (KERNEL=FILE)"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/overlay/guests"
cp "$KERNEL" "$work/overlay/guests/upstream"
"$RIG" --smp 2 --overlay "$work/overlay" "$here/dom0.sh"
