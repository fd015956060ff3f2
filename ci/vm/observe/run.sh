#!/bin/sh
# Nothing enters a logged guest unseen or between two sync points, and nothing of another domain is in its log.
# A guest digests all that it sees: the log's records give the same digest (check.sh). A guest that spins for seconds sees no
# change until its next hypercall; with force=1ms it sees some, each at a place that its log names. Controls: a log with one record altered gives another digest; an unlogged guest beside it sees
# changes.
# rig: --smp 2
# suite: gates
# takes: 104 s
. /rig/lib.sh

start_daemon
PAUSED=1
guest observe /guests/minios 'cmdline="observe seconds=15"' 'memory=8' 'xenlr="record,force=off"'
guest watch /guests/minios 'cmdline="watch seconds=4"' 'memory=8' 'xenlr="record,force=off"'
guest forced /guests/minios 'cmdline="watch seconds=3"' 'memory=8' 'xenlr="record,force=1ms"'
guest unlogged /guests/minios 'cmdline="watch seconds=4"' 'memory=8'

for name in observe watch forced unlogged; do
    xenstore-read "/local/domain/$(domid $name)/console/tty" >/tmp/tty.$name || fail "$name has no console"
done
for name in observe watch forced unlogged; do xl unpause $name; done
# Keys for all, each its own letter (o, w, f, u), until three have spun. Looking at that takes longer than typing, and keys are to
# come while they spin.
have_spun() { printed watch 'after hypercall' 1 && printed forced 'after hypercall' 1 && printed unlogged 'after hypercall' 1; }
i=0
while [ $i -lt 200 ]; do
    if [ $((i % 8)) = 7 ] && have_spun; then break; fi
    for name in observe watch forced unlogged; do
        printf "%.1s" $name 2>/dev/null >"$(cat /tmp/tty.$name)"
    done
    i=$((i + 1))
    usleep 300000
done
note "$i keys for each"
wait_console watch '^watch: after hypercall'
wait_console unlogged '^watch: after hypercall'
wait_console forced '^watch: after hypercall'
console watch
echo "forced: $(console forced | grep changes)"
echo "unlogged: $(console unlogged | grep changes)"
# A line has "masked" and "unmasked".
changes() { console "$1" | sed -n "s/^watch: \(.* \)\{0,1\}$2 changes=\([0-9]*\).*/\2/p"; }
expect "changes while a logged guest spins, upcalls masked" 0 "$(changes watch masked | head -n 1)"
expect "changes while a logged guest spins, upcalls unmasked" 0 "$(changes watch unmasked)"
[ "$(changes watch hypercall)" -gt 0 ] || fail "no change after the hypercall"
expect "changes while a guest with force=1ms spins, upcalls masked" 0 "$(changes forced masked | head -n 1)"
[ "$(changes forced unmasked)" -gt 0 ] || fail "with force=1ms a guest saw no change while it spun"
[ "$(changes unlogged masked | head -n 1)" -gt 0 ] || fail "control: an unlogged guest saw no change while it spun"

# Nothing of the unlogged domain: no status, no log.
xenlr status unlogged >/tmp/status 2>&1 && fail "an unlogged domain has a status: $(cat /tmp/status)"
[ -z "$(log_of unlogged)" ] || fail "an unlogged domain has a log"

wait_log observe
cp "$log" /out/observe.xlr
observe=$log
wait_log watch
# Nor of any other domain: every key in a log is one that was typed into that guest.
expect "keys in the log of observe" o "$(typed "$observe" | fold -w 1 | sort -u)"
expect "keys in the log of watch" w "$(typed "$log" | fold -w 1 | sort -u)"
watch=$log
wait_log forced
forced=$log
upcalls=$(console forced | sed -n 's/^watch: .* upcalls=\([0-9]*\).*/\1/p')
places=$(xenlr dump --kind place "$forced" | grep -c place)
note "$upcalls upcalls in a guest that spins, $places places in its log"
[ "$upcalls" -gt 0 ] && [ "$upcalls" -le "$places" ] || fail "$upcalls upcalls at $places places"
expect "places in the log of watch" 0 "$(xenlr dump --kind place "$watch" | grep -c place)"
log=$watch
xenlr dump --json "$observe" >/out/observe.json
console observe >/out/observe.console
tail -n 2 /out/observe.console
verify observe "$observe" --name observe-again
verify watch "$watch" --name watch-again
no_faults
