#!/bin/sh
# A frame of the arena that is to go offline does so when its logged guest is gone, and it, and the slice around it, is given to no
# other guest until it is online again.
# takes: 30 s
. /rig/lib.sh

start_daemon
xen_has_booted
# slice NAME: the first frame of its slice.
slice() { xenlr status --json "$1" | field arena_first_mfn; }
state_is() { xen-hptool mem-status "$frame" | grep -q "\[ $1 *\]"; }
guest_in() { # NAME
    logged "$1" /guests/minios 'cmdline="daytime"' 'memory=8'
    wait_console "$1" '^daytime'
}

guest_in first
first=$(slice first)
frame=$(printf '%x' $((first + 300)))
state_is PAGE_ONLINED || fail "frame $frame: $(xen-hptool mem-status "$frame")"
# The tool goes on to exchange the page, for which it would have to suspend the guest, and fails at that.
xen-hptool mem-offline "$frame" >/tmp/offline 2>&1
state_is 'PAGE_OFFLINE_PENDING.*' || error "frame $frame: $(xen-hptool mem-status "$frame"); mem-offline: $(cat /tmp/offline)"
xl destroy first
wait_until state_is PAGE_OFFLINED || fail "frame $frame, its guest gone: $(xen-hptool mem-status "$frame")"

guest_in second
expect 'whether the next guest has the same slice' no "$([ "$(slice second)" = "$first" ] && echo yes || echo no)"
state_is PAGE_OFFLINED || fail "frame $frame, beside another guest: $(xen-hptool mem-status "$frame")"
xl destroy second

xen-hptool mem-online "$frame" || fail "mem-online: $?"
guest_in third
expect 'the slice of a guest when the frame is online again' "$first" "$(slice third)"
xl destroy third
xen_is_well
no_faults
