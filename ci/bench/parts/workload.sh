# shellcheck shell=bash
# part linux: Debian's Linux boots, works and powers off: stock Xen, unlogged, recorded; and its log
# part session: a shell that somebody types into, the same three

# Instructions of the whole machine, counted by QEMU, under --icount so that they hardly depend on the host. The marks around
# nothing are subtracted. All guests have their RDTSC emulated, as a recorded one always has.
measure_workload() {
    local case lines counted running domain rounds round length=1
    rounds=$(or_short 3 1)
    [ "$PART" != session ] || length=$(or_short 10 1)
    declare -A machine live of_domain
    for case in stock unlogged logged; do
        case $case in
        stock) use_xen stock; lines=('tsc_mode="always_emulate"') ;;
        unlogged) use_xen xenlr; lines=('tsc_mode="always_emulate"') ;;
        logged) use_xen xenlr; lines=('xenlr="record"') ;;
        esac
        counted='' running='' domain=''
        for round in $(seq "$rounds"); do
            COUNTED=1 boot "$case-$round" --icount --timeout 1800 -- workload "$PART" "$length" "${lines[@]}"
            counted="$counted $(calc "$(between 2 3) - $(between 1 2)")"
            domain="$domain $(got domain)"
            [ "$PART" != session ] || running="$running $(calc "$(between 4 5) - $(between 1 2)")"
        done
        machine[$case]=$(mean "$counted")
        figure "$PART.$case" "${machine[$case]}"
        figure "$PART.$case.spread" "$(spread "$counted")"
        of_domain[$case]=$(mean "$domain")
        [ "$PART" != session ] || {
            live[$case]=$(mean "$running")
            figure "session.running.$case" "${live[$case]}"
            figure "session.running.$case.spread" "$(spread "$running")"
        }
        figure "$PART.domain.$case" "${of_domain[$case]}"
        figure "$PART.domain.$case.spread" "$(spread "$domain")"
    done
    [ "$PART" != session ] || figure session.running.recorded "$(calc "${live[logged]} / ${live[unlogged]}")" ''
    figure "$PART.recorded" "$(calc "${machine[logged]} / ${machine[unlogged]}")" ''
    figure "$PART.patched" "$(calc "${machine[unlogged]} / ${machine[stock]}")" ''
    figure "$PART.domain.patched" "$(calc "${of_domain[unlogged]} / ${of_domain[stock]}")" ''
    figure "$PART.bytes" "$(got bytes)"
    figure "$PART.sync" "$(got sync)"
    figure "$PART.bytes_1000_sync" "$(calc "$(got bytes) * 1000 / $(got sync)")"
    figure "$PART.kinds" "$("$ROOT/ci/bench/report" kinds "$out/info.json")"
}

measure_linux() {
    measure_workload
    # The clock of --icount has no jitter, which makes a log smaller than it is with a real clock.
    boot real-time --smp 2 --timeout 900 -- workload linux 1 'xenlr="record"'
    figure linux.real.bytes "$(got bytes)"
    figure linux.real.sync "$(got sync)"
    figure linux.real.bytes_1000_sync "$(calc "$(got bytes) * 1000 / $(got sync)")"
    figure linux.real.kinds "$("$ROOT/ci/bench/report" kinds "$out/info.json")"
}

measure_session() { measure_workload; }
