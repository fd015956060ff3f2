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
# Where its system calls do not leave, a guest gets none of the events that came there.
status=0
xenlr verify --patience 5 /logs/untrapped.xlr >/tmp/result 2>&1 || status=$?
note "control, untrapped: status $status $(tail -n 1 /tmp/result)"
[ $status = 9 ] || { echo "FAIL: control untrapped: status $status, wanted 9"; bad=$((bad + 1)); }
xl destroy first
xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad of these were not as they should be"
