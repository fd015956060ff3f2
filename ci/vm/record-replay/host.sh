#!/usr/bin/env bash
# minios-guest's applications, recorded side by side in a busy dom0, replay to the same state, in this boot and in another one.
# Controls: a log with one bit altered in one record, for each kind of record, diverges there or later, and the same guest run
# again without its log ends elsewhere. A log that does not fit is refused with the reason; a torn one replays as far as it goes.
# takes: 330 s
# usage: host.sh [SEEDS STEPS ALTERED FIRST_SEED]: so many seeds of torture, with so many steps; ALTERED logs for each kind of
# record of which every one matters.
set -euo pipefail
here=ci/vm/record-replay
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. ci/vm/host.sh
alter=$work/alter
vm_program alter "$alter"

seeds=${1:-3} steps=${2:-500} places=${3:-1} first_seed=${4:-1}

out=${XENLR_RIG_OUT:-$work/out}
"$RIG" --smp 2 --out "$out" "$here/record.sh" "$seeds" "$steps" "$first_seed"

logs=$work/overlay/logs
mkdir -p "$logs"
cp "$out"/*.xlr "$logs/"
log=$logs/torture1.xlr

# altered KIND NTH BIT: a log with this bit changed, named after the sync number of the record.
altered() {
    local at
    at=$("$alter" "$log" "$work/new.xlr" "$@") || { echo "torture has no record of kind $1"; exit 99; }
    mv "$work/new.xlr" "$logs/altered-$1-$at.xlr"
}
for kind in tsc event value witness drop; do altered $kind 5 3; done
# records KIND: how many the log has; each event has a witness.
records() { target/dist/xenlr dump --json --kind "${1/witness/event}" "$log" | wc -l; }
for kind in tsc event witness; do
    count=$(records $kind)
    for ((i = 1; i < places; i++)); do altered $kind $((5 + i * (count - 5) / places)) 3; done
done
# What the guest did not read before the next one came does not matter: the last of these stands in memory at the end.
for kind in time runstate console_in xenstore_in; do
    altered $kind $(($(records $kind) - 1)) 3
done
altered wallclock 0 3
altered start 0 3
altered end 0 3

log=$logs/daytime.xlr
header() {
    "$alter" "$log" "$work/new.xlr" header "$2" "$3"
    mv "$work/new.xlr" "$logs/refused-$1.xlr"
}
header xen_build xen_build_id '"00112233445566778899aabbccddeeff00112233"'
header arena_place arena_first_mfn 1
header arena_size arena_frames 999999
# The format's version stands after the 8 bytes of magic.
cp "$log" "$logs/refused-version.xlr"
printf '\377' | dd of="$logs/refused-version.xlr" bs=1 seek=8 conv=notrunc status=none
# A byte in the last chunks, of which the file has some before it.
cp "$log" "$logs/refused-damaged.xlr"
at=$(($(stat -c %s "$log") - 120))
byte=$(od -An -tu1 -j $at -N 1 "$log")
printf "\\$(printf %o $((byte ^ 16)))" | dd of="$logs/refused-damaged.xlr" bs=1 seek=$at conv=notrunc status=none
head -c "$at" "$log" >"$logs/torn.xlr"

"$RIG" --smp 2 --overlay "$work/overlay" "$here/replay.sh" "$seeds"
