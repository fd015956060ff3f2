#!/usr/bin/env bash
# The CPU policy of a logged guest, PV or PVH, lacks the instructions that cannot be trapped; cpuid= cannot bring them back.
# Control: unlogged.
# takes: 53 s
set -euo pipefail
here=$(dirname "$0")
# A processor that has them all; the rig's usual one does not.
XENLR_CPU=EPYC-v4,+svm,-monitor,+rdrand,+rdseed,+rdpid,+xsaveopt,+xsavec,+xsaves,-umip \
    "$RIG" "$here/dom0.sh"
