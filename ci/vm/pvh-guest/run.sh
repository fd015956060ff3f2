#!/bin/sh
# The kernel that is recorded elsewhere as a PV guest is a PVH guest too, from the same file: all cases about events, time and traps
# pass there, and some about 32-bit code; what it digests is what it was given; torture and hostile come to their ends. Debian's GRUB
# for PVH reacts to typed commands.
# One processor, as for vm/cases.
# takes: 40 s
. /rig/lib.sh

pvh() { # NAME CMDLINE
    guest "$1" /guests/minios 'memory=16' "$as_pvh" 'on_reboot="preserve"' "cmdline=\"$2\""
}
state() { xl list "$1" | awk 'NR > 1 { print $5 }'; }
is_over() { state "$1" | grep -q s; }

xen_has_booted
pvh cases 'cases st32'
wait_console cases '^cases: [0-9]* passed'
console cases | grep '^cases: '
[ "$(console cases | grep -c ' pass$')" -ge 20 ] || fail "only $(console cases | grep -c ' pass$') cases ran"
console cases | grep -q ' 0 failed$' || fail "some cases fail"
wait_end cases

# The class of the keys is the FNV-1a digest of "hello" and a q.
pvh observe 'observe seconds=60'
wait_console observe '^observe: begins'
type_keys observe helloq
wait_console observe '^observe: classes'
console observe | grep -E '^observe: (digest|classes)'
wait_end observe
value() { console observe | grep -E '^observe: (digest|classes)' | tr ' ' '\n' | sed -n "s/^$1=//p" | sed -n "$2p"; }
for class in tsc time upcalls ports wallclock; do
    case $(value $class 1) in '' | 0) fail "observe saw nothing of the class $class" ;; esac
done
expect "keys that observe saw" 6 "$(value bytes 1)"
expect "their digest" a9bcf9cca21ff64e "$(value bytes 2)"
[ "$(value mapped 1)" -gt 1 ] || fail "a PVH guest makes exits before it maps the shared info page"

# What is not of a PVH guest, and the ways to end.
pvh roots roots
wait_console roots '^roots: only in a PV guest$'
wait_end roots
pvh crash 'crash ms=50'
wait_console crash '^minios: fatal page fault .* cr2 0xdead0000$'
wait_until is_over crash
expect "state after a crash" c "$(state crash | tr -d s-)"
pvh triple 'crash=triple ms=50'
wait_until is_over triple
expect "state after a triple fault" r "$(state triple | tr -d s-)"
pvh halt 'crash=halt ms=50'
wait_console halt '^crash: halt after'
wait_end halt

pvh torture 'torture 1 steps=600 st32'
wait_console torture '^torture: seed 1 steps 600 checksum'
wait_end torture
# What it prints may be garbled, and it has no console at the end.
pvh hostile 'hostile 1 steps=300'
wait_end hostile

guest grub /guests/grub.pvh 'memory=64' "$as_pvh"
wait_console grub 'grub>'
type_line grub 'echo sum of parts'
wait_console grub '^sum of parts'
type_line grub 'halt'
wait_end grub
no_faults
xen_is_well
