#!/bin/sh
# Unlogged guests, PV and PVH, use disks and network interfaces that dom0 gives them: what blk writes comes back, on both kinds and on
# dom0's file the same; what net echoes is what dom0 sent; torture does both, and a disk that is taken away is noticed. One byte of the
# file, or of what is sent, changed by dom0 makes the digest another one.
# One processor, as for vm/pvh-guest.
# takes: 80 s
. /rig/lib.sh

value() { console "$1" | grep '^blk: ' | tr ' ' '\n' | sed -n "s/^$2=//p"; }
by_request() { console "$1" | sed -n 's/^blk: by-request \([0-9a-f]*\) .*/\1/p'; }
sum_of() { md5sum <"$1" | cut -c1-32; }

# disk_guest NAME KIND WORD…: blk with these words, on the file /dev/shm/NAME; all is as it should be at its end.
disk_guest() {
    local name=$1 kind=$2
    shift 2
    guest "$name" /guests/minios "$(of_kind "$kind")" "$(with_disk "/dev/shm/$name")" "cmdline=\"blk $*\""
    wait_end "$name"
    console "$name" | grep '^blk: '
    expect "errors of $name" 0 "$(value "$name" errors)"
    expect "sectors of $name that held something else" 0 "$(value "$name" wrong)"
    expect "grants of $name in use" 0 "$(value "$name" busy)"
}

xen_has_booted
load_backends
make_bridge
[ -e /dev/shm/image ] || numbered_image /dev/shm/image

# ---- disks ------------------------------------------------------------------------------------------------------------

mix='requests=400 seed=7 sectors=4096 reconnect=2'
for name in pv pvh altered; do cp /dev/shm/image /dev/shm/$name; done
disk_guest pv pv $mix depth=8
disk_guest pvh pvh $mix depth=32
for name in pv pvh; do
    expect "requests of $name" 400 "$(value $name requests)"
    expect "connections of $name after the first" 2 "$(value $name reconnects)"
    for what in reads writes flushes discards; do
        [ "$(value $name $what)" -gt 0 ] || fail "$name made no $what"
    done
done
expect "digest of the PVH guest" "$(by_request pv)" "$(by_request pvh)"
expect "file of the PVH guest" "$(sum_of /dev/shm/pv)" "$(sum_of /dev/shm/pvh)"
! cmp -s /dev/shm/image /dev/shm/pv || fail "nothing was written to the file"
tail -c 2097152 /dev/shm/image >/dev/shm/rest
tail -c 2097152 /dev/shm/pv | cmp - /dev/shm/rest || fail "more was written than the first 4,096 sectors"

printf 'x' | dd of=/dev/shm/altered bs=1 seek=300000 conv=notrunc 2>/dev/null
disk_guest altered pv $mix depth=8
[ "$(by_request pv)" != "$(by_request altered)" ] || fail "control: the digest is the same with another byte on the disk"

# One request at a time, and both sides idle in between.
cp /dev/shm/image /dev/shm/single
disk_guest single pvh requests=60 depth=1 idle=3
cp /dev/shm/image /dev/shm/idle
disk_guest idle pv requests=200 depth=32 idle=10
expect "loop devices in use" '' "$(losetup -a)"

cp /dev/shm/image /dev/shm/leaving
guest leaving /guests/minios "$(with_disk /dev/shm/leaving)" 'cmdline="blk requests=100000000 depth=4"'
wait_console leaving '^blk: .* sectors'
xl block-detach leaving xvda || fail "the disk cannot be detached"
wait_console leaving '^blk: the backend leaves'
wait_end leaving

# Pages that are lent change while the guest does not leave: what a logged one must not see. Some may come before it looks.
cp /dev/shm/image /dev/shm/watch
guest watch /guests/minios "$as_pvh" "$(with_disk /dev/shm/watch)" 'cmdline="watch seconds=2 disk=32"'
wait_end watch
console watch | grep '^watch: masked'
seen=$(console watch | tr ' ' '\n' | sed -n 's/^changes=//p' | head -n 2 | awk '{ sum += $1 } END { print sum }')
[ "$seen" -ge 512 ] || fail "only $seen words changed under the guest's eyes"

# ---- networks ---------------------------------------------------------------------------------------------------------

for kind in pv pvh; do
    guest net-$kind /guests/minios "$(of_kind $kind)" "$(with_network)" 'cmdline="net seconds=100000"'
    wait_console net-$kind '^net: 10.0.0.2 listens'
    ping -c 2 -s 1400 10.0.0.2 || fail "the $kind guest does not answer a ping"
    echo "udp: $(udp echo 10.0.0.2 200 1472 8)" >/tmp/echo-$kind || fail "the $kind guest's echo"
    udp flood 10.0.0.2 500 || fail "the $kind guest's flood"
    ! ping -c 1 -W 1 10.0.0.3 >/dev/null || fail "control: an address that nobody has answers"
    udp end 10.0.0.2
    wait_end net-$kind
    console net-$kind | grep '^net: '
    echoed=$(console net-$kind | sed -n 's/^net: echoed \([^ ]*\) .*/\1/p')
    expect "what the $kind guest echoed" "$(sed 's/.* //' /tmp/echo-$kind)" "$echoed"
    console net-$kind | grep -q ' send-errors=0 receive-errors=0' || fail "errors of the $kind guest's interface"
    [ "$(console net-$kind | sed -n 's/.* sent=//p')" -ge 702 ] || fail "the $kind guest sent too little"
done
guest net-other /guests/minios "$(with_network)" 'cmdline="net seconds=100000"'
wait_console net-other '^net: 10.0.0.2 listens'
udp echo 10.0.0.2 200 1471 8 || fail "the other guest's echo"
udp end 10.0.0.2
wait_end net-other
! console net-other | grep -qF "$echoed" || fail "control: the digest is the same when a byte less is sent"

# ---- both -------------------------------------------------------------------------------------------------------------

for kind in pv pvh; do
    new_disk /dev/shm/both-$kind 4
    guest both-$kind /guests/minios "$(of_kind $kind)" "$(with_disk /dev/shm/both-$kind)" "$(with_network)" \
        'cmdline="torture 3 steps=800"'
    wait_console both-$kind '^torture: seed 3 steps 800 checksum'
    wait_end both-$kind
    ! head -c 4194304 /dev/zero | cmp -s - /dev/shm/both-$kind || fail "torture wrote nothing to its disk"
done
xen_is_well
no_faults
