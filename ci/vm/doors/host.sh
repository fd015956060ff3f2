#!/usr/bin/env bash
# What could enter a logged guest beside its log is closed to it: the use that dom0 makes of its grants, the pages of its log,
# the watchdog timer, performance counters, NMIs; a shutdown from outside is in the log. Control: an unlogged guest has them.
# takes: 367 s
set -euo pipefail
here=ci/vm/doors
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
mkdir -p "$overlay/usr/local/bin"
gcc -O1 -static -o "$overlay/usr/local/bin/shutdown" "$here/shutdown.c"
"$RIG" --smp 2 --overlay "$overlay" "$here/dom0.sh"
