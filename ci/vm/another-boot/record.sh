#!/bin/sh
# First boot of another-boot: records.
. /rig/lib.sh

start_daemon
logged lin /guests/vmlinuz 'memory=128' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
logged roots /guests/minios 'cmdline="roots"' 'memory=16'
logged torture /guests/minios 'cmdline="torture 1 steps=500"' 'memory=16'
logged grub /guests/grub.xen 'memory=64'
wait_console grub 'grub>'
type_line grub halt
wait_console lin '^guest: ready'
type_line lin work
wait_console lin '^gzip .* 4000 lines'
type_line lin poweroff
for name in roots grub torture lin; do
    wait_log $name
    cp "$log" /out/$name.xlr
    note "$name: $(xenlr info "$log" | grep -E '^(sync|records|end)' | tr -s ' \n' ' ')"
done
no_faults
