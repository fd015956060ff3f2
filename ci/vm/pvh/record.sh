#!/bin/sh
# First boot of vm/pvh: records, and replays beside the running original.
. /rig/lib.sh

xen_has_booted
start_daemon
minios() { # NAME CMDLINE [LINE…]
    local name=$1 cmdline=$2
    shift 2
    guest "$name" /guests/minios 'memory=16' "$as_pvh" 'on_reboot="preserve"' "cmdline=\"$cmdline\"" 'xenlr="record,force=off"' "$@"
}
guest lin /guests/vmlinuz 'memory=160' "$as_pvh" 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"' 'xenlr="record,force=off"'
minios observe 'observe seconds=3000'
minios forced 'spin still ticks=30' 'xenlr="record"'
minios cases cases
minios hostile 'hostile 1 steps=300'
minios talk 'talk seconds=600'

wait_console observe '^observe: begins'
type_keys observe helloq
changes() { console "$1" | sed -n "s/^watch: \(.* \)\{0,1\}$2 changes=\([0-9]*\).*/\2/p" | head -n 1; }
# Keys for two guests that spin, until they have.
PAUSED=1
minios watch 'watch seconds=2'
guest unlogged /guests/minios 'memory=16' "$as_pvh" 'cmdline="watch seconds=2"'
unset PAUSED
for name in watch unlogged; do
    xenstore-read "/local/domain/$(domid $name)/console/tty" >/tmp/tty.$name || fail "$name has no console"
done
for name in watch unlogged; do xl unpause $name; done
have_spun() { printed watch 'after hypercall' 1 && printed unlogged 'after hypercall' 1; }
i=0
while [ $i -lt 1000 ] && { [ $((i % 8)) != 7 ] || ! have_spun; }; do
    for name in watch unlogged; do printf 'k' 2>/dev/null >"$(cat /tmp/tty.$name)"; done
    i=$((i + 1))
    usleep 300000
done
for name in watch unlogged; do wait_console $name '^watch: after hypercall'; done
for state in masked unmasked; do
    expect "changes while a logged guest spins, $state" 0 "$(changes watch $state)"
done
[ "$(changes watch hypercall)" -gt 0 ] || fail "no change after the hypercall"
[ "$(changes unlogged masked)" -gt 0 ] || fail "control: an unlogged guest saw no change while it spun"

# Of a guest that runs on: its log ends, four replays of it go at once, and the guest answers still.
wait_console talk .
xenlr stop --release talk || fail "xenlr stop --release: $?"
is_complete() { xenlr info "$(log_of talk)" | grep -q "^state  *complete"; }
wait_until is_complete
talk=$(log_of talk)
# at_once NUMBER…: so many replays of it, with these numbers, at the same time.
at_once() {
    local n
    for n; do
        (verify "talk, replay $n, at once with others" "$talk" --name talk$n >/tmp/talk$n 2>&1; echo $? >/tmp/talk$n.status) &
        eval "pid$n=\$!"
    done
    for n; do
        eval "wait \$pid$n"
        cat /tmp/talk$n
        expect "status of replay $n" 0 "$(cat /tmp/talk$n.status)"
    done
}
at_once 1 2 3 4
[ -n "$(domid talk)" ] || fail "the original is gone"
xl destroy talk
# Now one of them gets the recorded UUID, and only one.
at_once 5 6

# System calls that leave are sync points, at which events come. Control: where they do not leave, and nothing is forced, none comes.
minios trapped 'spin service ticks=5 ms=5' 'xenlr="record,force=off,syscalls=trap"'
wait_log trapped
xenlr info "$log" | grep -q '^system calls  *leave to Xen' || fail "info does not say that system calls leave"
[ "$(xenlr dump --kind event "$log" | grep -c event)" -ge 5 ] || fail "its events did not come"
minios untrapped 'spin service ticks=5 ms=5'
waits() { xenlr status untrapped | grep -q '^waiting  *for .*: event'; }
wait_until waits || fail "no event waits for a guest whose system calls do not leave"
sleep 1
waits || fail "control: events come all the same"
xl destroy untrapped

wait_console lin '^guest: ready'
type_line lin work
wait_console lin '^gzip .* 4000 lines' 2
type_line lin 'sh date >/dev/null && echo typed'
wait_console lin '^typed'
type_line lin poweroff
for name in observe watch cases hostile forced trapped lin; do
    wait_log $name
    cp "$log" /out/$name.xlr
    note "$name: $(xenlr info "$log" | grep -E '^(sync|records|end)' | tr -s ' \n' ' ')"
    expect "arena of $name" "none, any frames will do" "$(xenlr info "$log" | sed -n 's/^arena *//p')"
done
[ "$(console cases | grep -c ' pass$')" -ge 17 ] || fail "only $(console cases | grep -c ' pass$') cases ran"
console cases | grep -q ' 0 failed$' || fail "some cases fail"
# A loop that does not leave: its ticks came at places, which the log names.
[ "$(xenlr dump --kind place /out/forced.xlr | grep -c place)" -ge 1 ] || fail "no commit was forced upon a guest that spins"
verify 'lin, in the same boot' /out/lin.xlr
xen_is_well
no_faults
