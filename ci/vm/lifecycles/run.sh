#!/bin/sh
# Whatever happens to a logged domain, its log says how it ended, and nothing of it stays in Xen: destroyed, rebooted, renamed,
# paused, one of eight, with its tools killed, created and destroyed over and over. Control: a domain that is still there shows as missing memory.
# rig: --smp 2 --disk 16,4
# suite: readers
# takes: 220 s
# usage: run.sh [CYCLES [ROUNDS_OF_EIGHT [STEPS]]]
. /rig/lib.sh

cycles=${1:-4} rounds_of_eight=${2:-1} steps=${3:-150}
start_daemon

alone() { [ "$(xl list | sed 1d | wc -l)" = 1 ]; }
all_gone() { wait_until alone || fail "domains stay: $(xl list)"; }
record() { logged "$1" /guests/minios "cmdline=\"$2\"" 'memory=16'; }
destroy_all() { for id in $(xl list | awk 'NR > 1 && $2 != 0 { print $2 }'); do xl destroy "$id" 2>/dev/null; done; }

# ---- destroyed: what was logged replays, and the log says that it has no end ------------------------------------------

record destroyed 'torture 21'
wait_console destroyed '^torture: step'
xl destroy destroyed
wait_log destroyed
status=0
xenlr verify "$log" >/tmp/result 2>&1 || status=$?
note "destroyed: status $status, $(tail -n 1 /tmp/result)"
expect "status of its verify" 8 $status
all_gone

# ---- rebooted: a new log ----------------------------------------------------------------------------------------------

guest rebooted /guests/minios 'cmdline="shell"' 'memory=8' 'xenlr="record"' 'on_reboot="restart"'
wait_console rebooted '^shell: type help'
type_line rebooted 'reboot'
two_logs() { [ "$(ls $LOGS/rebooted-*.xlr | wc -l)" = 2 ]; }
wait_until two_logs || fail "after a reboot there are these logs: $(ls $LOGS)"
wait_console rebooted '^shell: type help' 2
first=$(ls -tr $LOGS/rebooted-*.xlr | head -n 1)
expect "reason of the first log's end" shutdown "$(end_of "$first" reason)"
expect "code of the first log's end (reboot)" 1 "$(end_of "$first" code)"
type_line rebooted 'quit'
wait_log rebooted
all_gone
verify 'rebooted, first log' "$first"
verify 'rebooted, second log' "$log"

# ---- paused and renamed -----------------------------------------------------------------------------------------------

record renamed 'torture 22 steps=1500'
wait_console renamed '^torture: seed'
xl pause renamed
sleep 2
xl rename renamed newname
xl unpause newname
wait_log renamed
all_gone
verify renamed "$log"

# ---- eight at once ----------------------------------------------------------------------------------------------------

eight() { # FIRST_SEED
    PAUSED=1
    for i in 1 2 3 4 5 6 7 8; do record eight$i "torture $(($1 + i)) steps=$steps"; done
    unset PAUSED
    expect "domains that are recorded" 8 "$(xenlr status | grep -c ' record ')"
    begin=''
    for i in 1 2 3 4 5 6 7 8; do
        xl unpause eight$i &
        begin="$begin $!"
    done
    # shellcheck disable=SC2086  # a list
    wait $begin
    for i in 1 2 3 4 5 6 7 8; do wait_log eight$i; done
    all_gone
    for i in 1 2 3 4 5 6 7 8; do verify "eight$i" "$(log_of eight$i)"; done
    rm -f "$CONSOLES"/guest-eight* $LOGS/eight*.xlr
}
for round in $(seq "$rounds_of_eight"); do eight $((22 + round * 8)); done
note "eight at once: $rounds_of_eight times, all equal"

# ---- tools killed in the middle of a create ---------------------------------------------------------------------------

guest_config half /guests/minios 'cmdline="torture 23 steps=200"' 'memory=16' 'xenlr="record"'
record warm 'torture 24 steps=100'
wait_log warm
all_gone
before=$(free_pages)
for moment in 20000 60000 100000 150000 200000 300000 400000 600000; do
    xl create -q /tmp/half.cfg >/dev/null 2>&1 &
    usleep $moment
    kill -9 $! 2>/dev/null
    wait $! 2>/dev/null
    # A domain that it left appears in the list by its number; Xen may have made it only after the first look.
    destroy_all
    within 60 alone || destroy_all
done
all_gone
within 60 nothing_lost || fail "tools killed: $((before - after)) pages are lost"
note "tools killed: $before free pages before, $after after"

# ---- over and over ----------------------------------------------------------------------------------------------------

before=$(free_pages)
i=0
while [ $i -lt "$cycles" ]; do
    i=$((i + 1))
    record cycle 'torture 25 steps=100000'
    wait_console cycle '^torture: seed'
    [ $i != 1 ] || { lost=$((before - $(free_pages))); [ $lost -gt 64 ] || fail "control: a living domain takes $lost pages"; }
    xl destroy cycle
    all_gone
    rm -f "$(console_file cycle)" $LOGS/cycle-*.xlr
done
within 60 nothing_lost || fail "$cycles cycles: $((before - after)) pages are lost"
note "$cycles cycles: $before free pages before, $after after"
# The arena too: all of it is free for one domain.
guest large /guests/minios 'cmdline="compute n=0"' 'memory=500' 'xenlr="record"'
wait_log large
no_faults
