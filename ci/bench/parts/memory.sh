# shellcheck shell=bash
# part memory: what a domain takes of Xen's heap, recorded and not

measure_memory() {
    local ring_kib=256 stock unlogged guest
    use_xen stock
    boot stock --smp 2 --timeout 600 -- memory
    stock=$(got heap)
    use_xen xenlr
    boot unlogged --smp 2 --timeout 600 -- memory
    unlogged=$(got heap) guest=$(got domain)
    figure memory.unlogged "$((unlogged - stock))" "the pages of Xen's heap less those under stock Xen"
    boot logged --smp 2 --timeout 600 -- memory "xenlr=\"record,buffer_kb=$ring_kib\""
    # A recorded domain's own pages come from the arena, those of another one from the heap.
    figure memory.logged "$((4 * ($(got heap) - (unlogged - guest)) - ring_kib))"
    figure memory.logged.heap "$(got heap)"
    figure memory.unlogged.heap "$unlogged"
    figure memory.guest "$guest"
}
