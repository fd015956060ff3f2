#!/bin/sh
# Second boot of another-boot: replays, in another order and beside other domains. With "control" only the control. /out/roots-equal
# says that it showed nothing.
. /rig/lib.sh

xen_has_booted
bad=0
guest first /guests/minios 'cmdline="shell"' 'memory=24'
if [ "${1:-}" != control ]; then
    for name in torture grub lin; do
        (verify "$name, of another boot" /logs/$name.xlr) || bad=$((bad + 1))
    done
fi
# Control: the page table that a guest runs on shows that this is another boot, if Xen's own tables lie elsewhere.
status=0
xenlr verify /logs/roots.xlr >/tmp/result 2>&1 || status=$?
note "control, Xen's slots of a root page table: status $status $(tail -n 1 /tmp/result)"
case $status in
0) : >/out/roots-equal ;;
1) ;;
*) echo "FAIL: control: status $status, wanted 1"; bad=$((bad + 1)) ;;
esac
xl destroy first
xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad of these were not as they should be"
