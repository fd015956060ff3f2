#!/usr/bin/env bash
# PVH guests, recorded side by side, replay to the same state on any frames: four times at once beside the running original, and in
# another boot, with a larger ramdisk, less memory for dom0 and another scheduler of Xen's. Debian's Linux to its power-off, with
# typed lines, and minios-guest's applications.
# Controls: a log with one record of a kind altered diverges there or later; an unlogged guest sees what enters while it spins; one
# whose system calls do not leave gets no event there, neither when it is recorded nor when the log says that they do not.
# One processor: docs/rig.md says why.
# takes: 180 s
set -euo pipefail
here=ci/vm/pvh
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. ci/vm/host.sh
vm_program alter "$work/alter"

out=${XENLR_RIG_OUT:-$work/out}
"$RIG" --out "$out" "$here/record.sh"

logs=$work/overlay/logs
mkdir -p "$logs"
cp "$out"/*.xlr "$logs/"
# altered LOG KIND NTH
altered() {
    "$work/alter" "$logs/$1.xlr" "$logs/altered-$2.xlr" "$2" "$3" 3 >/dev/null || { echo "$1 has no record of kind $2"; exit 99; }
}
for kind in tsc event witness; do altered cases $kind 5; done
"$work/alter" "$logs/trapped.xlr" "$logs/untrapped.xlr" header trap_syscalls false >/dev/null
# What Xen puts into its heap before dom0 and after it lies elsewhere.
head -c 20M /dev/urandom >"$work/overlay/padding"
"$RIG" --overlay "$work/overlay" --xen-args 'dom0_mem=704M,max:704M sched=credit conring_size=1m' "$here/replay.sh"
