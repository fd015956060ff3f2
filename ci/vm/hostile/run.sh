#!/bin/sh
# Guests that mean harm (minios-guest's `hostile`), recorded side by side, harm neither Xen nor dom0, and each of their logs is
# well-formed and replays equal to the guest's end, under another domain number and beside other domains than when it was recorded.
# rig: --smp 2 --xen-args conring_size=1m
# suite: replays
# takes: 90 s
# usage: run.sh [ROUNDS GUESTS STEPS FIRST_SEED]: so many guests side by side in each round. The last line counts.
# Control: the guests' own checksums, over all that they saw, differ from seed to seed and from run to run.
. /rig/lib.sh

rounds=${1:-1} guests=${2:-3} steps=${3:-300} seed=${4:-1}
PATIENCE=$((PATIENCE + steps / 5))
xen_has_booted
start_daemon
equal=0 bad=0 sync_points=0
worse() { echo "FAIL: $*"; bad=$((bad + 1)); }

# checksum NAME: what the guest says at its end; with lines of the indices' noise between them.
checksum() { console "$1" | grep -aoE "hostile: seed [0-9]+ steps $steps checksum [0-9a-f]{16}" | tail -n 1; }

replay() { # NAME
    log=$(log_of "$1")
    records=$(xenlr dump "$log" | wc -l)
    xenlr info "$log" >/tmp/info || worse "$1: xenlr info: $?"
    [ "$(sed -n 's/^records *//p' /tmp/info)" = "$records" ] || worse "$1: $records records dumped, but info has $(grep ^records /tmp/info)"
    reason=$(end_of "$log" reason)
    [ "$reason" = shutdown ] || worse "$1 did not get to its end: $reason, $(console "$1" | tail -n 3)"
    if said=$(verify "$1" "$log" --name "r-$1"); then
        equal=$((equal + 1))
        sync_points=$((sync_points + $(echo "$said" | equal_points)))
    else
        bad=$((bad + 1))
        cp "$log" /out/
    fi
    echo "$said"
}

for round in $(seq "$rounds"); do
    note "round $round: seeds $seed to $((seed + guests - 1)), and $seed again"
    names=''
    for at in $(seq $seed $((seed + guests - 1))) "$seed"; do
        name=hostile$at
        case " $names " in *" $name "*) name=again$at ;; esac
        logged $name /guests/minios "cmdline=\"hostile $at steps=$steps\"" 'memory=16'
        names="$names $name"
    done
    for name in $names; do wait_log $name; done
    wait_until nobody_records || fail "still recording: $(xenlr status)"
    xen_is_well
    # Other numbers exist now, and these domains have others.
    guest other /guests/minios 'cmdline="shell"' 'memory=8'
    for name in $names; do
        replay $name
        checksum $name >>/tmp/checksums
    done
    xl destroy other
    xen_is_well
    rm -f "$LOGS"/*.xlr
    seed=$((seed + guests))
done

# Dom0 still works: a guest that is only now created does all that it should.
logged last /guests/minios 'cmdline="torture 1 steps=200"' 'memory=16'
wait_log last
verify last "$log"
expect "domains left" 1 "$(xl list | sed 1d | wc -l)"
xen_is_well
no_faults
[ -s /tmp/checksums ] || fail "no guest could say its checksum"
[ "$(sort -u /tmp/checksums | wc -l)" = "$(wc -l </tmp/checksums)" ] ||
    fail "control: guests saw the same: $(sort /tmp/checksums | uniq -d)"
[ "$equal" = $((rounds * (guests + 1))) ] || bad=$((bad + (bad == 0)))
echo "hostile: $equal equal, $bad not, $sync_points sync points, $(wc -l </tmp/checksums) checksums seen"
[ $bad = 0 ]
