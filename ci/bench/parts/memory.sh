# shellcheck shell=bash
# part memory: what a domain takes of Xen's heap, recorded and not

measure_memory() {
    local ring_kib=256 stock unlogged guest
    use_xen stock
    boot stock --smp 2 --timeout 600 -- memory
    stock=$(got heap)
    figure memory.heap.stock "$stock"
    use_xen xenlr
    boot unlogged --smp 2 --timeout 600 -- memory
    unlogged=$(got heap) guest=$(got domain)
    figure memory.heap.unlogged "$unlogged"
    figure memory.heap.guest "$guest"
    figure memory.unlogged "$(calc "$unlogged - $stock")" ''
    boot logged --smp 2 --timeout 600 -- memory "xenlr=\"record,buffer_kb=$ring_kib\""
    # A recorded domain's own pages come from the arena, those of another one from the heap.
    figure memory.logged "$(calc "4 * ($(got heap) - ($unlogged - $guest)) - $ring_kib")"
    figure memory.heap.logged "$(got heap)"
}
