#!/bin/sh
# Two processes of dom0 hold patterns in their SSE registers while a guest that uses them too boots on the same CPU.
. /rig/lib.sh

status=0
guest_config lin /guests/vmlinuz 'memory=256' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
xl create /tmp/lin.cfg || status=1
fpucheck 20 &
fpucheck 20 || status=1
wait $! || status=1
dmesg | grep -E 'segfault|general protection|traps:' && status=1
exit $status
