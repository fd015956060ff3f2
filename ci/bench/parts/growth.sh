# shellcheck shell=bash
# part growth-daytime-exact: the log of a simulated day of an idle guest that prints the time each second (10 minutes or more)
# part growth-daytime-1ms: the same, with time=1ms
# part growth-shell-exact: the same, of a shell that nobody types into
# part growth-talk-exact: the same, of a guest as talkative as upstream Mini-OS's test
# part growth-talk-1ms: the same, with time=1ms
# part growth-daytime-real: ten minutes of the first with a real clock, as the clock of --icount has no jitter
# Under --icount the machine skips idle time, so that a day takes minutes.

# A part's name is growth-APPLICATION-POLICY.
measure_growth() {
    local application policy seconds
    application=$(cut -d- -f2 <<<"$PART") policy=$(cut -d- -f3 <<<"$PART") seconds=$(or_short 86400 60)
    use_xen xenlr
    boot run --icount --timeout 5400 -- growth "$application" "$seconds" "$(options "$policy")"
    log_figures growth."$application.$policy" "$out"
}

measure_growth_daytime_exact() { measure_growth; }
measure_growth_daytime_1ms() { measure_growth; }
measure_growth_shell_exact() { measure_growth; }
measure_growth_talk_exact() { measure_growth; }
measure_growth_talk_1ms() { measure_growth; }

measure_growth_daytime_real() {
    use_xen xenlr
    boot run --smp 2 --timeout 1200 -- growth daytime "$(or_short 600 30)" "$(options exact)"
    log_figures growth.daytime.real "$out"
}

# log_figures ID FOLDER: of the log whose `xenlr info --json` is in the folder. What a day makes is the file's size on the disk,
# by the guest's own time, which is a day but for what the toolstack needs to start and to stop it.
log_figures() {
    local duration_ns
    duration_ns=$(json "$2/info.json" duration_ns)
    figure "$1.mb_day" "$(calc "$(got bytes) / 1e6 * 86400e9 / $duration_ns")"
    figure "$1.bytes" "$(got bytes)"
    figure "$1.seconds" "$(calc "$duration_ns / 1e9")"
    figure "$1.sync" "$(json "$2/info.json" sync)"
    figure "$1.records" "$(json "$2/info.json" records)"
    figure "$1.kinds" "$("$ROOT/ci/bench/report" kinds "$2/info.json")"
}
