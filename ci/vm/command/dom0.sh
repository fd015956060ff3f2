#!/bin/sh
# In dom0 for command.
. /rig/lib.sh

# says STATUS PATTERN COMMAND…: the command ends with this status and says the pattern. What it says stands in /tmp/said.
says() {
    local wanted=$1 pattern=$2 status=0
    shift 2
    "$@" >/tmp/said 2>&1 || status=$?
    [ $status = "$wanted" ] || { cat /tmp/said; fail "$*: status $status, wanted $wanted"; }
    grep -qE -- "$pattern" /tmp/said || { cat /tmp/said; fail "$*: it does not say '$pattern'"; }
    note "$*: $(grep -m 1 -E -- "$pattern" /tmp/said)"
}
says_not() { ! grep -qE -- "$1" /tmp/said || { cat /tmp/said; fail "it says '$1'"; }; }
has_no_reader() { [ "$(status_of "$1" reader)" = false ]; }
# spins NAME: it comes to no sync point.
spins() {
    local before
    before=$(status_of "$1" sync)
    sleep 1
    [ "$(status_of "$1" sync)" = "$before" ]
}
locks() { find /run/xenlr -name '*.lock' 2>/dev/null | wc -l; }
no_replay() { [ -z "$(domid "$1")" ] || fail "the domain of a replay is left: $(xl list)"; }

# An xl that fails as /tmp/xl-fails says, and else is the real one.
real=$(command -v xl)
mkdir -p /tmp/fake
cat >/tmp/fake/xl <<XL
#!/bin/sh
echo "\$1" >>/tmp/xl-calls
case "\$1 \$(cat /tmp/xl-fails 2>/dev/null)" in
'destroy destroy') echo 'libxl: error: destroy' >&2; exit 1 ;;
'create create') $real "\$@"; echo 'libxl: error: create' >&2; exit 1 ;;
esac
exec $real "\$@"
XL
chmod +x /tmp/fake/xl
# with_failing_xl VERB COMMAND…
with_failing_xl() {
    echo "$1" >/tmp/xl-fails
    shift
    PATH=/tmp/fake:$PATH "$@"
}

# ---- which domain ------------------------------------------------------------------------------------------------------

says 3 'domain 0 is the control domain' xenlr stop 0
says 3 'there is no domain "nobody"' xenlr stop nobody
says 3 '^\{"error":"there is no domain .*"status":3\}$' xenlr stop --json nobody

# ---- a reader that was killed ------------------------------------------------------------------------------------------

start_daemon
logged idle /guests/minios 'cmdline="daytime"' 'memory=8'
wait_console idle '^daytime'
expect 'a reader is there' true "$(status_of idle reader)"
expect 'locks while it is read' 1 "$(locks)"
kill -9 "$(cat /run/xenlr-daemon.pid)"
wait_until has_no_reader idle || fail "status says that a killed reader is there"
xl pause idle
says 0 'bytes of log written' xenlr extract idle
expect 'bytes in the ring, once it was read' 0 "$(status_of idle ring_used)"
xl unpause idle

# daemon_said EVENT [KEY=VALUE…]
daemon_said() {
    local event=$1
    shift
    [ -n "$(field event event="$event" "$@" </out/daemon.json)" ]
}
xenlr daemon --json --interval 1 >/out/daemon.json 2>/out/daemon.log &
echo $! >/run/xenlr-daemon.pid
wait_until daemon_said written || fail "no event of the daemon: $(cat /out/daemon.json)"
daemon_said started || fail "the daemon does not say that it started"

# ---- ends --------------------------------------------------------------------------------------------------------------

says 0 'the guest is paused' xenlr stop idle
says 0 'the guest is paused' xenlr stop idle
says 0 'goes on without a log' xenlr stop --release idle
says 0 'goes on without a log' xenlr stop idle
wait_log idle
idle=$log
xl destroy idle

logged ended /guests/minios 'cmdline="compute n=0"' 'memory=8' 'on_poweroff="preserve"'
wait_log ended
ended=$log
points=$(xenlr info --json "$ended" | field sync)
says 0 'the guest has shut down' xenlr stop ended
says 0 'the guest has shut down' xenlr stop --release ended
expect 'sync points of status' "$points" "$(status_of ended sync)"
wait_until daemon_said closed domain=ended || fail "no event: $(cat /out/daemon.json)"
expect 'sync points of the daemon' "$points" "$(field sync event=closed domain=ended </out/daemon.json)"
xl destroy ended
says 0 "^equal: $points sync points" xenlr verify "$ended"

# Nothing is forced upon it: a replay would go through its loop to find that again.
guest gone /guests/minios 'cmdline="shell"' 'memory=8' 'xenlr="record,force=off"'
wait_console gone '^shell: type help'
type_line gone 'run 1000000000000'
wait_console gone 'run 1000000000000'
wait_until spins gone || fail "the guest does not compute: $(console gone)"
xl destroy gone
wait_log gone
gone=$log
says 0 '^state  *complete, lost' xenlr info "$gone"
logged typed /guests/minios 'cmdline="shell"' 'memory=8'
wait_console typed '^shell: type help'
printf 'run 1 0000000000\r' >"$(xenstore-read "/local/domain/$(domid typed)/console/tty")"
wait_console typed 'not a number'
type_line typed quit
wait_log typed
typed=$log
kill "$(cat /run/xenlr-daemon.pid)"
wait_until test ! -d "/proc/$(cat /run/xenlr-daemon.pid)"
expect 'locks that are left' 0 "$(locks)"

# ---- following a log ---------------------------------------------------------------------------------------------------

mkdir /small
mount -t tmpfs -o size=300k tmpfs /small
logged full /guests/minios 'cmdline="torture 3 steps=1000000"' 'memory=16'
follow() { xenlr extract full -o /small/full.xlr --follow --max-image 0; }
follow >/tmp/follow 2>&1 &
wait_console full '^torture: seed'
dd if=/dev/zero of=/small/filler bs=4k 2>/dev/null
wait_until grep -q 'No space left' /tmp/follow || fail "extract does not say why: $(cat /tmp/follow)"
mount -o remount,size=100m /small
wait_until grep -q 'writing goes on' /tmp/follow || fail "extract does not go on: $(cat /tmp/follow)"
reader=$(pidof xenlr)
status=0
kill "$reader"
wait $! || status=$?
expect 'status of extract --follow, interrupted' 130 $status
follow >/tmp/follow 2>&1 &
says 0 'the guest is paused' xenlr stop full
wait $! || fail "extract --follow: $? $(cat /tmp/follow)"
xl destroy full
verify 'a log whose disk was full' /small/full.xlr --kernel /guests/minios

# ---- replays -----------------------------------------------------------------------------------------------------------

at=$(alter "$ended" /tmp/altered.xlr end 0 3) || error "alter: $at"
says 1 '^diverged at sync' xenlr verify /tmp/altered.xlr
says 7 'could not be destroyed' with_failing_xl destroy xenlr verify "$ended"
xl destroy ended-replay
says 1 '^diverged at sync' with_failing_xl destroy xenlr verify /tmp/altered.xlr
xl destroy ended-replay
says 7 'xl create failed .*: libxl: error: create' with_failing_xl create xenlr verify "$ended"
no_replay ended-replay
status=0
xenlr verify /tmp/altered.xlr >/dev/full 2>&1 || status=$?
expect 'status of a divergence that cannot be written' 1 $status
status=0
xenlr verify "$ended" >/dev/full 2>/dev/full || status=$?
expect 'status of a result that cannot be written' 6 $status

touch /tmp/there.xlr
rm -f /tmp/xl-calls
says 6 'there.xlr .name another file' with_failing_xl nothing xenlr replay "$ended" --record /tmp/there.xlr
[ ! -e /tmp/xl-calls ] || fail "xl was called before the file was looked at: $(cat /tmp/xl-calls)"
says 0 '^equal' xenlr verify "$ended" --record /tmp/new.xlr
says 0 'no difference' xenlr diff "$ended" /tmp/new.xlr

says 0 'is paused' xenlr replay "$idle" --until 10 --then live
says_not 'goes on$'
says 2 'domain "idle-replay", number [0-9]*, has frames' xenlr verify "$idle" --name other
says_not 'libxl'
xl destroy idle-replay

says 0 'it can be replayed here' xenlr verify "$ended" --check-only
no_replay ended-replay
alter "$ended" /tmp/other.xlr header xen_build_id '"00112233"'
says 2 'boot the Xen that it was recorded under' xenlr verify --check-only /tmp/other.xlr
# A guest that is typed "run 1 0000000000" in one piece refuses it; with the blank made a digit it computes for hours.
nth=$(xenlr dump --json "$typed" --kind console_in | field bytes | grep -n '^72756e203120' | head -n 1 | cut -d: -f1)
alter "$typed" /tmp/spins.xlr console_in $((nth - 1)) 44
says 9 '^no sync point for 5 s' xenlr verify /tmp/spins.xlr --patience 5
no_replay typed-replay
says 8 'no end record' xenlr verify "$gone"
no_replay gone-replay

says 0 '^ STARTED' xenlr ls
cat /tmp/said
expect 'logs that fit' 4 "$(grep -c ' yes ' /tmp/said)"
says 0 'the latest log is .*typed-' xenlr info
expect 'locks that are left' 0 "$(locks)"
no_faults
