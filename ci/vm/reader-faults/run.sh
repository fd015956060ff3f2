#!/bin/sh
# A log that nobody reads, or that cannot be written, loses nothing: the guest waits, or its log ends whole. A guest does not
# begin before its log has a reader, so that one that ends at once has its log too. Control: with on_full=stop it begins.
# rig: --smp 2 --disk 16,4
# suite: readers
# takes: 250 s
# usage: run.sh [ROUNDS BRIEF STEPS FIRST_SEED]: each round has every fault, BRIEF guests that end at once, and STEPS of torture for
# those whose ring fills up.
. /rig/lib.sh

rounds=${1:-1} brief=${2:-4} steps=${3:-4000} seed=${4:-5}
all_logs=$LOGS

record() { # NAME APPLICATION [OPTIONS]
    guest "$1" /guests/minios "cmdline=\"$2\"" 'memory=16' "xenlr=\"record${3:+,$3}\""
}
shown() { xenlr status "$1" | sed -n 's/^state  *//p'; }
is() { [ "$(shown "$1")" = "$2" ]; }
reader() { kill "-$1" "$(cat /run/xenlr-daemon.pid)"; }

# waits NAME: its ring is full; it stands still, and says so, while others run.
waits() {
    local sync before=$(date +%s)
    wait_until is "$1" 'ring full' || fail "$1 is not paused: $(xenlr status "$1")"
    sync=$(status_of "$1" sync)
    guest free /guests/minios 'cmdline="compute n=2"' 'memory=8'
    wait_console free '^compute: n=2'
    wait_end free
    is "$1" 'ring full' && [ "$(status_of "$1" sync)" = "$sync" ] || fail "$1 went on: $(xenlr status "$1")"
    note "$1: paused at sync point $sync with $(status_of "$1" ring_used) bytes in the ring for $(($(date +%s) - before)) s"
}
goes_on() { # NAME STEPS
    wait_console "$1" "^torture: .*steps $2 checksum"
    wait_log "$1"
    verify "$1" "$log"
}

no_reader() {
    record early "torture $seed steps=300"
    record eager "torture $((seed + 1)) steps=300" on_full=stop
    wait_console eager '^torture: seed'
    sleep 1
    expect "state of a guest without a reader" 'no reader yet' "$(shown early)"
    expect "its sync points" 0 "$(status_of early sync)"
    [ -z "$(console early)" ] || fail "it began: $(console early)"
    start_daemon
    goes_on early 300
}

ends_at_once() {
    for i in $(seq "$brief"); do
        record brief$i 'compute n=0'
        wait_end brief$i
    done
    for i in $(seq "$brief"); do wait_log brief$i; done
    expect "reason of its end" shutdown "$(end_of "$log" reason)"
    verify "brief$brief" "$log"
}

stopped_reader() {
    record slow "torture $((seed + 3)) steps=$steps" buffer_kb=16
    wait_console slow '^torture: seed'
    reader STOP
    waits slow
    reader CONT
    goes_on slow "$steps"
    [ "$(grep -c '"slow": the log is' /out/daemon.log)" = 1 ] || fail "the daemon does not say that the log is complete"

    record ends "torture $((seed + 4)) steps=$steps" buffer_kb=16,on_full=stop
    wait_console ends '^torture: seed'
    reader STOP
    wait_console ends '^torture: .*steps '"$steps"' checksum'
    reader CONT
    wait_log ends
    expect "reason of its end" full "$(end_of "$log" reason)"
    verify ends "$log"
}

# bad_directory: it cannot be written, or is full.
bad_directory() {
    reader TERM
    LOGS=/small
    mkdir $LOGS
    mount -t tmpfs -o size=$((steps / 4 + 500))k tmpfs $LOGS
    mount -o remount,ro $LOGS
    xenlr daemon --dir $LOGS --interval 1 >/out/daemon2.log 2>&1 &
    echo $! >/run/xenlr-daemon.pid
    record full "torture $((seed + 5)) steps=$steps" buffer_kb=16
    wait_until grep -q 'full.*Read-only' /out/daemon2.log || fail "the daemon does not say why: $(cat /out/daemon2.log)"
    is full 'no reader yet' || fail "it began: $(xenlr status full)"
    mount -o remount,rw $LOGS
    wait_console full '^torture: seed'
    dd if=/dev/zero of=$LOGS/filler bs=4k 2>/dev/null
    waits full
    grep -q 'No space left' /out/daemon2.log || fail "the daemon does not say why: $(cat /out/daemon2.log)"
    rm $LOGS/filler
    goes_on full "$steps"
    expect "mode of the file" 600 "$(stat -c %a "$log")"
}

# forget: nothing of this round is left for the next one.
forget() {
    reader TERM
    wait_until no_daemon || fail "the daemon does not end"
    for id in $(xl list | awk 'NR > 1 && $2 != 0 { print $2 }'); do xl destroy "$id" 2>/dev/null; done
    wait_until alone || fail "domains stay: $(xl list)"
    umount $LOGS
    rmdir $LOGS
    LOGS=$all_logs
    rm -f "${LOGS:?}"/* "${CONSOLES:?}"/guest-*
}
no_daemon() { ! reader 0; }
alone() { [ "$(xl list | sed 1d | wc -l)" = 1 ]; }

for round in $(seq "$rounds"); do
    no_reader
    ends_at_once
    stopped_reader
    bad_directory
    forget
    note "reader faults: $round of $rounds rounds, $brief guests that ended at once in each"
    seed=$((seed + 10))
done
no_faults
