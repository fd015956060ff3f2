#!/usr/bin/env bash
# Logs of one boot replay equal in another one, with a larger ramdisk, less memory for dom0, another scheduler of Xen's, and other
# domains before: Debian's Linux to its power-off, GRUB with a typed command, torture.
# takes: 240 s
set -euo pipefail
here=ci/vm/another-boot
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

out=${XENLR_RIG_OUT:-$work/out}
"$RIG" --smp 2 --out "$out" "$here/record.sh"

mkdir -p "$work/overlay/logs"
cp "$out"/*.xlr "$work/overlay/logs/"
second() { # FOLDER MB WORD…: on a machine with so much memory
    rm -rf "$work/second"
    # What Xen puts into its heap before dom0 and after it lies elsewhere.
    head -c 20M /dev/urandom >"$1/padding"
    "$RIG" --smp 2 --mem "$2" --overlay "$1" --xen-args 'dom0_mem=704M,max:704M sched=credit conring_size=1m' \
        --out "$work/second" "$here/replay.sh" "${@:3}"
}
second "$work/overlay" 2048
# Xen's tables may lie where they lay all the same: then the control takes machines on which they do not.
mkdir -p "$work/control/logs"
cp "$out/roots.xlr" "$work/control/logs/"
for mb in 2304 2560 1920; do
    [ -e "$work/second/roots-equal" ] || exit 0
    second "$work/control" $mb control
done
[ ! -e "$work/second/roots-equal" ] || { echo "FAIL: control: roots replays equal in every other boot"; exit 1; }
