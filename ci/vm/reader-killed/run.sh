#!/bin/sh
# The daemon is killed at random moments and started again, over and over: the log has no gap and no repetition, and replays equal.
# Control: a log from which 200 bytes were taken out does not.
# rig: --smp 2 --disk 16,4
# suite: readers
# takes: 90 s
# usage: run.sh [KILLS [SEED]]
. /rig/lib.sh

kills=${1:-10} seed=${2:-$(date +%s)}
note "$kills kills, seed $seed"
guest killed /guests/minios 'cmdline="torture 11 steps=1000000"' 'memory=16' 'xenlr="record,buffer_kb=16"'
awk -v seed="$seed" -v n="$kills" 'BEGIN { srand(seed); for (i = 0; i < n; i++) print int(rand() * 1000) }' >/tmp/moments
# A daemon lives up to so many milliseconds: longer on a machine that is too slow for it to have written anything by then.
limit=1500
log_size() { stat -c %s "$LOGS"/killed-*.xlr 2>/dev/null | head -n 1; }
while read -r moment; do
    before=$(log_size)
    xenlr daemon --interval 1 >>/out/daemons.log 2>&1 &
    usleep $((moment * limit))
    kill -9 $!
    wait $!
    [ "$(log_size)" != "$before" ] || [ $limit -gt 15000 ] || limit=$((limit * 5 / 4))
done </tmp/moments 2>/dev/null
note "the daemons lived up to $limit ms"
log=$(log_of killed)
[ -z "$log" ] || xenlr info "$log" | grep -E '^(state|sync|records)' | tr -s ' \n' ' '
start_daemon
sleep 2
xenlr stop killed >/dev/null || fail "xenlr stop: $?"
wait_log killed
expect "files of this log" 1 "$(ls $LOGS/killed-*.xlr | wc -l)"
xl destroy killed
# A record that is lost or repeated changes what comes after it: the replay finds it.
verify killed "$log"
xenlr info "$log" | grep -E '^(sync|records|file)'
[ "$(xenlr info --json "$log" | field chunks)" -gt 2 ] || fail "the log was written at once"

size=$(stat -c %s "$log") status=0
{ head -c $((size - 600)) "$log"; tail -c 400 "$log"; } >/tmp/gap.xlr
xenlr verify /tmp/gap.xlr >/tmp/result 2>&1 || status=$?
note "control: status $status $(tail -n 1 /tmp/result)"
[ $status = 2 ] || [ $status = 8 ] || fail "control: a log with a gap: status $status, wanted 2 (damaged) or 8 (torn)"
no_faults
