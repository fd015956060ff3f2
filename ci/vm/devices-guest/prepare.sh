#!/usr/bin/env bash
# What the test needs in dom0: prepare.sh FOLDER
set -euo pipefail
. ci/vm/host.sh
mkdir -p "$1/usr/local/bin"
vm_program udp "$1/usr/local/bin/udp"
