# shellcheck shell=bash
# part items: what recording costs for each sync point, event and clock read, in instructions

# Of the domain's processor time. Stock Xen emulates each RDTSC as well in this mode, as Xen does for a recorded guest.
measure_items() {
    local count rounds item round case values lines
    count=$(or_short 100000 2000) rounds=$(or_short 3 1)
    declare -A cost
    for case in stock unlogged logged; do
        case $case in
        stock) use_xen stock; lines=('tsc_mode="always_emulate"') ;;
        unlogged) use_xen xenlr; lines=('tsc_mode="always_emulate"') ;;
        logged) use_xen xenlr; lines=('xenlr="record,buffer_kb=16384"') ;;
        esac
        boot $case --icount --timeout 1200 -- items "$count" "$rounds" "${lines[@]}"
        for item in hypercalls rdtsc events; do
            values=''
            for round in $(seq "$rounds"); do values="$values $(got "$item.$round")"; done
            cost[$case.$item]=$(mean "$values")
            figure "items.$item.$case" "${cost[$case.$item]}"
            figure "items.$item.$case.spread" "$(spread "$values")"
        done
    done
    for item in hypercalls rdtsc events; do
        figure "items.$item" "$(calc "${cost[logged.$item]} - ${cost[stock.$item]}")" "the recorded guest's less stock Xen's"
        figure "items.$item.patch" "$(calc "${cost[unlogged.$item]} - ${cost[stock.$item]}")" "the unlogged guest's less stock Xen's"
    done
}
