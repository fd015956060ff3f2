#!/bin/sh
# First boot of vm/devices: records, and replays in the same boot.
. /rig/lib.sh

xen_has_booted
start_daemon
load_backends
make_bridge

# recorded NAME KIND CMDLINE [LINE…]
recorded() {
    local name=$1 kind=$2 cmdline=$3
    shift 3
    guest "$name" /guests/minios "$(of_kind "$kind")" "cmdline=\"$cmdline\"" 'xenlr="record"' "$@"
}
numbered_image /dev/shm/image

mix='blk requests=300 seed=7 sectors=4096 reconnect=2'
for kind in pv pvh; do
    cp /dev/shm/image /dev/shm/blk-$kind
    recorded blk-$kind $kind "$mix depth=32" "$(with_disk /dev/shm/blk-$kind)"
    wait_log blk-$kind
    console blk-$kind | grep '^blk: '
    console blk-$kind | grep -q ' errors=0 ' || fail "errors of the $kind guest's disk"
    console blk-$kind | grep -q ' wrong=0 busy=0 reconnects=2' || fail "the $kind guest reads something else than it wrote"
done
# An unlogged guest gets the same from such a disk, and leaves the same on it.
cp /dev/shm/image /dev/shm/unlogged
guest unlogged /guests/minios "$as_pvh" "$(with_disk /dev/shm/unlogged)" "cmdline=\"$mix depth=32\""
wait_end unlogged
by_request() { console "$1" | sed -n 's/^blk: by-request \([0-9a-f]*\) .*/\1/p'; }
for kind in pv pvh; do
    expect "digest of the $kind guest" "$(by_request unlogged)" "$(by_request blk-$kind)"
    cmp /dev/shm/unlogged /dev/shm/blk-$kind || fail "the $kind guest leaves something else on its disk"
done

# Both sides idle in between, one in flight.
cp /dev/shm/image /dev/shm/idle
recorded idle pvh 'blk requests=60 depth=1 idle=3' "$(with_disk /dev/shm/idle)"
wait_log idle

# What a disk brings changes nothing while the guest does not leave.
cp /dev/shm/image /dev/shm/watch
recorded watch pvh 'watch seconds=2 disk=8' "$(with_disk /dev/shm/watch)" 'xenlr="record,force=off"'
wait_log watch
console watch | grep '^watch: '
changes() { console watch | sed -n "s/^watch: \(.* \)\{0,1\}$1 changes=\([0-9]*\).*/\2/p" | head -n 1; }
for state in masked unmasked; do
    expect "words that change while a logged guest spins, $state" 0 "$(changes $state)"
done
[ "$(changes hypercall)" -gt 0 ] || fail "nothing had changed after the hypercall"

# taken NAME KIND [--force]: a guest's disk is detached while it is used.
taken() {
    cp /dev/shm/image "/dev/shm/$1"
    recorded "$1" "$2" 'blk requests=100000000 depth=4' "$(with_disk "/dev/shm/$1")"
    wait_console "$1" '^blk: .* sectors'
    xl block-detach ${3:-} "$1" xvda || fail "the disk of $1 cannot be detached"
    wait_console "$1" '^blk: the backend leaves'
    wait_log "$1"
}
taken leaving pv
taken torn pvh --force

# A disk and an interface that come when the guest runs.
cp /dev/shm/image /dev/shm/coming
recorded coming pvh 'blk requests=100 wait=1000'
wait_console coming '^blk: waits'
! xl block-attach coming 'format=raw,vdev=xvda,access=rw,backend=coming,target=/dev/shm/coming' >/tmp/said 2>&1 || fail "a backend in another domain is taken"
grep -q "the backend of 'disk=' has to be in domain 0" /tmp/said || { cat /tmp/said; fail "why another domain's backend is refused"; }
xl block-attach coming 'format=raw,vdev=xvda,access=rw,target=/dev/shm/coming' || fail "no disk can be attached"
wait_log coming
console coming | grep '^blk: '
console coming | grep -q ' requests=100 .* errors=0 ' || fail "errors of a disk that was attached"
recorded arriving pv 'net seconds=100000 wait=1000'
wait_console arriving '^net: waits'
xl network-attach arriving bridge=xenbr0 || fail "no interface can be attached"
wait_console arriving '^net: 10.0.0.2 listens'
udp echo 10.0.0.2 20 1472 8 || fail "the echo of an interface that was attached"
udp end 10.0.0.2
wait_log arriving

for kind in pv pvh; do
    recorded net-$kind $kind 'net seconds=100000' "$(with_network)"
    wait_console net-$kind '^net: 10.0.0.2 listens'
    ping -c 2 -s 1400 10.0.0.2 >/dev/null || fail "the $kind guest does not answer a ping"
    said=$(udp echo 10.0.0.2 200 1472 8) || fail "the $kind guest's echo"
    udp flood 10.0.0.2 500 || fail "the $kind guest's flood"
    udp end 10.0.0.2
    wait_log net-$kind
    console net-$kind | grep '^net: '
    expect "what the $kind guest echoed" "${said##* }" "$(console net-$kind | sed -n 's/^net: echoed \([^ ]*\) .*/\1/p')"
done

for kind in pv pvh; do
    new_disk /dev/shm/both-$kind 4
    recorded both-$kind $kind 'torture 3 steps=800' "$(with_disk /dev/shm/both-$kind)" "$(with_network)"
    wait_log both-$kind
    console both-$kind | grep -q '^torture: seed 3 steps 800 checksum' || fail "torture of the $kind guest"
done

for name in blk-pv blk-pvh idle watch leaving coming torn arriving net-pv net-pvh both-pv both-pvh; do
    cp "$(log_of $name)" /out/$name.xlr
    note "$name: $(xenlr info "$(log_of $name)" | grep -E '^(sync|records|end)' | tr -s ' \n' ' ')"
    # For the controls: the number of the first record that is data and no index of a ring, behind which a guest may look for long.
    xenlr dump --kind page /out/$name.xlr | awk '/ length 1024 / { print NR - 1; exit }' >/out/$name.data
    (verify "$name, in the same boot" /out/$name.xlr) || bad=1
done
xen_is_well
no_faults
[ -z "${bad:-}" ] || fail "not all replays are equal"
