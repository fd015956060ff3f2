#!/bin/sh
# In dom0: see host.sh.
. /rig/lib.sh

start_daemon
xen_has_booted
bad=0
try() { (verify "$@") || bad=$((bad + 1)); }

# spin KIND TICKS MS: records the loop, whose timer is set so far ahead that it has begun by then.
spin() { guest "$1-$round" /guests/minios "cmdline=\"spin $1 ticks=$2 ms=$3\"" 'memory=12' 'xenlr="record,force=1ms"'; }
places() { xenlr info --by-kind "$1" | awk '$1 == "place" { print $2 }'; }

# ended KIND TICKS: it went round so often and came to its end. On a slow machine an event may come before its loop began.
ended() {
    local found
    wait_console "$1-$round" "^spin: $1 ends, $2 ticks"
    wait_log "$1-$round"
    found=$(places "$log")
    total=$((total + ${found:-0}))
    note "$(console "$1-$round" | grep '^spin: .* ends'), ${found:-no} forced commits"
}

total=0
# Loops in which nothing changes, or that pass through seldom visited addresses.
quick='still jump flags calls masked port rep soft'
# Tight ones, through which a replay has to count.
tight='register user rewrite x87 nested wide'
for round in $(seq "${1:-1}"); do
    for kind in $quick; do
        spin $kind 5 5
        ended $kind 5
    done
    for kind in $tight; do
        spin $kind 1 30
        ended $kind 1
    done
    # Each instruction of this one is an exit.
    spin step 2 1
    ended step 2
    # All debug registers are the guest's: nothing is forced, and Xen says so.
    spin all-breakpoints 1 1
    ended all-breakpoints 1
    xl dmesg | grep -q 'uses all debug registers' || fail "Xen does not say that nothing can be forced"
    for kind in $quick $tight step all-breakpoints; do
        try $kind "$(log_of "$kind-$round")"
    done
done
[ "$total" -ge $((15 * ${1:-1})) ] || fail "only $total forced commits in all"
echo "spins: ${1:-1} rounds of 16 kinds, $total commits forced, $bad replays not equal"

# ---- what replays found, kept beside the log ----

# told COUNTED LOG [OPTION…]: it replays equal; the hits of COUNTED (some, none) places were counted. What it said is in /tmp/said.
told() {
    local wanted=$1 counted
    shift
    xenlr verify --json "$@" >/tmp/verdict 2>/tmp/said || { cat /tmp/verdict /tmp/said; fail "verify with places: status $?"; }
    counted=$(field places.counted </tmp/verdict)
    note "$(field places.found </tmp/verdict) places, $counted counted, $(field places.hits </tmp/verdict) hits, $(field seconds </tmp/verdict) s; $(cat /tmp/said)"
    case $wanted in
    some) [ "$counted" -ge 1 ] ;;
    none) [ "$counted" = 0 ] ;;
    esac || fail "the hits of $counted places were counted, wanted $wanted"
}
# forge FILE FACTOR: all hits are multiplied, and the seal is right.
forge() {
    local places
    places=$(sed 's/.*"places":\(\[.*\]\).*/\1/' "$1" | awk -v factor="$2" -v RS='"hits":' 'NR > 1 {
        match($0, /^[0-9]+/); printf "\"hits\":%d%s", substr($0, 1, RLENGTH) * factor, substr($0, RLENGTH + 1); next } { printf "%s", $0 }')
    printf '{"log":"%s","places":%s,"seal":"%s","version":1}\n' "$(field log <"$1")" "$places" \
        "$(printf '%s%s' "$(field log <"$1")" "$places" | sha256sum | cut -d' ' -f1)" >"$1.forged"
    mv "$1.forged" "$1"
}
for kind in register wide; do
    log=$(log_of $kind-1)
    [ -s "$log.places" ] || fail "nothing is kept beside $log"
    note "$kind: $(cat "$log.places")"
    told none --no-places "$log"
    told some "$log"
done
xenlr verify "$log" >/tmp/said 2>&1
grep -qE '^equal: .*; hits were counted for [1-9][0-9]* of [0-9]+ places$' /tmp/said || { cat /tmp/said; fail "what it says of counted hits"; }
cp "$log.places" /tmp/right

forge "$log.places" 1
cmp "$log.places" /tmp/right || { cat "$log.places" /tmp/right; fail "forge makes another file than xenlr"; }
# Too few hits: nothing is lost but time. Too many: the place is passed by, the log is replayed again without them.
for factor in 0.01 2; do
    forge "$log.places" $factor
    told none "$log"
    grep -q 'removed, and the log replayed again without it' /tmp/said || fail "forged places, times $factor: $(cat /tmp/said)"
    told some "$log"
done
# A damaged one, and one of another log, are not used, but written anew.
sed -i 's/"hits":/"hits":1/' "$log.places"
told none "$log"
grep -q 'is not used: it is damaged' /tmp/said || fail "damaged places: $(cat /tmp/said)"
cp "$(log_of register-1).places" "$log.places"
told none "$log"
grep -q 'is not used: it belongs to another log' /tmp/said || fail "places of another log: $(cat /tmp/said)"
told some "$log"

# ---- an end, asked for ----

# asked NAME KIND CONFIG: such a loop is asked to stop; $reason says why its log ends, which replays as far as it goes.
asked() {
    local name=$1
    guest "$name" /guests/minios "cmdline=\"spin $2 ticks=1 ms=100000\"" 'memory=12' "xenlr=\"$3\""
    wait_console "$name" '^spin: .* begins'
    usleep 300000
    xenlr stop "$name" >/tmp/said 2>&1 || { cat /tmp/said; fail "stop of $name"; }
    reason=$(end_of "$(log_of "$name")" reason)
    [ "$reason" != cut ] || cut=$((cut + 1))
    note "$name: $reason"
    xl destroy "$name"
    wait_log "$name"
    try "$name, asked to stop" "$log"
}
cut=0
# A place is looked for no longer than who asks may have to wait: on a busy host that may be too short.
for kind in still deaf rewrite; do
    for i in 1 2 3 4 5; do
        asked "$kind-long$i" $kind record
        [ "$reason" = cut ] || break
    done
    expect "why the last of $i logs of a loop ($kind) ends" stop "$reason"
done
note "$cut logs ended without a place"
asked off-long still 'record,force=off'
expect 'why a log ends where nothing is forced' cut "$reason"
grep -q 'without digests' /tmp/said || fail "stop does not say that there are no digests"

# A domain that is destroyed, and one that is released.
guest down /guests/minios 'cmdline="spin still ticks=1 ms=100000"' 'memory=12' 'xenlr="record"'
wait_console down '^spin: .* begins'
xl destroy down
wait_until gone down || fail "a spinning guest is not destroyed"
guest released /guests/minios 'cmdline="spin still ticks=3 ms=500"' 'memory=12' 'xenlr="record"'
wait_console released '^spin: .* begins'
xenlr stop --release released >/tmp/said 2>&1 || { cat /tmp/said; fail "stop --release"; }
wait_console released '^spin: still ends'

# ---- controls ----

guest off /guests/minios 'cmdline="spin still ticks=1 ms=500"' 'memory=12' 'xenlr="record,force=off"'
wait_console off '^spin: .* begins'
! within 5 printed off '^spin: .* ends' 1 || fail "control: with force=off an event came in the middle"
xenlr status off | tee /tmp/status | grep -qE '^waiting +for .*: event [0-9]+' || { cat /tmp/status; fail "status does not show what waits"; }
xl destroy off

# wrong PATTERN ARG…: a log whose place is altered so (see alter) is replayed no further than that, and the reason is said.
wrong() {
    local pattern=$1 status=0
    shift
    rm -f /tmp/altered.xlr
    alter "$(log_of still-1)" /tmp/altered.xlr "$@" >/dev/null || fail "alter $*"
    xenlr verify --hits 100000 --patience 10 /tmp/altered.xlr >/tmp/said 2>&1 || status=$?
    note "$*: status $status, $(tail -n 1 /tmp/said)"
    grep -qE "$pattern" /tmp/said || fail "control: what it says of an altered place"
}
lost='the place after sync [0-9]+ was not found in [0-9]+ hits'
# The registers, the FPU, the pages, all memory.
wrong "$lost" place
wrong "$lost" place 0 64
wrong "$lost" place 0 128
wrong 'the memory at the place of a forced commit: expected 0x[0-9a-f]+, came 0x[0-9a-f]+' place 0 192
# An address of Xen's, one that is no address, and one where the guest never comes.
wrong '^diverged at sync .*: the place after sync [0-9]+ was not found in 0 hits' rip 0 0xffff82d040204000
wrong '^diverged at sync .*: the place after sync [0-9]+ was not found in 0 hits' rip 0 0x0000800000000000
wrong '^no sync point for 10 s' rip 0 0x1000

xen_is_well
no_faults
[ $bad = 0 ] || fail "$bad replays were not equal"
