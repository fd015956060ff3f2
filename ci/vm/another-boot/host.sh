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
# What Xen puts into its heap before dom0 and after it lies elsewhere.
head -c 20M /dev/urandom >"$work/overlay/padding"
"$RIG" --smp 2 --overlay "$work/overlay" --xen-args 'dom0_mem=704M,max:704M sched=credit conring_size=1m' "$here/replay.sh"
