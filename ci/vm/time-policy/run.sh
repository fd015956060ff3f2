#!/bin/sh
# With time=1ms a guest's clock is never ahead of Xen's, at most 1 ms behind, and always advances; its log has fewer clock values,
# and replays equal. With time=exact, and without a log, the clock is as Xen's.
# Controls: with time=1ms the clock is more behind than it may be with time=exact; the log that says time=exact diverges.
# rig: --smp 2
# suite: gates
# takes: 105 s
. /rig/lib.sh

start_daemon
bad=0

# What two readings of the same clock may differ by: rounding of the time page's factor, and how old and wrong a page may be.
TOLERANCE=2000

# check NAME BOUND: the clock was within the bound, in nanoseconds. Sets $behind.
check() {
    wait_console "$1" '^clockcheck: [0-9]* readings'
    console "$1" | grep '^clockcheck:'
    read -r readings ahead behind backwards <<END
$(console "$1" | sed -n 's/^clockcheck: \([0-9]*\) readings, at most \([0-9]*\) ns ahead, \([0-9]*\) ns behind, \([0-9]*\) not.*/\1 \2 \3 \4/p')
END
    [ "$readings" -ge 1000 ] || fail "$1: only $readings readings"
    [ "$ahead" -le $TOLERANCE ] || fail "$1: $ahead ns ahead"
    [ "$behind" -le $(($2 + TOLERANCE)) ] || fail "$1: $behind ns behind"
    [ "$backwards" = 0 ] || fail "$1: $backwards readings that were not after the last"
}
count() { xenlr dump --json --kind tsc "$1" | wc -l; }

guest plain /guests/minios 'cmdline="clockcheck seconds=2"' 'memory=8' 'cpus="1"' 'on_poweroff="preserve"'
check plain 0
xl destroy plain
guest exact /guests/minios 'cmdline="clockcheck seconds=3"' 'memory=8' 'xenlr="record"'
check exact 0
wait_log exact
exact=$log
guest bounded /guests/minios 'cmdline="clockcheck seconds=3"' 'memory=8' 'xenlr="record,time=1ms"'
check bounded 1000000
[ "$behind" -gt $((TOLERANCE * 10)) ] || fail "control: with time=1ms the clock is not behind: $behind ns"
wait_log bounded
bounded=$log
note "clock values in the logs: $(count "$exact") with time=exact, $(count "$bounded") with time=1ms"
[ $(($(count "$bounded") * 5)) -lt "$(count "$exact")" ] || fail "time=1ms saves next to no clock values"
xenlr info "$bounded" | grep -q 'up to 1.0 ms behind' || fail "xenlr info does not say the policy"

verify exact "$exact"
verify bounded "$bounded"

# Control: a replay that is told another policy.
/alter "$bounded" /tmp/altered.xlr header time_bound_us 0 || error "no altered log"
status=0
xenlr verify /tmp/altered.xlr >/tmp/result 2>&1 || status=$?
note "control, the log says time=exact: status $status $(tail -n 1 /tmp/result)"
[ $status = 1 ] || fail "control: status $status, wanted 1"
no_faults
