#!/usr/bin/env bash
# With time=1ms a guest's clock is never ahead of Xen's, at most 1 ms behind, and always advances; its log has fewer clock values,
# and replays equal. With time=exact, and without a log, the clock is as Xen's.
# Controls: with time=1ms the clock is more behind than it may be with time=exact; the log that says time=exact diverges.
# takes: 105 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. ci/vm/host.sh
mkdir "$work/overlay"
xenlr_example alter "$work/overlay/alter"
"$RIG" --smp 2 --overlay "$work/overlay" ci/vm/time-policy/dom0.sh
