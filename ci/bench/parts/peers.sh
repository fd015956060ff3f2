# shellcheck shell=bash
# part peers: the codec and the ring beside those of others, on this host

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
}
