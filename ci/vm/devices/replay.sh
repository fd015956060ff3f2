#!/bin/sh
# Second boot of vm/devices: replays without disks, bridge and the modules that serve them.
. /rig/lib.sh

xen_has_booted
bad=0
! grep -qE '^(xen_blkback|xen_netback|loop|bridge) ' /proc/modules || fail "dom0 has what a replay is to do without"
for log in /logs/[!a]*.xlr; do
    (verify "$(basename "$log" .xlr), of another boot" "$log") || bad=$((bad + 1))
done
for log in /logs/altered-*.xlr; do
    status=0
    xenlr verify "$log" >/tmp/result 2>&1 || status=$?
    note "control, $(basename "$log" .xlr): status $status $(grep -v '^ *$' /tmp/result | tail -n 1)"
    case $log:$status in
    *:1 | *-loan.xlr:2) ;; # a ring that did not begin cannot end: Xen does not use such a log further
    *) echo "FAIL: control $(basename "$log"): status $status, wanted 1"; bad=$((bad + 1)) ;;
    esac
done
xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad of these were not as they should be"
