#!/bin/sh
# A disk that is too slow for a log holds up the guest whose log it is, and status says so, but no other guest; nothing is lost.
# The guest is GRUB, which never sleeps. Control: with its log in memory it gets several times as far in the same time.
# rig: --smp 2 --disk 16,4
# suite: readers
# takes: 144 s
. /rig/lib.sh

full() { xenlr status "$1" | grep -q '^state  *ring full'; }
# to_prompt NAME: starts it and waits until it can be typed to.
to_prompt() {
    guest "$1" /guests/grub.xen 'memory=64' 'xenlr="record,buffer_kb=16"'
    wait_console "$1" 'grub>'
}
# progress NAME: how many records it makes in ten seconds.
progress() {
    local before
    before=$(status_of "$1" records)
    sleep 10
    echo $(($(status_of "$1" records) - before))
}
# The kernel's image, which would have to get through to the disk first, is left out of the log.
daemon() { # DIR
    LOGS=$1
    xenlr daemon --dir "$1" --max-image 0 --interval 1 >/out/daemon.log 2>&1 &
    reader=$!
}
halt() { # NAME
    type_line "$1" halt
    wait_log "$1"
}

mkdir /memory
daemon /memory
to_prompt fast
fast=$(progress fast)
halt fast
verify 'with its log in memory' "$log" --kernel /guests/grub.xen
kill $reader

daemon /disk
to_prompt slow
wait_until full slow || fail "it does not wait for the disk: $(xenlr status slow)"
note "it waits for the disk: $(xenlr status slow | grep -E '^(state|sync|ring|paused)' | tr -s ' \n' ' ')"
guest free /guests/minios 'cmdline="compute n=2"' 'memory=8'
wait_console free '^compute: n=2'
wait_end free
within 30 full slow || fail "the other guest ran when this one no longer waited: $(xenlr status slow)"
slow=$(progress slow)
note "in 10 s it made $slow records; with its log in memory, $fast"
[ "$slow" -gt 0 ] || fail "it does not go on at all"
[ $((3 * slow)) -lt "$fast" ] || fail "it was not held up more than the control"
halt slow
verify 'with its log on the slow disk' "$log" --kernel /guests/grub.xen
no_faults
