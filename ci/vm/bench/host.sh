#!/usr/bin/env bash
# The benchmarks measure what they say, in little: the size of a log, and instructions of a domain and of the machine. Controls: a
# part whose machine does not boot keeps its older figure and says that it was not measured; another log is another figure.
# takes: 330 s
set -euo pipefail

fail() { echo "FAIL: $*"; exit 1; }
bench=$PWD/target/bench/short
rm -rf "$bench"
docs_before=$(find docs -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)

# value ID: of a figure that was kept.
value() {
    python3 - "$1" "$bench"/figures/*.json <<'EOF'
import json, sys

for path in sys.argv[2:]:
    figure = json.load(open(path))["figures"].get(sys.argv[1])
    if figure is not None:
        print(figure["value"])
EOF
}
positive() { awk -v value="$(value "$1")" 'BEGIN { exit !(value > 0) }' || fail "$1 is '$(value "$1")'"; }

ci/bench/run --short growth-shell-exact replay-compute

size=$(stat -c %s "$bench/growth-shell-exact-run.out/idle.xlr")
[ "$(value growth.shell.exact.bytes)" = "$size" ] || fail "the log has $size bytes, the figure is $(value growth.shell.exact.bytes)"
for id in growth.shell.exact.mb_day growth.shell.exact.sync replay.compute.recorded replay.compute.replayed replay.compute.machine; do
    positive "$id"
done
# A step of the guest's computation is several instructions; 20 million were asked for.
[ "$(value replay.compute.recorded)" -gt 20000000 ] || fail "20 million steps in $(value replay.compute.recorded) instructions"
grep -q "idle .shell.*| $(awk -v v="$(value growth.shell.exact.mb_day)" 'BEGIN { printf "%.3f", v }') MB a day |" "$bench/benchmarks.md" ||
    fail "the page does not show the figure: $(grep shell "$bench/benchmarks.md")"
grep -qF 'ci/rig --icount --timeout 5400 -- ci/bench/dom0/growth shell 60 record' "$bench/benchmarks.md" || fail "the page does not name the command"

# Control: the machine does not boot.
before=$(value growth.shell.exact.bytes)
if XENLR_QEMU=false ci/bench/run --short growth-shell-exact; then fail "control: a part that could not run counts as measured"; fi
[ "$(value growth.shell.exact.bytes)" = "$before" ] || fail "control: a part that could not run changed its figures"

# Control: a guest that does more makes more records and a larger log.
ci/bench/run --short growth-talk-exact
[ "$(value growth.talk.exact.records)" -gt $((10 * $(value growth.shell.exact.records))) ] &&
    [ "$(value growth.talk.exact.bytes)" -gt "$before" ] ||
    fail "control: a talkative guest made $(value growth.talk.exact.records) records in $(value growth.talk.exact.bytes) bytes," \
        "one that does nothing $(value growth.shell.exact.records) in $before"

[ "$docs_before" = "$(find docs -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)" ] || fail "a short run changed something in docs/"
echo "a shell makes $before bytes in a minute, a talkative guest $(value growth.talk.exact.bytes)"
