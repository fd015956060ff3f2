#!/bin/sh
# Second boot of another-boot: replays, in another order and beside other domains.
. /rig/lib.sh

xen_has_booted
bad=0
guest first /guests/minios 'cmdline="shell"' 'memory=24'
for name in torture grub lin; do
    (verify "$name, of another boot" /logs/$name.xlr) || bad=$((bad + 1))
done
xl destroy first
xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad replays were not equal"
