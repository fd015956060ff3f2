#!/usr/bin/env bash
# A host that cannot log, for lack of patches, of an arena, or of room in it, says which, with status 34; no domain is left.
# takes: 104 s
set -euo pipefail
here=ci/vm/refusals-host
tools=$(mktemp -d)
trap 'rm -rf "$tools"' EXIT

# An unpatched Xen has another version of the toolstack's interface, so that dom0's first service fails there with our tools.
# xl must say what is wrong all the same: start dom0 without that service.
[ -f target/dist/stock/xen ] || ./build.sh xen --stock
cp -a target/dist/tools/. "$tools"
printf '#!/bin/sh\n' >"$tools/usr/lib/xen/bin/xen-init-dom0"
rm -f "$tools/done"
XENLR_XEN=target/dist/stock/xen XENLR_TOOLS=$tools "$RIG" "$here/dom0.sh" 'this Xen cannot log domains' none

"$RIG" --xen-args 'xenlr_arena=0' "$here/dom0.sh" 'this Xen cannot log domains: .* with xenlr_arena=SIZE, at least 35M' one
"$RIG" --xen-args 'xenlr_arena=32M' "$here/dom0.sh" 'the arena has no room for [0-9]* frames (35M)' one
