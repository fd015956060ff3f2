# For scripts that run in the rig's dom0: . /rig/lib.sh
# Shell functions to start guests, watch their consoles, type into them, and report.
# What a test has to keep to stands in docs/rig.md.

CONSOLES=/var/log/xen/console
# Seconds of dom0 after which a wait is taken for a hang. What takes 10 s on a quiet machine has taken 100 s on a busy one.
PATIENCE=1200

fail() { echo "FAIL: $*"; save_state; exit 1; }
skip() { echo "SKIP: $*"; exit 77; }
error() { echo "ERROR: $*"; save_state; exit 99; }
note() { echo "[$(cut -d' ' -f1 /proc/uptime)] $*"; }

# save_state: what helps to understand a failure goes to the host through /out.
save_state() {
    mkdir -p /out/state
    cp -r /var/log/xen /out/state/ 2>/dev/null
    xl list >/out/state/xl-list 2>&1
    xl dmesg >/out/state/xl-dmesg 2>&1
    dmesg >/out/state/dmesg 2>&1
}

# guest NAME KERNEL [LINE…]: writes /tmp/NAME.cfg for a PV guest with one vCPU and starts it; a LINE adds to the
# configuration or replaces what is given here ("memory=64"). With PAUSED=1 it waits for xl unpause.
guest() {
    guest_config "$@"
    xl create ${PAUSED:+-p} /tmp/"$1".cfg >/tmp/"$1".create 2>&1 || { cat /tmp/"$1".create; fail "xl create $1"; }
}
guest_config() {
    local name=$1 kernel=$2
    shift 2
    {
        echo "name=\"$name\""
        echo 'type="pv"'
        echo "kernel=\"$kernel\""
        echo 'memory=32'
        echo 'vcpus=1'
        echo 'on_crash="preserve"'
        for line; do echo "$line"; done
    } >/tmp/"$name".cfg
}

# as_pvh: what makes a PVH guest of a PV guest whose kernel has both entries, as a LINE. Under QEMU's TCG such guests must not see
# RDTSCP and XSAVES, which do not work there.
as_pvh='type="pvh"
cpuid="host,rdtscp=0,xsaves=0"'
# of_kind pv|pvh: the LINE for a guest of that kind.
of_kind() {
    case $1 in
    pv) echo 'type="pv"' ;;
    pvh) echo "$as_pvh" ;;
    *) fail "no kind $1" ;;
    esac
}

domid() { xl domid "$1" 2>/dev/null; }
console_file() { echo "$CONSOLES/guest-$1.log"; }

# console NAME: what the guest printed so far.
console() { [ ! -e "$CONSOLES/guest-$1.log" ] || tr -d '\r' <"$CONSOLES/guest-$1.log"; }

# wait_console NAME PATTERN [COUNT]: until COUNT (1) lines of the console match the pattern (grep -E); else the test fails.
wait_console() {
    local name=$1 pattern=$2 count=${3:-1}
    wait_until printed "$name" "$pattern" "$count" ||
        { console "$name" | tail -n 20; fail "$name: no '$pattern' on the console in $PATIENCE s"; }
}

printed() { [ "$(tr -d '\r' <"$CONSOLES/guest-$1.log" | grep -cE -- "$2")" -ge "$3" ]; }

# wait_until COMMAND…: until the command succeeds; returns 1 when it did not in $PATIENCE.
wait_until() { within $PATIENCE "$@"; }
# within SECONDS COMMAND…: the same with a limit of its own, for what need not come.
within() {
    local end pause=300000
    look_at_clock
    end=$((now + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        look_at_clock
        [ $now -lt $end ] || return 1
        # The commands cost processor time that the guests miss: what takes longer is looked at less often.
        usleep $pause
        [ $pause -gt 1000000 ] || pause=$((pause * 5 / 4))
    done
}
# look_at_clock: sets now, in seconds; without a process.
look_at_clock() {
    read -r now _ </proc/uptime
    now=${now%.*}
}

# type_keys NAME TEXT: one character at a time, as a person does it; some guests lose bursts. No line end is added.
type_keys() {
    local tty rest=$2 next
    tty=$(xenstore-read "/local/domain/$(domid "$1")/console/tty") || fail "$1 has no console"
    while [ -n "$rest" ]; do
        next=${rest#?}
        printf '%s' "${rest%"$next"}" >"$tty"
        rest=$next
        usleep 30000
    done
}

# type_line NAME TEXT [END]: the characters and then a carriage return (or END, a printf format).
type_line() {
    local tty
    type_keys "$1" "$2"
    tty=$(xenstore-read "/local/domain/$(domid "$1")/console/tty")
    # shellcheck disable=SC2059  # END is a format
    printf "${3:-\r}" >"$tty"
}

# wait_end NAME: until the domain is gone.
wait_end() {
    wait_until gone "$1" || fail "$1 did not end in $PATIENCE s: $(xl list "$1" | tail -n 1)"
}
gone() { [ -z "$(domid "$1")" ]; }

# expect WHAT WANTED GOT
expect() { [ "$2" = "$3" ] || fail "$1: wanted '$2', got '$3'"; }

# no_faults: no program of dom0 died of a fault, and Xen complained of nothing serious.
no_faults() {
    local faults
    faults=$(dmesg | grep -E 'segfault|general protection|traps:|Oops|BUG:')
    [ -z "$faults" ] || fail "faults in dom0: $faults"
}

# xen_is_well: Xen may complain of guests and of dom0, but not of itself. What it said is gone from its own buffer afterwards; what it
# said of the machine while it booted is not looked at, if xen_has_booted comes first.
xen_has_booted() { xl dmesg -c >/dev/null; }
xen_is_well() {
    xl dmesg -c >>/tmp/xen-dmesg
    ! grep -nE 'Xen BUG|Assertion|Panic on CPU|FATAL|DOUBLE FAULT|Xen call trace|Xen WARN' /tmp/xen-dmesg ||
        fail "Xen complains of itself"
}

# free_pages: of Xen's heap, once domains that are gone are gone for good. What Xen said before stays for xen_is_well.
free_pages() {
    xl debug-keys H
    sleep 1
    xl dmesg -c >/tmp/heap
    cat /tmp/heap >>/tmp/xen-dmesg
    sed -n 's/.*heap\[node=.*-> \([0-9]*\) pages.*/\1/p' /tmp/heap | awk '{ sum += $1 } END { print sum }'
}
# nothing_lost: of $before pages; the daemon may have a ring mapped for a moment longer than there is a domain. $after are free now.
nothing_lost() { after=$(free_pages); [ $((before - after)) -lt 8 ]; }

# ---- guests with devices ----------------------------------------------------------------------------------------------

# load_backends: dom0 gets the modules that serve disks and network interfaces. The rig has none of them from the start.
load_backends() {
    local module name
    while read -r module; do
        name=$(basename "$module" .ko | tr - _)
        grep -q "^$name " /proc/modules || insmod "$module" || fail "dom0's $name does not load"
    done </etc/modules.backends
}

# new_disk FILE MB: an image of zeros, whose place is best a tmpfs (/dev/shm).
new_disk() { truncate -s "$2M" "$1"; }
# numbered_image FILE: one of 4 MB, in which each line is another one.
numbered_image() { awk 'BEGIN { for (i = 0; i < 262144; i++) printf "%015d\n", i * 7919 }' >"$1"; }
# with_disk FILE [VDEV [ACCESS]]: the LINE for a guest that has this file or device as a disk (xvda, rw).
with_disk() { echo "disk=[\"format=raw,vdev=${2:-xvda},access=${3:-rw},target=$1\"]"; }

# make_bridge: dom0 gets the bridge xenbr0 with the address 10.0.0.1, and takes floods, which come faster than they are read.
make_bridge() {
    echo 4000000 >/proc/sys/net/core/rmem_default
    [ -e /sys/class/net/xenbr0 ] || brctl addbr xenbr0 || fail "dom0 makes no bridge"
    ip address show dev xenbr0 | grep -q 'inet 10.0.0.1/' || ip address add 10.0.0.1/24 dev xenbr0
    ip link set xenbr0 up
}
# with_network [MAC]: the LINE for a guest that has an interface on that bridge.
with_network() { echo "vif=[\"bridge=xenbr0${1:+,mac=$1}\"]"; }

# debian NAME [LINE…]: as guest, Debian from the disk that ci/rig --guest-disk gives, with a network interface and 384 MB; one at a
# time. It says "debian login: root (automatic login)" when it is up, takes lines for a shell, and serves http://10.0.0.2.
debian() {
    local name=$1 device
    device=$(grep -lsx guest /sys/block/vd*/serial) || fail "there is no guest's disk: the rig wants --guest-disk"
    device=${device#/sys/block/}
    shift
    load_backends
    make_bridge
    guest "$name" /guests/vmlinuz memory=384 'ramdisk="/guests/disk-initrd.gz"' 'extra="console=hvc0 root=/dev/xvda quiet"' \
        "$(with_disk "/dev/${device%/serial}")" "$(with_network)" "$@"
}

# ---- logged guests ----------------------------------------------------------------------------------------------------

LOGS=/var/log/xenlr

# start_daemon: xenlr's daemon, which writes the log of every logged domain that appears.
start_daemon() {
    mkdir -p /out
    xenlr daemon --interval 1 >/out/daemon.log 2>&1 &
    echo $! >/run/xenlr-daemon.pid
}

# logged NAME KERNEL [LINE…]: as guest, and recorded. At its end the domain is destroyed, unless a LINE says otherwise.
logged() { guest "$@" 'xenlr="record"'; }

# keep_dom0_busy: other domains come and go, and dom0 computes, until dom0_was_busy. Every other one of the domains is logged,
# as long as there is no file /tmp/replays: a replay needs the place in the arena that its log names.
keep_dom0_busy() {
    rm -f /tmp/enough /tmp/replays
    (
        i=0
        while [ ! -e /tmp/enough ]; do
            i=$((i + 1))
            mode=off
            [ -e /tmp/replays ] || [ $((i % 2)) = 0 ] || mode=record
            guest_config other /guests/minios 'cmdline="talk seconds=2"' 'memory=8' "xenlr=\"$mode\""
            xl create -q /tmp/other.cfg && sleep 2
            xl destroy other 2>/dev/null
            awk 'BEGIN { for (i = 0; i < 200000; i++) s += i % 7 }'
        done
        echo "other domains: $i"
    ) >/tmp/other.log 2>&1 &
    busy=$!
}
dom0_was_busy() {
    touch /tmp/enough
    wait $busy
    tail -n 1 /tmp/other.log
}
nobody_records() { ! xenlr status | grep -q ' record '; }

# log_of NAME: the newest log of a domain of this name.
log_of() { ls -t "$LOGS/$1"-*.xlr 2>/dev/null | head -n 1; }

# wait_log NAME: until the log of the domain is complete; the file stands in $log then.
wait_log() {
    wait_until log_complete "$1" || {
        xl list
        xenlr status
        tail -n 5 /out/daemon.log
        console "$1" | tail -n 5
        fail "the log of $1 is not complete after $PATIENCE s: $(xenlr info "$(log_of "$1")" 2>&1)"
    }
    log=$(log_of "$1")
}
# Reading a whole log takes long, and it cannot be complete before its domain is at its end.
log_complete() { ! still_records "$1" && xenlr info "$(log_of "$1")" | grep -q '^state  *complete'; }
still_records() { xenlr status "$1" 2>/dev/null | grep -qE '^state +(running|ring full|no reader yet|ending)'; }

# end_of LOG KEY: a field of the log's last record.
end_of() { xenlr dump --json "$1" | tail -n 1 | field "$2"; }
# status_of NAME KEY: of a logged domain, as xenlr status has it. The program "field" (vm-tests) reads JSON.
status_of() { xenlr status --json "$1" | field "$2"; }

# typed LOG: what was typed, as the records of the log have it, in order; carriage returns are shown as line ends.
typed() { printf '%b' "$(xenlr dump --json --kind console_in "$1" | field bytes | tr -d '\n' | sed 's/../\\x&/g')" | tr '\r' '\n'; }

# equal_points: the sync points that verify counted, of what it said (on the standard input).
equal_points() { sed -n 's/.*equal: \([0-9]*\) sync points.*/\1/p'; }

# verify WHAT LOG [OPTION…]: the log replays equal.
verify() {
    local what=$1 status=0 said
    said=$(mktemp)
    shift
    xenlr verify "$@" >"$said" 2>&1 || status=$?
    note "$what: $(grep -v '^ *$' "$said" | tail -n 1)"
    [ $status = 0 ] || { cat "$said"; xl dmesg | tail -n 5; fail "verify of $what: status $status"; }
    rm "$said"
}
