#!/usr/bin/env bash
# A hostile reader in dom0 harms nobody but the logs that it reads: random calls of the domctl and of the resource, in every state
# of a domain, and random values in the rings' headers and data, while they are recorded and replayed. Other domains' logs stay
# equal, Xen stays up and gets all memory back.
# Controls: the calls that are to succeed do, in each of the states; rings that are written to do fail.
# takes: 320 s
# usage: host.sh [CALLS ROUNDS SEED]
set -euo pipefail
here=ci/vm/hostile-reader
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
. ci/vm/host.sh
mkdir "$work/overlay"
vm_program fuzz_reader "$work/overlay/fuzz_reader"
"$RIG" --smp 2 --xen-args conring_size=1m --overlay "$work/overlay" "$here/dom0.sh" "$@"
