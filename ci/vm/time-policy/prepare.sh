#!/usr/bin/env bash
# What the test needs in dom0: prepare.sh FOLDER
set -euo pipefail
. ci/vm/host.sh
vm_program alter "$1/alter"
