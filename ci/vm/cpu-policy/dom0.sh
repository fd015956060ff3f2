#!/bin/sh
. /rig/lib.sh

# bits NAME: "LEAF:SUBLEAF REGISTER BIT" of every feature that must be hidden, with 1 where the domain's policy has it.
bits() {
    xen-cpuid -p "$(domid "$1")" >/tmp/policy || error 'xen-cpuid does not work'
    while read -r feature leaf register bit; do
        line=$(grep -i "^ *0*$leaf" /tmp/policy) || { echo "$feature 0"; continue; }
        value=$(echo "${line##*-> }" | cut -d: -f "$register")
        echo "$feature $(((0x$value >> bit) & 1))"
    done <<'FEATURES'
rdrand 00000001:ffffffff 3 30
rdseed 00000007:00000000 2 18
rdpid 00000007:00000000 3 22
xsaveopt 0000000d:00000001 1 0
xsavec 0000000d:00000001 1 1
xgetbv1 0000000d:00000001 1 2
FEATURES
}

# Paused: a processor of QEMU's with all that is none that a PVH guest could run on.
PAUSED=1
for kind in pv pvh; do
    guest $kind-unlogged /guests/minios "type=\"$kind\""
    bits $kind-unlogged >/tmp/unlogged
    guest $kind-logged /guests/minios "type=\"$kind\"" 'xenlr="record"' 'cpuid="host,rdrand=1,rdseed=1,xsavec=1"'
    bits $kind-logged >/tmp/logged
    cp /tmp/policy /out/policy-$kind
    paste -d' ' /tmp/unlogged /tmp/logged
    seen=$(grep -c ' 1$' /tmp/unlogged)
    [ "$seen" -ge 4 ] || error "the control shows only $seen of the features: this processor proves nothing"
    ! grep ' 1$' /tmp/logged || fail "a logged guest ($kind) sees them"
    note "$kind: $seen features of this processor are hidden"
done
no_faults
