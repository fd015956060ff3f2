#!/bin/sh
# Debian's Linux kernel runs as an unlogged PV guest to user space, reads typed lines, works, and powers off.
# rig: --timeout 150
. /rig/lib.sh

guest lin /guests/vmlinuz 'memory=256' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
wait_console lin '^guest: ready' 90
type_line lin 'good morning'
wait_console lin "^guest: read 'good morning'"
type_line lin work
wait_console lin '^gzip .* 4000 lines' 60 2
expect "both runs of the same work" 1 "$(console lin | grep '^gzip ' | sort -u | wc -l)"
type_line lin poweroff
wait_end lin
no_faults
