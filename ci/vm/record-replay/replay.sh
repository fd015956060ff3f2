#!/bin/sh
# Second boot of record-replay: replays logs of the first one, and controls. usage: replay.sh SEEDS
. /rig/lib.sh

bad=0 diverged=0 refused=0 more=$(seq 4 "$1" | sed 's/^/torture/') # than the short form's three: replayed here, too
worse() { echo "FAIL: $*"; bad=$((bad + 1)); }

for name in torture1 shell $more; do (verify "$name, of another boot" /logs/$name.xlr) || bad=$((bad + 1)); done

# Two replays to the same point show the same registers and memory to the ordinary tools; to another point, others.
look() { # SYNC FILE
    xenlr replay -q /logs/torture1.xlr --name look --until "$1" >/dev/null || fail "replay until $1: $?"
    /usr/lib/xen/bin/xenctx -a "$(domid look)" >"$2" || fail "xenctx: $?"
    xl destroy look
}
middle=$(($(end_of /logs/torture1.xlr sync) / 2))
look $middle /tmp/first
look $middle /tmp/second
look $((middle + 1)) /tmp/third
grep -q '^rip: ' /tmp/first || { cat /tmp/first; fail "xenctx shows no registers"; }
cmp /tmp/first /tmp/second || worse "two replays up to sync $middle show different registers: $(diff /tmp/first /tmp/second)"
! cmp -s /tmp/first /tmp/third || worse "control: sync $((middle + 1)) shows what sync $middle showed"

for file in /logs/altered-*.xlr; do
    what=${file#/logs/altered-} at=${file##*-} status=0
    at=${at%.xlr} what=${what%-*}
    xenlr verify "$file" >/tmp/result 2>&1 || status=$?
    found=$(sed -n 's/.*diverged at sync \([0-9]*\).*/\1/p' /tmp/result)
    note "control, $what altered at $at: status $status $(tail -n 1 /tmp/result)"
    if [ $status != 1 ]; then
        worse "$what altered at $at: status $status, wanted 1"
    elif [ "${found:--1}" -lt "$at" ]; then
        worse "$what altered at $at: found at '$found', before it"
    else
        diverged=$((diverged + 1))
    fi
done

for file in /logs/refused-*.xlr; do
    what=${file#/logs/refused-} status=0
    xenlr verify "$file" >/tmp/result 2>&1 || status=$?
    note "control, ${what%.xlr}: status $status $(tail -n 1 /tmp/result)"
    [ $status = 2 ] || worse "${what%.xlr}: status $status, wanted 2"
    refused=$((refused + 1))
done
status=0
xenlr verify --kernel /guests/grub.xen /logs/daytime.xlr >/tmp/result 2>&1 || status=$?
note "control, another kernel: status $status $(tail -n 1 /tmp/result)"
[ $status = 2 ] || worse "another kernel: status $status, wanted 2"

status=0
xenlr verify /logs/torn.xlr >/tmp/result 2>&1 || status=$?
cat /tmp/result
[ $status = 8 ] || worse "a torn log: status $status, wanted 8"
expect "domains left" 1 "$(xl list | sed 1d | wc -l)"
no_faults
[ $bad = 0 ] || fail "$bad of these were not as they should be"
note "$1 seeds of torture equal, $diverged altered logs diverged, $refused were refused"
