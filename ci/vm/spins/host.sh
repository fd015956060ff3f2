#!/usr/bin/env bash
# Guests that never leave Xen alone get their events all the same, whatever kind of loop they are in, and replay equal, with all of
# their memory compared wherever a commit was forced; each can be stopped.
# Controls: with force=off they get nothing; a place that was altered is not found.
# usage: host.sh [ROUNDS]: the loops so many times (1)
# takes: 100 s
set -euo pipefail
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. ci/vm/host.sh
mkdir -p "$work/overlay/usr/bin"
vm_program alter "$work/overlay/usr/bin/alter"
"$RIG" --smp 2 --xen-args xenlr_check_places --overlay "$work/overlay" --timeout "${XENLR_RIG_TIMEOUT:-1200}" --out "${XENLR_RIG_OUT:-$work/out}" ci/vm/spins/dom0.sh "$@"
