#!/bin/sh
# First boot of record-replay: records minios-guest's applications side by side in a busy dom0 and replays each.
# usage: record.sh SEEDS STEPS FIRST_SEED: of torture, as torture1, torture2, …
. /rig/lib.sh

seeds=$1 steps=$2 first_seed=$3
tortures=$(seq "$seeds" | sed 's/^/torture/')
start_daemon
bad=0
# A failure here shall not hide those of the other guests.
try() { (verify "$@") || bad=$((bad + 1)); }

keep_dom0_busy

logged daytime /guests/minios 'cmdline="daytime"' 'memory=8'
logged shell /guests/minios 'cmdline="shell"' 'memory=8'
for i in $(seq "$seeds"); do
    logged torture$i /guests/minios "cmdline=\"torture $((first_seed + i - 1)) steps=$steps\"" 'memory=16'
done
logged again /guests/minios "cmdline=\"torture $first_seed steps=$steps\"" 'memory=16'
logged compute /guests/minios 'cmdline="compute n=40"' 'memory=8'
logged crash /guests/minios 'cmdline="crash"' 'memory=8'
note "all started"

wait_console shell '^> *$|help'
type_line shell 'echo good morning'
wait_console shell '^good morning'
type_line shell 'sum 1000'
wait_console shell '500500'
type_line shell 'time'
type_line shell 'events'
type_line shell 'quit'
wait_log shell
printf 'echo good morning\nsum 1000\ntime\nevents\nquit\n' >/tmp/wanted
typed "$log" >/tmp/typed
cmp /tmp/wanted /tmp/typed || { cat /tmp/typed; fail "what was typed is not in the log, in order and whole"; }
note "shell: what was typed is in the log, in order and whole"

wait_console daytime '^daytime' 4
note 'daytime: runs'
xenlr stop daytime >/dev/null || fail "xenlr stop: $?"
wait_log daytime
note "daytime: stopped"
xl destroy daytime

for name in crash compute $tortures again; do
    wait_log $name
    note "$name: recorded, $(xenlr info "$log" | grep -E '^(sync|records|end)' | tr -s ' \n' ' ')"
done
expect "reason of the crash's end" crash "$(end_of "$(log_of crash)" reason)"
expect "reason of a power-off's end" shutdown "$(end_of "$(log_of compute)" reason)"
touch /tmp/replays
xl destroy crash
wait_until nobody_records || fail "still recording: $(xenlr status)"
note "all recorded: $(ls $LOGS/*.xlr | wc -l) logs"

for name in crash shell daytime compute $tortures again; do try $name "$(log_of $name)" --name r-$name; done

# Control: the same guest run again without its log ends in another state.
one=$(log_of torture1) two=$(log_of again)
[ "$(end_of "$one" memory)" != "$(end_of "$two" memory)" ] || fail "two runs of the same torture end in the same state"
status=0
xenlr diff "$one" "$two" >/tmp/diff || status=$?
expect "xenlr diff of two runs" 1 $status

# Replaying writes the same log again.
(
    verify "shell, with a log" "$(log_of shell)" --record /tmp/again.xlr
    xenlr diff "$(log_of shell)" /tmp/again.xlr || fail "the log of the replay differs: $?"
) || bad=$((bad + 1))

# At the end of its log a guest can go on by itself: it tells the time again, each second.
xenlr replay -q "$(log_of daytime)" --name live --then live >/dev/null || fail "replay --then live: $?"
lines=$(console live | grep -c '^daytime')
wait_console live '^daytime' $((lines + 3))
note "live: $lines lines at the end of the log, then $(console live | grep -c '^daytime')"
xl destroy live

dom0_was_busy
for name in daytime shell $tortures; do cp "$(log_of $name)" /out/$name.xlr; done
no_faults
[ $bad = 0 ] || fail "$bad replays were not equal"
