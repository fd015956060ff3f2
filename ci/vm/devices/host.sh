#!/usr/bin/env bash
# Guests with disks and networks, PV and PVH, are recorded, and replay equal, in the same boot and in another one that has neither
# disk nor bridge: what blk reads and writes, what net echoes, torture with both; a disk that is detached, one that is torn away, a
# disk and an interface that are attached.
# Nothing that dom0 writes to a page on loan is seen before the next sync point.
# Controls: one byte of what a disk or a network brought, altered in a log, makes its replay another one, and so does an event, or a
# ring that does not begin. An unlogged guest sees its pages change while it spins (vm/devices-guest).
# One processor, as for vm/pvh.
# takes: 200 s
set -euo pipefail
here=ci/vm/devices
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. ci/vm/host.sh
vm_program alter "$work/alter"
mkdir -p "$work/first/usr/local/bin"
vm_program udp "$work/first/usr/local/bin/udp"

out=${XENLR_RIG_OUT:-$work/out}
"$RIG" --overlay "$work/first" --out "$out" "$here/record.sh"

logs=$work/second/logs
mkdir -p "$logs"
cp "$out"/*.xlr "$logs/"
# altered LOG KIND NTH BIT
altered() {
    "$work/alter" "$logs/$1.xlr" "$logs/altered-$1-$2.xlr" "${@:2}" >/dev/null ||
        { echo "$1 has no record of kind $2"; exit 99; }
}
for kind in pv pvh; do
    for name in blk-$kind net-$kind; do altered $name page "$(cat "$out/$name.data")" 4000; done
    altered blk-$kind loan 0 1
done
altered blk-pvh event 20 0
head -c 20M /dev/urandom >"$work/second/padding"
"$RIG" --overlay "$work/second" --xen-args 'dom0_mem=704M,max:704M sched=credit' "$here/replay.sh"
