# shellcheck shell=bash
# part linux: Debian's Linux boots, works and powers off: stock Xen, unlogged, recorded; and its log
# part session: a shell that somebody types into, the same three

# Instructions of the whole machine, counted by QEMU, under --icount so that they hardly depend on the host. The marks around
# nothing are subtracted. Three guests have their RDTSC emulated, as a recorded one has; "default" is Xen's own choice.
measure_workload() {
    local case lines counted domain rounds round
    rounds=$(or_short 2 1)
    declare -A machine
    for case in stock unlogged logged; do
        case $case in
        stock) use_xen stock; lines=('tsc_mode="always_emulate"') ;;
        unlogged) use_xen xenlr; lines=('tsc_mode="always_emulate"') ;;
        logged) use_xen xenlr; lines=('xenlr="record"') ;;
        esac
        counted='' domain=''
        for round in $(seq "$rounds"); do
            COUNTED=1 boot "$case-$round" --icount --timeout 1800 -- workload "$PART" "${lines[@]}"
            counted="$counted $(calc "$(between 2 3) - $(between 1 2)")"
            domain="$domain $(got domain)"
        done
        machine[$case]=$(mean "$counted")
        figure "$PART.$case" "${machine[$case]}"
        figure "$PART.$case.spread" "$(spread "$counted")"
        figure "$PART.$case.domain" "$(mean "$domain")"
        figure "$PART.$case.domain.spread" "$(spread "$domain")"
    done
    figure "$PART.recorded" "$(calc "${machine[logged]} / ${machine[unlogged]}")" "the quotient of the two"
    figure "$PART.patched" "$(calc "${machine[unlogged]} / ${machine[stock]}")" "the quotient of the two"
    figure "$PART.bytes" "$(got bytes)"
    figure "$PART.sync" "$(got sync)"
    figure "$PART.bytes_1000_sync" "$(calc "$(got bytes) * 1000 / $(got sync)")"
    figure "$PART.kinds" "$("$ROOT/ci/bench/report" kinds "$out/info.json")"
}
measure_linux() { measure_workload; }
measure_session() { measure_workload; }
