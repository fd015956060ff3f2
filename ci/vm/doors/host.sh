#!/usr/bin/env bash
# What could enter a logged guest beside its log is closed to it: the use that dom0 makes of its grants, frames beside its memory
# in any call that takes one, the watchdog timer, performance counters, NMIs; a shutdown from outside is in the log. Control: an
# unlogged guest has them.
# takes: 367 s
set -euo pipefail
here=ci/vm/doors
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
mkdir -p "$overlay/usr/local/bin"
gcc -O1 -static -o "$overlay/usr/local/bin/shutdown" "$here/shutdown.c"
# A smaller machine: each of its frames is tried. What Xen says of each refusal would take minutes on the serial line.
"$RIG" --smp 2 --mem 640 --xen-args 'dom0_mem=320M,max:320M xenlr_arena=64M@0x10000000 guest_loglvl=none/error' \
    --overlay "$overlay" "$here/dom0.sh"
