#!/usr/bin/env bash
# What the command says and the status that it ends with are so: after kills, with full disks, with an xl that fails, for a guest
# that spins, for a log that does not fit. Controls: the same calls with nothing in their way.
# takes: 350 s
set -euo pipefail
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT
. ci/vm/host.sh

mkdir -p "$overlay/usr/local/bin"
vm_program alter "$overlay/usr/local/bin/alter"
"$RIG" --smp 2 --overlay "$overlay" ci/vm/command/dom0.sh
