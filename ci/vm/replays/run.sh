#!/bin/sh
# Four seeds of torture, a boot of Linux and a session of GRUB, recorded side by side in a busy dom0, all replay equal.
# rig: --smp 2 --xen-args conring_size=1m
# suite: replays
# takes: 240 s
# usage: run.sh [ROUNDS TORTURES STEPS GRUB_SECONDS FIRST_SEED]: each round records one Linux, one GRUB and so many seeds of torture,
# then replays them. The last line counts the replays that were equal and their sync points.
# (Controls: ci/vm/record-replay. Another Linux and GRUB: ci/vm/unmodified. Many more: ci/soak replays.)
. /rig/lib.sh

rounds=${1:-1} tortures=${2:-4} steps=${3:-300} grub_seconds=${4:-0} seed=${5:-100}
start_daemon
keep_dom0_busy
mkdir /tmp/replayed

# replay NAME: what becomes of it stands in /tmp/replayed/NAME.
replay() {
    local log said
    log=$(log_of "$1")
    if said=$(verify "$1" "$log" --name "r-$1"); then
        echo "equal $(echo "$said" | equal_points)"
    else
        echo "not 0"
        cp "$log" /out/
    fi >"/tmp/replayed/$1-$round"
    echo "$said"
    rm "$log"
}

for round in $(seq "$rounds"); do
    rm -f /tmp/replays
    note "round $round"
    names=''
    for _ in $(seq "$tortures"); do
        logged torture$seed /guests/minios "cmdline=\"torture $seed steps=$steps\"" 'memory=16'
        names="$names torture$seed"
        seed=$((seed + 1))
    done
    logged lin /guests/vmlinuz 'memory=128' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
    # The last one: it never sleeps, and its log grows as long as it runs. It has the other CPU.
    logged grub /guests/grub.xen 'memory=64' 'cpus="0"'
    wait_console grub 'grub>'
    type_line grub "echo round $round"
    wait_console grub "^round $round"
    sleep "$grub_seconds"
    type_line grub halt
    wait_console lin '^guest: ready'
    type_line lin "round $round"
    wait_console lin "^guest: read 'round $round'"
    type_line lin poweroff
    for name in lin grub $names; do wait_log $name; done
    touch /tmp/replays
    wait_until nobody_records || fail "still recording: $(xenlr status)"
    replay grub &
    grub=$!
    for name in lin $names; do replay $name; done
    wait $grub
done
cat /tmp/replayed/* >/tmp/all
equal=$(grep -c '^equal' /tmp/all)
bad=$(grep -c '^not' /tmp/all)
sync_points=$(awk '{ sum += $2 } END { printf "%d", sum }' /tmp/all)
dom0_was_busy
no_faults
echo "replays: $equal equal, $bad not, $sync_points sync points"
[ "$bad" = 0 ] && [ "$equal" = $((rounds * (tortures + 2))) ]
