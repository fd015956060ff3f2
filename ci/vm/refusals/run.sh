#!/bin/sh
# What cannot be logged is refused by xl with what to change, status 33, and no domain left behind; later changes too, and to send
# to a replay what it would not hear.
# rig: --smp 2
# suite: gates
# takes: 190 s
. /rig/lib.sh

guest_config plain /guests/minios 'extra="daytime"' 'on_poweroff="preserve"'

# state: what refused domains must leave as it was; compared at the end of them all.
state() {
    xl list | awk '{ print $1, $2, $3, $4 }' | grep -v '^Domain-0'
    for path in /local/domain /libxl /vm; do xenstore-list $path 2>/dev/null; done
    xl info free_memory
}

# refused WHAT PATTERN LINE…: xl create with these lines more exits with 33, and says the pattern.
refused() {
    local what=$1 pattern=$2 status=0
    shift 2
    guest_config refused /guests/minios "$@"
    xl create -q /tmp/refused.cfg >/tmp/refused.out 2>&1 || status=$?
    [ $status = 33 ] || { cat /tmp/refused.out; fail "$what: status $status, wanted 33"; }
    grep -q -- "$pattern" /tmp/refused.out || { cat /tmp/refused.out; fail "$what: no '$pattern'"; }
    note "$what: $(grep -m 1 -- "$pattern" /tmp/refused.out | sed 's/.*xenlr: //')"
}

as_before() { state >/tmp/state.after && cmp -s /tmp/state.before /tmp/state.after; }

state >/tmp/state.before
record='xenlr="record"'

# ---- the option itself ------------------------------------------------------------------------------------------------

refused 'empty' 'bad value "" of option mode: allowed is record, replay or off' 'xenlr=""'
refused 'unknown mode' 'bad value "recrod" of option mode: allowed is record, replay or off' 'xenlr="recrod"'
refused 'a list' 'is a list but should be a single value' 'xenlr=["record"]'
refused 'unknown option' 'unknown option "bufer_kb" of "record": allowed are buffer_kb, force, on_full, syscalls and time' 'xenlr="record,bufer_kb=64"'
refused 'option of replay' 'unknown option "cpu" of "record"' 'xenlr="record,cpu=0"'
refused 'option of record' 'unknown option "on_full" of "replay"' 'xenlr="replay,on_full=stop"'
refused 'no value' '"on_full" is not of the form OPTION=VALUE' 'xenlr="record,on_full"'
refused 'bad policy' 'bad value "drop" of option on_full: allowed is pause or stop' 'xenlr="record,on_full=drop"'
refused 'bad syscalls' 'bad value "on" of option syscalls: allowed is native or trap' 'xenlr="record,syscalls=on"'
for bound in 0us 5 1s 11ms 10001us -1us; do
    refused "time=$bound" "bad value \"$bound\" of option time: allowed is exact, or 1us to 10ms" "xenlr=\"record,time=$bound\""
done
for size in 15 96 32768 64k; do
    refused "buffer of $size" "bad value \"$size\" of option buffer_kb: allowed is a power of two from 16 to 16384" \
        "xenlr=\"record,buffer_kb=$size\""
done
refused 'replay without frames' 'set arena_mfn and arena_frames to those of the log' 'xenlr="replay"'

# ---- the domain -------------------------------------------------------------------------------------------------------

refused 'two vCPUs' 'a domain of 2 vCPUs cannot be logged: set vcpus=1$' "$record" 'vcpus=2'
refused 'a vCPU to plug in' 'set vcpus=1 and maxvcpus=1' "$record" 'maxvcpus=2'
refused 'HVM' 'a HVM domain cannot be logged: set type="pvh" or type="pv"' "$record" 'type="hvm"'
refused 'PVH with shadow page tables' "remove 'hap='" "$record" 'type="pvh"' 'hap=0'
refused 'PVH with nested guests' "remove 'nestedhvm='" "$record" 'type="pvh"' 'nestedhvm=1'
refused 'PVH with views of memory' "remove 'altp2m='" "$record" 'type="pvh"' 'altp2m="external"'
refused 'PVH with the PV shim' "remove 'pvshim='" "$record" 'type="pvh"' 'pvshim=1'
refused 'PVH with memory that can grow' "remove 'maxmem='" "$record" 'type="pvh"' 'maxmem=64'
refused 'PVH with a screen' "remove 'vfb='" "$record" 'type="pvh"' 'vfb=["vnc=1"]'
refused 'memory that can grow' "remove 'maxmem='" "$record" 'maxmem=64'
refused 'native TSC' "remove 'tsc_mode='" "$record" 'tsc_mode="native"'
refused 'PCI device' "device pci is not supported for a logged domain: remove 'pci='" "$record" 'pci=["00:01.0"]'
refused 'I/O ports' "remove 'ioports='" "$record" 'ioports=["2f8-2ff"]'
refused 'interrupt' "remove 'irqs='" "$record" 'irqs=[4]'
refused 'I/O memory' "remove 'iomem='" "$record" 'iomem=["fed00,1"]'
refused 'USB' "remove 'usbctrl='" "$record" 'usbctrl=["version=2,ports=4"]'
refused "another domain's network" "the backend of 'vif=' has to be in domain 0" "$record" 'vif=["bridge=xenbr0,backend=other"]'
refused "another domain's disk" "the backend of 'disk=' has to be in domain 0" "$record" \
    'disk=["format=raw,vdev=xvda,access=rw,backend=other,target=/dev/null"]'
refused 'a replay with a disk' "what came from disks and networks is in the log" 'xenlr="replay"' 'type="pvh"' \
    'disk=["/dev/null,raw,xvda,rw"]'
refused 'screen' "remove 'vfb='" "$record" 'vfb=["vnc=1"]'
refused 'channel' "remove 'channel='" "$record" 'channel=["name=a,connection=pty"]'
refused 'file system' "remove 'p9='" "$record" 'p9=["tag=a,security_model=none,path=/tmp"]'

# A 32-bit PV kernel: an ELF header, a program header for one page of code and one for the notes that Xen asks for.
{
    printf '\177ELF\001\001\001\0\0\0\0\0\0\0\0\0'                                  # 32 bits, little endian
    printf '\002\0\003\0\001\0\0\0\0\0\020\0\064\0\0\0\0\0\0\0\0\0\0\0'             # executable, 386, entry 1 MB, headers at 52
    printf '\064\0\040\0\002\0\050\0\0\0\0\0'                                       # two program headers
    printf '\001\0\0\0\0\020\0\0\0\0\020\0\0\0\020\0\004\0\0\0\004\0\0\0\007\0\0\0\0\020\0\0' # load 4 bytes of file offset 4096 at 1 MB
    printf '\004\0\0\0\164\0\0\0\0\0\0\0\0\0\0\0\124\0\0\0\124\0\0\0\004\0\0\0\004\0\0\0'     # 84 bytes of notes at 116
    printf '\004\0\0\0\010\0\0\0\005\0\0\0Xen\0xen-3.0\0'                           # note XEN_VERSION
    printf '\004\0\0\0\010\0\0\0\010\0\0\0Xen\0generic\0'                           # note LOADER
    printf '\004\0\0\0\004\0\0\0\011\0\0\0Xen\0yes\0'                               # note PAE_MODE
} >/tmp/pv32
dd if=/dev/zero of=/tmp/pv32 bs=1 seek=4096 count=4 2>/dev/null
refused '32-bit PV' 'a 32-bit PV guest .* cannot be logged: use a 64-bit kernel' "$record" 'kernel="/tmp/pv32"'

wait_until as_before || { diff /tmp/state.before /tmp/state.after; fail 'something of the refused domains is left'; }

# ---- the controls: the same configuration with nothing to refuse, logged and not -----------------------------------------

guest plain /guests/minios 'extra="daytime"' 'maxvcpus=2'
[ -n "$(domid plain)" ] || fail 'two vCPUs without a log are no reason to refuse'
xl vcpu-pin plain 0 0 || fail 'an unlogged vCPU can be pinned'
xl mem-max plain 64 || fail 'the memory of an unlogged domain can be changed'
xl destroy plain

guest logged /guests/minios 'extra="daytime"' 'xenlr="record,buffer_kb=64,on_full=stop"'
id=$(domid logged)
[ -n "$id" ] || fail 'nothing to refuse, and no domain'
xl list -l logged | tr -d ' \n' | grep -q '"xenlr":{"mode":"record","buffer_kb":64,"on_full":"stop","arena_frames":[1-9]' ||
    { xl list -l logged; fail 'xl list -l does not show xenlr'; }
cpu=$(xl list -l logged | sed -n 's/.*"cpu": //p')
note "control: domain $id is logged, on CPU ${cpu:-any}"

# Where CPUID does not fault, which is so under emulation, the vCPU is pinned to the last CPU.
expect 'CPU of the domain' 1 "$cpu"
expect 'hard affinity' 1 "$(xl vcpu-list logged | awk 'END { print $7 }')"

# ---- a logged domain that runs ------------------------------------------------------------------------------------------

# denied WHAT PATTERN COMMAND…: fails, says the pattern.
denied() {
    local what=$1 pattern=$2 status=0
    shift 2
    "$@" >/tmp/denied.out 2>&1 || status=$?
    [ $status != 0 ] || fail "$what: not refused"
    grep -q -- "$pattern" /tmp/denied.out || { cat /tmp/denied.out; fail "$what: no '$pattern'"; }
    note "$what: $(grep -m 1 -- "$pattern" /tmp/denied.out | sed 's/.*xenlr: //')"
}
echo precious >/tmp/saved
denied 'save' 'can be neither saved nor migrated' xl save logged /tmp/saved
expect 'a file that was there' precious "$(cat /tmp/saved)"
denied 'migrate' 'can be neither saved nor migrated' xl migrate -s true logged nowhere
denied 'suspend' 'saving, migrating or suspending it is not possible' xl suspend logged
denied 'less memory' 'changing its memory is not possible' xl mem-set logged 16
denied 'more memory' 'changing its memory is not possible' xl mem-max logged 128
denied 'vCPUs' 'changing its vCPUs is not possible' xl vcpu-set logged 1
denied 'USB' 'attaching a device is not possible' xl usbctrl-attach logged version=2 ports=4
denied 'pin' 'must stay on CPU 1' xl vcpu-pin logged 0 0
expect 'still there' "$id" "$(domid logged)"
xl destroy logged

# A CPU of the user's choice.
guest pinned /guests/minios 'extra="daytime"' "$record" 'cpus="0"'
expect 'hard affinity' 0 "$(xl vcpu-list pinned | awk 'END { print $7 }')"
xl destroy pinned

# ---- a replay, which hears nothing --------------------------------------------------------------------------------------

# asked NAME: what the domain is asked for through the xenstore: a shutdown or a reboot, and a sysrq.
asked() {
    local control
    control=/local/domain/$(domid "$1")/control
    echo "$(xenstore-read "$control/shutdown" 2>/dev/null) $(xenstore-read "$control/sysrq" 2>/dev/null)"
}
is_asked() { [ "$(asked "$1")" = "$2" ]; }

# hears NAME: whoever is no replay is sent them all. Our guest does not answer, and xl would wait for that.
hears() {
    local what pid
    xl trigger "$1" nmi || fail "xl trigger $1: $?"
    xl sysrq "$1" s || fail "xl sysrq $1: $?"
    for what in shutdown:poweroff reboot:reboot; do
        xl "${what%:*}" "$1" >/tmp/hears.out 2>&1 &
        pid=$!
        wait_until is_asked "$1" "${what#*:} s" || { cat /tmp/hears.out; fail "xl ${what%:*} $1: not sent"; }
        kill $pid
    done
}

start_daemon
guest plain /guests/minios 'extra="daytime"'
logged heard /guests/minios 'extra="daytime"'
hears plain
hears heard
note 'control: an unlogged domain and one that is recorded are sent what a replay is not'
wait_console heard '^daytime' 3
xenlr stop heard || fail "xenlr stop: $?"
wait_log heard
xl destroy plain
xl destroy heard

xenlr replay --until 10 --name deaf "$log" >/tmp/deaf.out 2>&1 || { cat /tmp/deaf.out; fail "xenlr replay: $?"; }
never='is not possible: end it with xl destroy'
denied 'shutdown of a replay' "hears nothing, so a shutdown $never" xl shutdown deaf
denied 'the same, and wait' "hears nothing, so a shutdown $never" xl shutdown -w deaf
denied 'reboot' "hears nothing, so a reboot $never" xl reboot deaf
denied 'sysrq' "hears nothing, so a sysrq $never" xl sysrq deaf s
denied 'trigger' "hears nothing, so a trigger $never" xl trigger deaf nmi
expect 'what it was asked for' ' ' "$(asked deaf)"
xl destroy deaf

xenlr replay --then live --name live "$log" >/tmp/live.out 2>&1 || { cat /tmp/live.out; fail "xenlr replay --then live: $?"; }
hears live
note 'control: so is one that goes on live after its log'
xl destroy live

no_faults
