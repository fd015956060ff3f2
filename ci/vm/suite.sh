#!/bin/sh
# In dom0: tests of one suite in one boot, one after the other. usage: suite.sh NAME… (/suite/NAME is the script of a test)
# Around what a test says stand the lines "suite: begin NAME" and "suite: end NAME STATUS". What it left in /out is in /out/NAME then.
# Between two tests each process, domain and mount that was not there at first is ended, and the logs of guests, Xen and dom0 are
# emptied. After a test that failed nothing more runs: the others get another boot.
. /rig/lib.sh

processes() { for dir in /proc/[0-9]*; do [ ! -e "$dir/exe" ] || echo "$dir"; done; } # kernel threads run no file
mounts() { cut -d' ' -f2 /proc/mounts; }
added() { "$1" | grep -vxF -f "/suite/$1.first"; } # WHAT: what there is now and was not at first

no_domains() {
    local id
    for id in $(xl list | awk 'NR > 1 && $2 != 0 { print $2 }'); do xl destroy "$id"; done
    [ "$(xl list | sed 1d | wc -l)" = 1 ]
}

# clean_up NAME
clean_up() {
    local path
    for path in $(added processes); do kill -KILL "${path#/proc/}" 2>/dev/null; done
    within 120 no_domains || return
    for path in $(added mounts); do umount "$path" || return; done
    mkdir /suite/out
    for path in /out/*; do
        case "$finished " in
        *" ${path#/out/} "*) ;;
        *) [ ! -e "$path" ] || mv "$path" /suite/out/ ;;
        esac
    done
    mv /suite/out "/out/$1"
    finished="$finished $1"
    rm -rf /tmp/* "${LOGS:?}"/* "${CONSOLES:?}"/* /run/xenlr-daemon.pid
    xl dmesg -c >/dev/null
    dmesg -c >/dev/null
}

finished=''
for what in processes mounts; do $what >"/suite/$what.first"; done
for name; do
    status=0
    echo "suite: begin $name"
    "/suite/$name" || status=$?
    clean_up "$name" || {
        echo "what this test has begun cannot be ended: $(added processes; added mounts; xl list)"
        status=99
    }
    echo "suite: end $name $status"
    case $status in
    0 | 77) ;;
    *) exit $status ;;
    esac
done
