#!/bin/sh
# The PV behaviour that the patches touch (order of events, masks, polling, time page, RDTSC, iret and so on) is the same for a
# logged guest as for one that is not.
# One processor: with two, the emulated machine's clocks differ by more than the cases about time allow.
# takes: 69 s
. /rig/lib.sh

start_daemon
guest plain /guests/minios 'cmdline="cases"' 'memory=16'
logged recorded /guests/minios 'cmdline="cases"' 'memory=16'
for name in plain recorded; do
    wait_console $name '^cases: [0-9]* passed'
    console $name | grep '^cases: ' >/tmp/$name
done
cat /tmp/plain
[ "$(grep -c ' pass$' /tmp/plain)" -ge 10 ] || fail "only $(grep -c ' pass$' /tmp/plain) cases ran"
grep -q ' 0 failed$' /tmp/plain || fail "an unlogged guest fails some"
diff /tmp/plain /tmp/recorded || fail "a logged guest behaves differently"
wait_log recorded
verify cases "$log"
no_faults
