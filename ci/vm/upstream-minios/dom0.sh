#!/bin/sh
# In dom0, for upstream-minios.
. /rig/lib.sh

start_daemon
logged upstream /guests/upstream 'memory=64'
wait_until test -s "$(console_file upstream)" || fail "it printed nothing"
for key in x y z; do (type_keys upstream $key) || break; done
sleep 5
[ -z "$(domid upstream)" ] || xenlr stop upstream || fail "xenlr stop: $?"
wait_log upstream
xl destroy upstream 2>/dev/null
console upstream | head -n 5
xenlr info "$log"
verify "upstream Mini-OS" "$log"
no_faults
