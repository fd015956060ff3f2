#!/usr/bin/env bash
# What happens rarely or between two exits: continued hypercalls under a debugger's eye, with the failsafe callback in their
# midst, or with a list that cannot be written to; a ring that is full within a multicall, a new connection to xenstored, a vCPU
# for which there is no memory, a frame that goes offline, a second shutdown while the log is about to end, wallclocks that are
# written by two CPUs at once.
# Control: an unlogged guest sees its hypercalls continued. What docs/determinism.md names as gaps shows.
# takes: 420 s
set -euo pipefail
here=ci/vm/edges
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
mkdir -p "$overlay/usr/local/bin"
for program in $here/{introduce,offline,vcpus,wallclock} ci/vm/doors/shutdown; do
    gcc -O1 -static -o "$overlay/usr/local/bin/${program##*/}" "$program.c"
done
"$RIG" --smp 2 --overlay "$overlay" "$here/dom0.sh" "$@"
