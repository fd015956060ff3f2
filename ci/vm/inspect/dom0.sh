#!/bin/sh
# In dom0, for inspect: dom0.sh START END ADDRESS OFFSET BYTES, from where to where memory is compared, and where in memory and
# in its file the constants are.
. /rig/lib.sh

start=$1 end=$2 constants=$3 constants_offset=$4 constants_bytes=$5
kernel=/guests/minios port=9999
cat >/tmp/look <<GDB
set pagination off
set architecture i386:x86-64
set width 0
set remote memory-read-packet-size 3900
set remote memory-read-packet-size fixed
info registers
info symbol \$rip
backtrace 3
x/16gx \$rsp
GDB

# debug NAME FILE [COMMAND]: what gdb shows of the paused domain, with one more command of gdb's; afterwards the domain stands where
# it stood.
debug() {
    local name=$1 file=$2 id before
    { cat /tmp/look; echo "${3:-}"; echo disconnect; } >/tmp/commands
    id=$(domid "$name")
    before=$(standing "$name")
    gdbsx -a "$id" 64 $port >/tmp/gdbsx.log 2>&1 &
    wait_until listening || fail "gdbsx does not listen: $(cat /tmp/gdbsx.log)"
    LC_ALL=C gdb -nx -batch -ex "target remote 127.0.0.1:$port" -x /tmp/commands $kernel >"$file" 2>&1 ||
        fail "gdb: $(cat "$file")"
    wait $! || fail "gdbsx: $? $(cat /tmp/gdbsx.log)"
    expect "where $name stands after gdb" "$before" "$(standing "$name")"
}
listening() { netstat -ltn | grep -q ":$port "; }
standing() { xl list "$1" | awk 'NR > 1 { print $2, $5 }'; xenlr status "$1" | grep -E '^(state|sync)'; }
rip_of() { sed -n "s/^rip[: ]*\(0x\)*\([0-9a-f]*\).*/\2/p" "$1" | head -n 1; }

start_daemon
logged guest $kernel 'cmdline="torture 41 steps=300"' 'memory=16'
wait_log guest
kill "$(cat /run/xenlr-daemon.pid)"
middle=$(($(xenlr dump --json "$log" | tail -n 1 | field sync) / 2))
note "recorded; the points are $middle and $((middle + 1))"

# ---- two replays to the same point, and one to another ----------------------------------------------------------------

look() { # SYNC FILE
    xenlr replay -q "$log" --name look --until "$1" >/dev/null || fail "replay until $1: $?"
    debug look "$2" "dump binary memory /tmp/memory $start $end"
    md5sum </tmp/memory >>"$2"
    /usr/lib/xen/bin/xenctx -a "$(domid look)" >"$2.xenctx" || fail "xenctx: $?"
    xl destroy look
}
look "$middle" /tmp/first
look "$middle" /tmp/second
look $((middle + 1)) /tmp/third
cat /tmp/first
cp /tmp/first* /tmp/third* /out/
piece() { tail -c +$(($2 + 1)) "$1" | head -c "$constants_bytes"; }
piece $kernel "$constants_offset" >/tmp/wanted
piece /tmp/memory $((constants - start)) >/tmp/read
[ "$(stat -c %s /tmp/read)" = "$constants_bytes" ] && cmp /tmp/wanted /tmp/read ||
    fail "the guest's constants, read by gdb, are not those of its file"
grep -qE ' in section \.text' /tmp/first || fail "gdb knows no symbol at rip"
expect "rip, as gdb and as xenctx have it" "$(rip_of /tmp/first.xenctx)" "$(rip_of /tmp/first)"
cmp /tmp/first /tmp/second || fail "two replays up to sync $middle look different: $(diff /tmp/first /tmp/second)"
cmp /tmp/first.xenctx /tmp/second.xenctx || fail "two replays up to sync $middle look different to xenctx"
! cmp -s /tmp/first /tmp/third || fail "control: sync $((middle + 1)) looks like sync $middle"
note "sync $middle twice: the same; sync $((middle + 1)): $(diff /tmp/first /tmp/third | grep -c '^+') lines of gdb's differ"

# ---- a replay that diverged -------------------------------------------------------------------------------------------

named=0
for kind in event end; do
    [ $kind = end ] && nth=0 || nth=5
    at=$(alter "$log" /tmp/$kind.xlr $kind $nth 3) || error "alter: $at"
    status=0
    xenlr replay -q /tmp/$kind.xlr --name diverged >/tmp/result 2>&1 || status=$?
    expect "status of a replay that diverges" 1 $status
    tail -n 1 /tmp/result
    debug diverged /tmp/diverged
    /usr/lib/xen/bin/xenctx -a "$(domid diverged)" >/tmp/diverged.xenctx || fail "xenctx: $?"
    expect "rip, as gdb and as xenctx have it" "$(rip_of /tmp/diverged.xenctx)" "$(rip_of /tmp/diverged)"
    # Where the guest asked for a value, the message names no place; at the end of a log it does.
    said=$(sed -n 's/.*diverged at sync.* rip 0x\([0-9a-f]*\).*/\1/p' /tmp/result)
    [ -z "$said" ] || { expect "rip, as the message and as gdb have it" "$said" "$(rip_of /tmp/diverged)"; named=$((named + 1)); }
    grep -qE ' in section \.text' /tmp/diverged || fail "gdb knows no symbol where it diverged"
    note "$kind altered at sync $at; gdb shows $(grep ' in section ' /tmp/diverged | head -n 1)"
    xl destroy diverged
done
[ $named -gt 0 ] || fail "no message named the place"
no_faults
