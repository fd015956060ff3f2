#!/bin/sh
# GRUB's PV build runs as an unlogged guest and reacts to typed commands.
# rig: --timeout 120
. /rig/lib.sh

guest grub /guests/grub.xen 'memory=64'
wait_console grub 'grub>' 60
type_line grub 'echo sum of parts'
wait_console grub '^sum of parts'
type_line grub 'halt'
wait_end grub
no_faults
