#!/bin/sh
# In dom0, for doors.
. /rig/lib.sh

# All of the machine's frames, and some more, as there are holes between them. That some can be mapped shows that the guest looks
# in the right places: the pages that it shares with Xen. They are not tried with the other calls.
frames=$((($(xl info total_memory) + 64) * 256))
start_daemon
guest plain /guests/minios "cmdline=\"doors frames=$frames calls=4096\"" 'memory=16'
logged doors /guests/minios "cmdline=\"doors frames=$frames calls=4096\"" 'memory=16'
for name in plain doors; do
    wait_console $name '^doors: waits for a key'
    # Pending when this returns, and so before the key.
    xl trigger $name nmi || fail "xl trigger $name nmi: $?"
    type_keys $name x
    wait_console $name '^doors: NMIs'
    console $name | grep '^doors: ' >/tmp/$name
done
wait_log doors
diff /tmp/plain /tmp/doors
said() { sed -n "s/^doors: $2//p" "/tmp/$1"; }

expect 'flags of the grants, unlogged: permitted, read, written' '0x19 0x19' "$(said plain "flags of the rings' grants ")"
expect 'flags of the grants, logged: permitted' '0x1 0x1' "$(said doors "flags of the rings' grants ")"
expect 'watchdog, unlogged' 1 "$(said plain 'watchdog ')"
expect 'watchdog, logged: -EOPNOTSUPP' -95 "$(said doors 'watchdog ')"
expect 'NMIs, unlogged: its own, and one from dom0' 2 "$(said plain 'NMIs ')"
expect 'NMIs, logged' 0 "$(said doors 'NMIs ')"
expect 'a copy by frame, one by grant to no known domain, a swap of a ring, unlogged' '0 -1, swapped -12' "$(said plain 'copied ')"
expect 'the same, logged: refused whatever dom0 does' '0 -8, swapped -8' "$(said doors 'copied ')"

# Every call with every frame. Its log is too long to be replayed here, too.
logged all /guests/minios "cmdline=\"doors frames=$frames\"" 'memory=16'
wait_console all '^doors: waits for a key'
console all | grep '^doors: ' >/tmp/all
xl destroy all
for name in plain doors all; do
    expect "exchange of a page of $name" 0 "$(said $name 'exchanged ')"
    expect "number of calls that $name tried" 23 "$(grep -c '^doors: [^:]*: ' /tmp/$name)"
    opened=$(grep '^doors: [^:]*: [^0]' /tmp/$name) && fail "$name could use frames beside its memory: $opened"
done
for name in plain doors; do
    expect "NMI callback of $name" '0, sent 0' "$(said $name 'NMI callback ')"
    expect "counters of $name" fault "$(said $name 'counters ')"
    mapped=$(said $name 'mapped ')
    [ "${mapped%% *}" -gt 0 ] || fail "$name could map nothing, not even the page that it shares with Xen"
done
expect 'frames that can be mapped beside its memory' "$(said plain 'mapped ')" "$(said doors 'mapped ')"
# Nobody sends an NMI to a replay.
verify doors "$log"

logged down /guests/minios 'cmdline="daytime"' 'memory=16' 'on_crash="destroy"'
wait_console down '^daytime' 3
shutdown "$(domid down)" 3 || fail "shutdown: $?"
wait_log down
expect 'how its log ended, as the guest had no part in it' stop "$(end_of "$log" reason)"
wait_end down
verify down "$log"
no_faults
