# shellcheck shell=bash
# part replay-hour: how fast an idle hour of daytime is replayed
# part replay-day: how fast the day of growth-daytime-exact is replayed; that part must have been run before, with this build
# part replay-compute: how fast a computing guest is replayed

measure_replay_hour() {
    use_xen xenlr
    boot record --icount --timeout 900 -- growth daytime "$(or_short 3600 60)" "$(options exact)"
    figure replay.hour.bytes "$(got bytes)"
    replayed hour "$out/idle.xlr"
}

measure_replay_day() {
    local log=$BENCH/growth-daytime-exact-run.out/idle.xlr
    [ -f "$log" ] || die "there is no log of a day: run the part growth-daytime-exact first"
    say "  the log is of $(date -r "$log" '+%F %H:%M')"
    figure replay.day.bytes "$(stat -c %s "$log")" ''
    use_xen xenlr
    replayed day "$log"
}

# replayed ID LOG: in another boot, in real time with two CPUs, and counted.
replayed() {
    cp "$2" "$overlay/bench/idle.xlr"
    boot real-time --smp 2 --timeout 1200 -- replay
    figure "replay.$1.seconds" "$(got seconds)"
    COUNTED=1 boot counted --icount --timeout 1800 -- replay
    figure "replay.$1.instructions" "$(calc "$(between 2 3) - $(between 1 2)")"
}

measure_replay_compute() {
    local domain machine
    use_xen xenlr
    COUNTED=1 boot run --icount --timeout 1800 -- compute "$(or_short 400 20)" "$(options exact)"
    domain=$(calc "$(got recorded) / $(got replayed)")
    machine=$(calc "($(between 2 3) - $(between 1 2)) / ($(between 4 5) - $(between 1 2))")
    figure replay.compute.recorded "$(got recorded)"
    figure replay.compute.replayed "$(got replayed)"
    figure replay.compute.domain "$domain"
    figure replay.compute.machine "$machine"
}
