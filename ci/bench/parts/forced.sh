# shellcheck shell=bash
# part forced: what a forced commit costs, how long its place is searched for, and what a sync point costs with and without it

measure_forced() {
    local kind key
    use_xen xenlr
    boot spins --smp 2 --timeout 1800 -- forced "$(or_short 10 2)"
    for kind in still calls register nested wide; do
        for key in commits delay_ms longest_ms pass_ms proof bytes recorded_s searched compared_s counted counted_s; do
            figure "forced.$kind.$key" "$(got $kind.$key)"
        done
    done
    for key in 20ms off; do
        boot "force-$key" --icount --timeout 1200 -- items "$(or_short 20000 2000)" 1 "xenlr=\"$(options exact),buffer_kb=16384,force=$key\""
        figure "forced.hypercalls.$key" "$(got hypercalls.1)"
    done
}
