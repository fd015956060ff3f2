# shellcheck shell=bash
# part xentrace: what a user of Xen can have today: xentrace of the same idle guest

measure_xentrace() {
    local classes mask seconds count hour
    seconds=$(or_short 60 10) count=$(or_short 20000 2000)
    use_xen stock
    for classes in all matter; do
        case $classes in
        all) mask=all ;;
        matter) mask=0x00221000 ;; # TRC_SCHED_MIN, who runs, and TRC_PV_ENTRY, what the guest does; none has its events
        esac
        boot $classes --icount --timeout 1200 -- xentrace $mask "$seconds" "$count"
        figure "xentrace.$classes.mb_day" "$(calc "$(got bytes) / 1e6 * 86400 / $seconds")"
        figure "xentrace.$classes.instructions" "$(calc "($(got traced) - $(got untraced)) / $count")"
        figure "xentrace.$classes.records" "$("$ROOT/ci/bench/report" trace "$out/items.trace" "$count")"
    done
    # The same guest recorded, for the same time and for an hour, since a short log is mostly its beginning and end.
    use_xen xenlr
    boot recorded --icount --timeout 1200 -- growth daytime "$(or_short 3600 60)" "$(options exact)"
    hour=$(calc "$(got bytes) / 1e6 * 86400e9 / $(json "$out/info.json" duration_ns)")
    figure xentrace.recorded.mb_day "$hour"
    for classes in all matter; do
        figure "xentrace.$classes.times" "$(calc "$(kept "xentrace.$classes.mb_day") / $hour")" ''
    done
}
