#!/usr/bin/env bash
# A replay that stands at a point, or that diverged, is looked at with the ordinary tools: gdb through Xen's gdbsx, and xenctx.
# Two replays to the same point show the same registers, memory and symbols, which are the guest's own. Control: another point
# shows others.
# takes: 280 s
set -euo pipefail
PROG=vm/inspect
here=ci/vm/inspect
# shellcheck source-path=SCRIPTDIR/../../lib
. ci/lib/common.sh
. ci/lib/apt.sh
. ci/lib/rust.sh
. ci/lib/xen.sh
. ci/lib/image.sh
. ci/vm/host.sh
overlay=$(mktemp -d)
trap 'rm -rf "$overlay"' EXIT

fetch_program gdb-minimal
add_program gdb "$overlay"
mkdir -p "$overlay/usr/local/bin"
vm_program alter "$overlay/usr/local/bin/alter"
# section NAME FIELD: of the guest's kernel, as readelf numbers the fields behind the name: 2 address, 3 offset, 4 size.
section() { readelf -SW "$DIST/guests/minios" | sed 's/^ *\[ *[0-9]*\] *//' | awk -v name="$1" -v i="$2" '$1 == name { print "0x" $(i + 1) }'; }
start=$(section .text 2)
# With the first of its variables: gdb reads some kilobytes at a time.
end=$(printf '%#x' $(($(section .bss 2) + 65536)))

# Xen offers gdbsx in debug builds and to experts only.
build_xen xenlr CONFIG_EXPERT=y
XENLR_XEN=$XEN_OUT/xen "$RIG" --smp 2 --overlay "$overlay" "$here/dom0.sh" \
    "$start" "$end" "$(section .rodata 2)" $(($(section .rodata 3))) $(($(section .rodata 4)))
