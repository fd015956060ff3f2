#!/bin/sh
# In dom0 for hostile-reader. usage: dom0.sh [CALLS ROUNDS SEED]: so many calls in all, and rings written to so often.
. /rig/lib.sh

calls=${1:-8000} rounds=${2:-2} seed=${3:-1}
xen_has_booted
start_daemon

record() { logged "$1" /guests/minios "cmdline=\"$2\"" 'memory=8'; }
domains() { xl list | sed 1d | wc -l; }
only_bystanders() { [ "$(domains)" = 3 ]; }
destroy() { xl destroy "$1" 2>/dev/null; }
state() { xenlr status "$1" | sed -n 's/^state  *//p'; }
held() { grep -q '^hold: domain' /tmp/hold; }
waits() { [ "$(state "$1")" = 'no reader yet' ]; }

# ---- those that are to notice nothing ---------------------------------------------------------------------------------

record bystander1 'daytime'
record bystander2 'talk seconds=100000'
wait_console bystander1 '^daytime' 2
spared="$(domid bystander1) $(domid bystander2)"
# Two logs to replay. A replay needs the place in the arena that its recording had: others find theirs before it.
logged room /guests/minios 'cmdline="daytime"' 'memory=64'
record small 'torture 31 steps=200'
record other 'torture 33 steps=200'
wait_log small
small=$log
wait_log other
other=$log
xl destroy room
wait_until only_bystanders || fail "domains stay: $(xl list)"
before=$(free_pages)

# ---- calls ------------------------------------------------------------------------------------------------------------

# churn: domains are recorded, replayed, and destroyed at any moment, until there is a file /tmp/enough.
churn() {
    i=0
    while [ ! -e /tmp/enough ]; do
        i=$((i + 1))
        guest_config churn /guests/minios "cmdline=\"torture $i steps=100000\"" 'memory=8' 'xenlr="record,buffer_kb=16"'
        xl create -q /tmp/churn.cfg
        usleep $((i * 37 % 20 * 50000))
        destroy churn
        xenlr verify -q "$small" --name churned &
        usleep $((i * 53 % 20 * 100000))
        destroy churned
        wait $!
    done >/tmp/churn.log 2>&1
}

for round in $(seq "$rounds"); do
    # A domain in each state. The first calls may change it: hence several rounds.
    record ended 'talk seconds=100000'
    record running "torture $round steps=100000"
    record dying 'talk seconds=100000'
    xenlr stop ended >/dev/null || fail "xenlr stop: $?"
    xenlr replay -q "$other" --name paused --until 20 >/dev/null || fail "replay --until: $?"
    kill -STOP "$(cat /run/xenlr-daemon.pid)"
    record waiting 'talk seconds=100000'
    wait_until waits waiting || fail "waiting: $(state waiting)"
    # Who keeps a page of it mapped keeps it dying.
    /fuzz_reader hold "$(domid dying)" >/tmp/hold 2>&1 &
    holding=$!
    wait_until held || fail "fuzz_reader hold: $(cat /tmp/hold)"
    destroy dying
    rm -f /tmp/enough
    churn &
    churning=$!
    /fuzz_reader calls "$seed" $((calls / rounds)) $spared >/tmp/calls 2>&1 &
    fuzzing=$!
    sleep 1
    kill -CONT "$(cat /run/xenlr-daemon.pid)"
    wait $fuzzing || { cat /tmp/calls; fail "fuzz_reader calls: $?"; }
    cat /tmp/calls >>/out/calls
    note "$(tail -n 1 /tmp/calls)"
    touch /tmp/enough
    wait $churning
    kill $holding
    for name in waiting ended running paused; do destroy $name; done
    xen_is_well
    seed=$((seed + 1))
done
# count WHAT: over all rounds.
count() { sed -n "s/^$1 \([0-9]*\)$/\1/p" /out/calls | awk '{ sum += $1 } END { print sum + 0 }'; }
awk '!/^calls:/ { n = $NF; sub(/ [0-9]*$/, ""); sum[$0] += n } END { for (what in sum) print "    " what ", " sum[what] }' /out/calls | sort
for what in status stop bind kick until release acquire map; do
    [ "$(count "$what: ok")" -gt 0 ] || fail "control: no $what succeeded"
    [ "$(count "$what: error 3")" -gt 0 ] || fail "control: no $what was for a domain that is not there"
done
for what in stop bind until release acquire map; do
    [ "$(count "$what: error 22")" -gt 0 ] || fail "control: no $what was invalid"
done
for what in 'record running' 'record waiting' 'record ended' 'record released' 'replay until' dying; do
    [ "$(count "seen $what: ok")" -gt 0 ] || fail "control: no domain was seen $what"
done

# ---- rings ------------------------------------------------------------------------------------------------------------

for round in $(seq $((rounds * 3))); do
    # It does nothing but read clocks, so that its small ring fills up at once: only then does Xen look at the reader's index.
    guest written /guests/minios "cmdline=\"torture $round steps=100000000 only=0\"" 'memory=8' 'xenlr="record,buffer_kb=16"'
    wait_console written '^torture: seed'
    /fuzz_reader ring "$seed" "$(domid written)" 1000 >/tmp/ring 2>&1 || { cat /tmp/ring; fail "fuzz_reader ring: $?"; }
    sed 's/^/    recording, /' /tmp/ring
    cat /tmp/ring >>/out/rings
    destroy written
    xenlr replay -q "$small" --name rewritten --until $((round * 40 % 400)) >/dev/null || fail "replay --until: $?"
    /fuzz_reader ring "$seed" "$(domid rewritten)" 300 >/tmp/ring 2>&1 || { cat /tmp/ring; fail "fuzz_reader ring: $?"; }
    sed 's/^/    replaying, /' /tmp/ring
    cat /tmp/ring >>/out/rings
    destroy rewritten
    xen_is_well
    seed=$((seed + 1))
done
for mode in record replay; do
    grep -q "$mode failed$" /out/rings || fail "control: no $mode failed, whatever was written"
done

# ---- afterwards -------------------------------------------------------------------------------------------------------

wait_until only_bystanders || fail "domains stay: $(xl list)"
within 60 nothing_lost || fail "$((before - after)) pages are lost"
note "$before free pages before, $after after"
kill -0 "$(cat /run/xenlr-daemon.pid)" || fail "the daemon died: $(tail -n 5 /out/daemon.log)"
record fresh 'torture 32 steps=200'
[ $((after - $(free_pages))) -gt 64 ] || fail "control: a living domain does not show"
wait_log fresh
fresh=$log
for name in bystander1 bystander2; do
    xenlr stop $name >/dev/null || fail "xenlr stop $name: $?"
    wait_log $name
    xl destroy $name
done
verify bystander1 "$(log_of bystander1)"
verify bystander2 "$(log_of bystander2)"
verify fresh "$fresh"
xen_is_well
no_faults
echo "hostile-reader: $calls calls, $((rounds * 6)) rings written to"
