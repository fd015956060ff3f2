#!/bin/sh
# Debian's kernel 6.12, which waits in a loop for its timer while it boots, and shells that compute in a loop are recorded and replay
# equal, with all memory compared wherever a commit was forced.
# Control: with force=off a shell's loop keeps everything from the guest, and stop cuts its log off.
# rig: --smp 2 --xen-args xenlr_check_places
# takes: 300 s
# usage: run.sh [ROUNDS]: so many times (1); the logs in /logs, which another boot made, are replayed first
. /rig/lib.sh

rounds=${1:-1} bad=0 forced=0 equal=0
try() { if (verify "$@"); then equal=$((equal + 1)); else bad=$((bad + 1)); fi; }
boots() { guest "$1" "/guests/$2" 'memory=160' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"' "xenlr=\"record$3\""; }
loop='sh while :; do :; done & sleep 1; echo done; kill %1'

# session NAME: what is typed into it.
session() {
    wait_console "$1" '^guest: ready'
    type_line "$1" "$loop"
    wait_console "$1" '^done'
    type_line "$1" 'sh timeout 0.1 sh -c "while :; do :; done"; echo out of time'
    wait_console "$1" '^out of time'
    type_line "$1" 'sh i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; echo counted $i'
    wait_console "$1" '^counted 3000'
    type_line "$1" 'sh echo loops; while :; do :; done'
    wait_console "$1" '^loops'
    type_line "$1" '' '\003' # Ctrl-C
    wait_console "$1" '^guest: status 130'
    type_line "$1" work
    wait_console "$1" '^gzip .* 4000 lines' 2
    type_line "$1" poweroff
}

start_daemon
for log in /logs/*.xlr; do [ ! -e "$log" ] || try "Linux 6.12 of another boot" "$log"; done

boots off vmlinuz ',force=off'
wait_console off '^guest: ready'
type_line off "$loop"
for round in $(seq "$rounds"); do
    boots new$round vmlinuz-6.12 ''
    session new$round
    wait_log new$round
    xenlr info "$log" --by-kind | grep -E '^(sync points|duration|end| place)'
    count=$(xenlr info "$log" --by-kind | awk '$1 == "place" { print $2 }')
    [ "${count:-0}" -ge 5 ] || fail "only ${count:-no} forced commits"
    forced=$((forced + count))
    cp "$log" /out/
    try "Linux 6.12" "$log"
done

! printed off '^done' 1 || fail "control: with force=off the shell heard of its time"
xenlr stop off || fail "stop of a guest that computes"
expect "why the log ends" cut "$(end_of "$(log_of off)" reason)"
xl destroy off
no_faults
echo "linux: $equal replays equal, $bad not, $forced commits forced"
[ $bad = 0 ] || fail "$bad replays were not equal"
