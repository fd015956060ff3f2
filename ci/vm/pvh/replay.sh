#!/bin/sh
# Second boot of vm/pvh: replays, in another order and beside other domains.
. /rig/lib.sh

xen_has_booted
guest first /guests/minios 'cmdline="shell"' 'memory=24' "$as_pvh"
bad=0
for name in cases watch hostile forced trapped observe lin; do
    (verify "$name, of another boot" /logs/$name.xlr) || bad=$((bad + 1))
done
for log in /logs/altered-*.xlr; do
    status=0
    xenlr verify "$log" >/tmp/result 2>&1 || status=$?
    note "control, $(basename "$log" .xlr): status $status $(grep -v '^ *$' /tmp/result | tail -n 1)"
    [ $status = 1 ] || { echo "FAIL: control $(basename "$log"): status $status, wanted 1"; bad=$((bad + 1)); }
done
xl destroy first
xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad of these were not as they should be"
