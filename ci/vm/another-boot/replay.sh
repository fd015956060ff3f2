#!/bin/sh
# Second boot of another-boot: replays, in another order and beside other domains.
. /rig/lib.sh

xen_has_booted
bad=0
guest first /guests/minios 'cmdline="shell"' 'memory=24'
for name in torture grub lin; do
    (verify "$name, of another boot" /logs/$name.xlr) || bad=$((bad + 1))
done
# Control: the page table that a guest runs on shows that this is another boot.
status=0
xenlr verify /logs/roots.xlr >/tmp/result 2>&1 || status=$?
note "control, Xen's slots of a root page table: status $status $(tail -n 1 /tmp/result)"
[ $status = 1 ] || { echo "FAIL: control: status $status, wanted 1"; bad=$((bad + 1)); }
xl destroy first
xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad of these were not as they should be"
