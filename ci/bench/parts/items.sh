# shellcheck shell=bash
# part items: what recording costs for each sync point, event and clock read, in instructions
# part items-1ms: the same, with time=1ms

# Of the domain's processor time. Stock Xen emulates each RDTSC as well in this mode, as Xen does for a recorded guest.
measure_items() {
    items_of stock stock 'tsc_mode="always_emulate"'
    items_of xenlr unlogged 'tsc_mode="always_emulate"'
    items_of xenlr logged "xenlr=\"$(options exact),buffer_kb=16384\""
    for item in hypercalls rdtsc events; do
        figure "items.$item" "$(over logged.$item)" ''
        figure "items.$item.patch" "$(over unlogged.$item)" ''
    done
}

measure_items_1ms() {
    items_of stock 1ms.stock 'tsc_mode="always_emulate"'
    items_of xenlr 1ms.logged "xenlr=\"$(options 1ms),buffer_kb=16384\""
    for item in hypercalls rdtsc events; do
        figure "items.$item.1ms" "$(over 1ms.logged.$item 1ms.stock.$item)" ''
    done
}

# items_of XEN CASE LINE…: measures all three, and keeps their costs as CASE.ITEM in the array $cost.
declare -A cost
items_of() {
    local xen=$1 case=$2 item round rounds values
    shift 2
    rounds=$(or_short 3 1)
    use_xen "$xen"
    boot "$case" --icount --timeout 1200 -- items "$(or_short 100000 2000)" "$rounds" "$@"
    for item in hypercalls rdtsc events; do
        values=''
        for round in $(seq "$rounds"); do values="$values $(got "$item.$round")"; done
        cost[$case.$item]=$(mean "$values")
        figure "items.$item.$case" "${cost[$case.$item]}"
        figure "items.$item.$case.spread" "$(spread "$values")"
    done
}

# over CASE.ITEM [CASE.ITEM]: the first one's cost over the second's, or over stock Xen's.
over() { calc "${cost[$1]} - ${cost[${2:-stock.${1#*.}}]}"; }
