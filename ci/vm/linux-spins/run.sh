#!/bin/sh
# Debian's kernel 6.12, which waits in a loop for its timer while it boots, and shells that compute in a loop are recorded and replay
# equal, with all memory compared wherever a commit was forced.
# Control: with force=off a shell's loop keeps everything from the guest, and stop cuts its log off.
# rig: --smp 2 --xen-args xenlr_check_places
# takes: 300 s
. /rig/lib.sh

start_daemon
bad=0
try() { (verify "$@") || bad=$((bad + 1)); }
boots() { guest "$1" "/guests/$2" 'memory=160' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"' "xenlr=\"record$3\""; }

boots new vmlinuz-6.12 ''
boots off vmlinuz ',force=off'
loop='sh while :; do :; done & sleep 1; echo done; kill %1'
wait_console off '^guest: ready'
type_line off "$loop"

wait_console new '^guest: ready'
type_line new "$loop"
wait_console new '^done'
type_line new 'sh timeout 0.1 sh -c "while :; do :; done"; echo out of time'
wait_console new '^out of time'
type_line new 'sh i=0; while [ $i -lt 3000 ]; do i=$((i + 1)); done; echo counted $i'
wait_console new '^counted 3000'
type_line new 'sh echo loops; while :; do :; done'
wait_console new '^loops'
# Ctrl-C
type_line new '' '\003'
wait_console new '^guest: status 130' 1
type_line new work
wait_console new '^gzip .* 4000 lines' 2
type_line new poweroff
wait_log new
new=$log
xenlr info "$new" --by-kind | grep -E '^(sync points|duration|end| place)'
count=$(xenlr info "$new" --by-kind | awk '$1 == "place" { print $2 }')
[ "${count:-0}" -ge 5 ] || fail "only ${count:-no} forced commits"

! printed off '^done' 1 || fail "control: with force=off the shell heard of its time"
xenlr stop off || fail "stop of a guest that computes"
expect "why the log ends" cut "$(end_of "$(log_of off)" reason)"
xl destroy off

try "Linux 6.12" "$new"
try "Linux 6.12 again" "$new"
no_faults
[ $bad = 0 ] || fail "$bad replays were not equal"
