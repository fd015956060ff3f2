# shellcheck shell=bash
# part peers: the codec and the ring beside those of others, on this host

# beside_best NAME COLUMN PEER…: the row's number in that column of its table, divided by the smallest of its peers.
beside_best() {
    awk -F' *[|] *' -v name="$1" -v column="$(($2 + 2))" -v peers=" ${*:3} " '
        /^$/ { if (own) exit; best = "" }
        $2 == name { own = $column }
        index(peers, " " $2 " ") && (!best || $column < best) { best = $column }
        END { if (!own || !best) exit 1; printf "%.10g", own / best }' "$tables"
}

measure_peers() {
    local tables=$BENCH/peers.md name at=1
    command=$(quoted ci/bench-host ${short:+--quick})
    say "  $command"
    "$ROOT/ci/bench-host" ${short:+--quick} >"$tables"
    for name in codec ring codec_instructions ring_instructions; do
        # Without valgrind there are no instructions.
        if [ "$("$ROOT/ci/bench/report" tables "$tables")" -ge $at ]; then
            figure "peers.$name" "$("$ROOT/ci/bench/report" tables "$tables" $at)"
        fi
        at=$((at + 1))
    done
    figure peers.bytes "$(beside_best log-format 1 postcard bincode fixed)"
    figure peers.encode "$(beside_best log-format 2 postcard bincode)"
    figure peers.decode "$(beside_best log-format 4 postcard bincode)"
    figure peers.encode_fixed "$(beside_best log-format 2 fixed)"
    figure peers.decode_fixed "$(beside_best log-format 4 fixed)"
    figure peers.ring_one "$(beside_best xenlr 1 bbqueue rtrb heapless)"
    figure peers.ring_batch "$(beside_best xenlr 2 bbqueue rtrb heapless)"
    figure peers.ring_threads "$(beside_best xenlr 3 bbqueue rtrb heapless)"
}
