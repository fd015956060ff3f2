#!/bin/sh
# Two processes of dom0 hold patterns in their SSE registers while a guest that uses them too boots on the same CPU.
# usage: dom0.sh [first]: with "first", until the first change.
. /rig/lib.sh

status=0
guest_config lin /guests/vmlinuz 'memory=256' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
xl create /tmp/lin.cfg || status=1
fpucheck 15 "$@" &
fpucheck 15 "$@" || status=1
wait $! || status=1
dmesg | grep -E 'segfault|general protection|traps:' && status=1
exit $status
