# shellcheck shell=bash
# part loans: a guest's disk and network interface: unlogged, recorded; and the log

# Instructions of the whole machine, dom0's and those of its backends included. What a disk's request costs is the difference of two
# lengths, so that the domain's building and its log's start and end are not in it.
measure_loans() {
    local case lines few many
    few=$(or_short 500 50)
    many=$((few * 5))
    declare -A disk frame echo
    use_xen xenlr
    mkdir -p "$overlay/usr/local/bin"
    build_vm_program udp "$overlay/usr/local/bin/udp"
    for case in unlogged logged; do
        case $case in
        unlogged) lines='tsc_mode="always_emulate"' ;;
        logged) lines='xenlr="record"' ;;
        esac
        COUNTED=1 boot "disk-few-$case" --icount --timeout 1800 -- loans disk "$few" "$lines"
        disk[$case]=$(between 2 3)
        COUNTED=1 boot "disk-many-$case" --icount --timeout 1800 -- loans disk "$many" "$lines"
        disk[$case]=$(calc "($(between 2 3) - ${disk[$case]}) / ($many - $few)")
        figure "loans.disk.$case" "${disk[$case]}"
        [ "$case" = unlogged ] || figure loans.disk.bytes "$(calc "$(got bytes) / $(got page_bytes)")"
        COUNTED=1 boot "network-$case" --icount --timeout 1800 -- loans network "$many" "$lines"
        frame[$case]=$(calc "($(between 4 5) - $(between 1 2)) / $many")
        echo[$case]=$(calc "($(between 5 6) - $(between 1 2)) / ($many / 2)")
        figure "loans.frame.$case" "${frame[$case]}"
        figure "loans.echo.$case" "${echo[$case]}"
        [ "$case" = unlogged ] || figure loans.frame.bytes "$(calc "$(got bytes) / $(got page_bytes)")"
    done
    figure loans.disk.recorded "$(calc "${disk[logged]} / ${disk[unlogged]}")" ''
    figure loans.frame.recorded "$(calc "${frame[logged]} / ${frame[unlogged]}")" ''
    figure loans.echo.recorded "$(calc "${echo[logged]} / ${echo[unlogged]}")" ''
}
