#!/bin/sh
# In dom0, for edges. usage: dom0.sh [PART…]: these parts, all without one.
. /rig/lib.sh

edges() { # NAME WORDS [LINE…]
    name=$1 words=$2
    shift 2
    guest "$name" /guests/minios "cmdline=\"edges $words\"" 'memory=16' "$@"
}
said() { console "$1" | sed -n "s/^edges: $2//p"; }
state() { xenlr status "$1" | sed -n 's/^state  *//p'; }

# Dom0 wants both processors, so that a guest's vCPU takes turns with it.
busy_processors() {
    rm -f /tmp/enough
    for processor in 1 2 3; do
        (until [ -e /tmp/enough ]; do awk 'BEGIN { for (i = 0; i < 200000; i++) s += i % 7 }'; done) &
    done
}
quiet_processors() { touch /tmp/enough; }

# A ring that is full within a multicall, and nobody who reads it.
full() {
    for entries in 60 400; do
        edges full$entries "values entries=$entries" 'xenlr="record,on_full=stop,buffer_kb=16"' 'on_crash="destroy"'
        wait_console full$entries '^edges: values done'
        note "$entries values a multicall: $(state full$entries)"
    done
    expect 'its log ended at a sync point' released "$(state full60)"
    case $(state full400) in
    failed*) ;;
    *) fail "a multicall with more values than fit: $(state full400)" ;;
    esac
    # Nobody is to wait for a log that has failed.
    ! xenlr stop full400 >/dev/null 2>&1 || fail "xenlr stop of a failed log succeeds"
    before=$(xl list full400 | awk 'NR == 2 { print int($6 * 10) }')
    sleep 3
    used=$(($(xl list full400 | awk 'NR == 2 { print int($6 * 10) }') - before))
    note "processor time in 3 s: $used/10 s"
    [ $used -lt 10 ] || fail "its vCPU does not block any more"
    shutdown "$(domid full400)" 3 || fail "shutdown: $?"
    wait_end full400
    xl destroy full60
}

# Debug exceptions of a hypercall that is preempted.
long() {
    edges plain long
    edges long long 'xenlr="record"'
    for name in plain long; do
        wait_console $name '^edges: steps'
        console $name | grep '^edges:' | sed "s/^/$name /"
    done
    more() { # NAME KIND: how many more there are of a long call than of a short one.
        said "$1" "$2 " | sed 's/short \([0-9]*\) long \([0-9]*\)/\2 - \1/' | { read -r expression; echo $((expression)); }
    }
    [ "$(more plain breakpoints)" -gt 0 ] || fail "control: no hypercall was preempted"
    expect 'breakpoints beside those of a short call' 0 "$(more long breakpoints)"
    expect 'steps beside those of a short call' 0 "$(more long steps)"
    wait_log long
    verify long "$log"
}

reconnect() {
    for name in stock gated; do
        case $name in
        stock) edges stock reconnect ;;
        gated) edges gated reconnect 'xenlr="record"' ;;
        esac
        wait_console $name '^edges: waits'
        home=/local/domain/$(domid $name)
        introduce "$(domid $name)" "$(xenstore-read "$home/store/ring-ref")" "$(xenstore-read "$home/store/port")" ||
            fail "introduce: $? $(console $name | grep '^edges: ')"
        wait_console $name '^edges: name'
        console $name | grep '^edges: ' >/tmp/$name
    done
    cat /tmp/stock
    expect 'its own name' 'edges: name 5 before, 5 after' "$(tail -n 1 /tmp/stock)"
    diff /tmp/stock /tmp/gated || fail "a logged guest sees another connection"
    wait_log gated
    verify gated "$log"
}

# Dom0 shuts a domain down twice before it has had a sync point, or while its end is being digested.
twice() {
    logged down /guests/minios 'cmdline="watch seconds=4"' 'memory=16' 'on_crash="destroy"'
    wait_console down '^watch: spin begins'
    id=$(domid down)
    shutdown "$id" 3 || fail "shutdown: $?"
    shutdown "$id" 3 || fail "the second shutdown: $?"
    wait_log down
    expect 'how its log ended' stop "$(end_of "$log" reason)"
    wait_end down
    verify down "$log"
}

# An unlogged guest's.
wallclock() {
    edges clock wallclock
    wait_console clock '^edges: version'
    command wallclock "$(domid clock)" 20000 || fail "wallclock: $?"
    type_keys clock x
    wait_console clock '^edges: version' 2
    versions=$(said clock 'version of the wallclock ')
    type_keys clock x
    first=$(echo "$versions" | head -n 1) second=$(echo "$versions" | tail -n 1)
    note "version of the wallclock $first, then $second"
    expect 'two for each of 40000 updates' 80000 $((second - first))
}

# A toolstack that asks for the vCPU again when there was no memory for its ring.
vcpus() {
    guest filler /guests/minios 'cmdline="edges wallclock"' "memory=$(($(xl info free_memory) - 9))"
    wait_console filler '^edges: version'
    before=$(free_pages)
    command vcpus 4096 3 >/tmp/vcpus 2>&1 || fail "vcpus: $? $(cat /tmp/vcpus)"
    expect 'what was tried' 'failed 3 times' "$(tail -n 1 /tmp/vcpus)"
    command vcpus 16 3 >/tmp/vcpus 2>&1 || fail "vcpus: $? $(cat /tmp/vcpus)"
    expect 'control: a small ring' 'failed 0 times' "$(tail -n 1 /tmp/vcpus)"
    after=$(free_pages)
    note "$before free pages before, $after after"
    [ $((before - after)) -lt 8 ] || fail "$((before - after)) pages are lost"
    xl destroy filler
    # The PIT is the one device that Xen emulates for PV guests, if the toolstack asks for it.
    ! command vcpus 16 1 0x100 >/tmp/vcpus 2>&1 || fail "a logged domain has a PIT"
    grep -q '^createdomain: Not supported\|^createdomain: Operation not supported' /tmp/vcpus || fail "$(cat /tmp/vcpus)"
}

# A gap that docs/determinism.md names.
selectors() {
    logged gap /guests/minios 'cmdline="edges selectors turns=200000000"' 'memory=16'
    wait_console gap '^edges: selector'
    expect 'a null selector after interrupts of the host' '0 after some turns' "$(said gap 'selector ')"
}

# Another one: the host loads segments again when it has run another vCPU.
segments() {
    busy_processors
    logged stale /guests/minios 'cmdline="edges segments turns=2000000000"' 'memory=16'
    wait_console stale '^edges: segments'
    quiet_processors
    expect 'a selector whose descriptor is gone' failsafe "$(said stale 'segments ')"
}

# The same look has a page of the LDT counted as one.
tables() {
    busy_processors
    logged ldt /guests/minios 'cmdline="edges tables"' 'memory=16'
    wait_console ldt "^edges: the LDT's page"
    quiet_processors
    given=$(said ldt "the LDT's page given ")
    note "a page of the LDT, of 8 times: given $given"
    at_once=${given%% *} later=${given#*, } later=${later%% *}
    [ "$at_once" -gt "$later" ] || fail 'the host does not show in a page of an LDT'
}

# The failsafe callback in the midst of long hypercalls: they are done all the same, once.
failsafe() {
    busy_processors
    edges callback failsafe
    edges called failsafe 'xenlr="record"'
    for name in callback called; do
        wait_console $name '^edges: .* failsafe callbacks'
        note "$name: $(said $name '')"
    done
    quiet_processors
}

# Multicalls that are preempted, with a list that cannot be written to.
lists() {
    edges open lists
    edges closed lists 'xenlr="record"'
    for name in open closed; do
        wait_console $name '^edges: lists done'
        console $name | grep '^edges:' | sed "s/^/$name /"
    done
    console open | grep '^edges: half read-only list' | grep -v ' 0 half done' >/dev/null || fail "control: no multicall was preempted"
    for list in 'read-only' 'half read-only'; do
        expect "a list that is $list" '-14, of 8 8 not begun, 0 half done, 0 done' "$(said closed "$list list ")"
    done
    expect 'a list that can be written to' '0, of 8 0 not begun, 0 half done, 8 done' "$(said closed 'writable list ')"
    expect 'how often the next one was as it was' 3 "$(said closed 'the next one ' | grep -c '^0, arguments kept$')"
    wait_log closed
    verify closed "$log"
}

# Memory that is to go offline is so once the guest has given it back, and not before.
offline() {
    edges retired offline 'xenlr="record"'
    wait_console retired '^edges: frame'
    frame=$(said retired 'frame ')
    xl dmesg -c >/dev/null
    command offline offline "$frame" >/tmp/offline || fail "offline: $?"
    note "frame $frame: $(cat /tmp/offline)"
    expect 'state of the frame while the guest has it: to go offline' 0x8 "$(command offline query "$frame")"
    type_keys retired x
    wait_console retired '^edges: offline'
    expect 'state of the frame: offline' 0x2 "$(command offline query "$frame")"
    wait_end retired
    command offline online "$frame" >/tmp/offline || fail "online: $?"
    expect 'state of the frame: online again' 0 "$(command offline query "$frame")"
}

[ $# -gt 0 ] || set -- full long lists failsafe reconnect twice wallclock vcpus offline selectors segments tables
start=start_daemon
for part; do
    # The first part is to have no reader.
    [ "$part" = full ] || { $start; start=true; }
    $part
done
no_faults
