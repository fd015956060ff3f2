#!/bin/sh
# In dom0: see host.sh.
. /rig/lib.sh

start_daemon
xen_has_booted
bad=0
try() { (verify "$@") || bad=$((bad + 1)); }

# spin KIND TICKS MS: records the loop, whose timer is set so far ahead that it has begun by then.
spin() { guest "$1-$round" /guests/minios "cmdline=\"spin $1 ticks=$2 ms=$3\"" 'memory=12' 'xenlr="record,force=1ms"'; }
places() { xenlr info --by-kind "$1" | awk '$1 == "place" { print $2 }'; }

# ended KIND TICKS: it went round so often and came to its end. On a slow machine an event may come before its loop began.
ended() {
    local found
    wait_console "$1-$round" "^spin: $1 ends, $2 ticks"
    wait_log "$1-$round"
    found=$(places "$log")
    total=$((total + ${found:-0}))
    note "$(console "$1-$round" | grep '^spin: .* ends'), ${found:-no} forced commits"
}

total=0
# Loops in which nothing changes, or that pass through seldom visited addresses.
quick='still jump flags calls masked port rep'
# Tight ones, through which a replay has to count.
tight='register user rewrite x87 nested'
for round in $(seq "${1:-1}"); do
    for kind in $quick; do
        spin $kind 5 5
        ended $kind 5
    done
    for kind in $tight; do
        spin $kind 1 30
        ended $kind 1
    done
    # Each instruction of this one is an exit.
    spin step 2 1
    ended step 2
    # All debug registers are the guest's: nothing is forced, and Xen says so.
    spin all-breakpoints 1 1
    ended all-breakpoints 1
    xl dmesg | grep -q 'uses all debug registers' || fail "Xen does not say that nothing can be forced"
    for kind in $quick $tight step all-breakpoints; do
        try $kind "$(log_of "$kind-$round")"
    done
done
[ "$total" -ge $((15 * ${1:-1})) ] || fail "only $total forced commits in all"
echo "spins: ${1:-1} rounds of 14 kinds, $total commits forced, $bad replays not equal"

# ---- an end, asked for ----

# stopped NAME REASON: stop ends it, the log says for which reason, and it replays as far as it goes.
stopped() {
    local name=$1
    wait_console "$name" '^spin: .* begins'
    usleep 300000
    xenlr stop "$name" >/tmp/said 2>&1 || { cat /tmp/said; fail "stop of $name"; }
    expect "why the log of $name ends" "$2" "$(end_of "$(log_of "$name")" reason)"
    note "$name: $2"
    xl destroy "$name"
    wait_log "$name"
    try "$name, stopped" "$log"
}
guest still-long /guests/minios 'cmdline="spin still ticks=1 ms=100000"' 'memory=12' 'xenlr="record"'
stopped still-long stop
guest deaf /guests/minios 'cmdline="spin deaf"' 'memory=12' 'xenlr="record"'
stopped deaf stop
guest count-long /guests/minios 'cmdline="spin rewrite ticks=1 ms=100000"' 'memory=12' 'xenlr="record"'
stopped count-long stop
guest off-long /guests/minios 'cmdline="spin still ticks=1 ms=100000"' 'memory=12' 'xenlr="record,force=off"'
stopped off-long cut
grep -q 'without digests' /tmp/said || fail "stop does not say that there are no digests"

# A domain that is destroyed, and one that is released.
guest down /guests/minios 'cmdline="spin still ticks=1 ms=100000"' 'memory=12' 'xenlr="record"'
wait_console down '^spin: .* begins'
xl destroy down
wait_until gone down || fail "a spinning guest is not destroyed"
guest released /guests/minios 'cmdline="spin still ticks=3 ms=500"' 'memory=12' 'xenlr="record"'
wait_console released '^spin: .* begins'
xenlr stop --release released >/tmp/said 2>&1 || { cat /tmp/said; fail "stop --release"; }
wait_console released '^spin: still ends'

# ---- controls ----

guest off /guests/minios 'cmdline="spin still ticks=1 ms=500"' 'memory=12' 'xenlr="record,force=off"'
wait_console off '^spin: .* begins'
! within 5 printed off '^spin: .* ends' 1 || fail "control: with force=off an event came in the middle"
xenlr status off | tee /tmp/status | grep -qE '^waiting +for .*: event [0-9]+' || { cat /tmp/status; fail "status does not show what waits"; }
xl destroy off

alter "$(log_of still-1)" /tmp/altered.xlr place >/dev/null
status=0
xenlr verify --hits 100000 /tmp/altered.xlr >/tmp/said 2>&1 || status=$?
cat /tmp/said
case $status in
1 | 10) grep -qE 'the place after sync [0-9]+ was not found in [0-9]+ hits' /tmp/said || fail "control: what it says of an altered place" ;;
*) fail "control: an altered place: status $status" ;;
esac

xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad replays were not equal"
