#!/bin/sh
# dom0.sh PATTERN none|one: a logged domain is refused with the pattern; how many unlogged domains there can be all the same.
. /rig/lib.sh

guest_config logged /guests/minios 'xenlr="record"'
status=0
xl create /tmp/logged.cfg >/tmp/create 2>&1 || status=$?
[ $status = 34 ] || { cat /tmp/create; fail "status $status, wanted 34"; }
grep -q -- "$1" /tmp/create || { cat /tmp/create; fail "no '$1'"; }
note "$(grep -m 1 -- "$1" /tmp/create | sed 's/.*xenlr: //')"
expect 'domains' 1 "$(xl list | grep -c ' r\|-----')"
[ -z "$(xenstore-list /libxl 2>/dev/null | grep -v '^0$')" ] || fail 'something of the domain is left in the xenstore'

# The control: it was the log that was refused. Our tools cannot build any domain on a Xen of another interface version.
if [ "$2" = one ]; then
    guest unlogged /guests/minios
    [ -n "$(domid unlogged)" ] || fail 'no unlogged domain either'
    xl destroy unlogged
fi
no_faults
