# For the tests in the rig that begin on the host: . ci/vm/host.sh, at the repository's root.
# shellcheck shell=bash

# vm_program NAME TO: a static program of vm-tests, for dom0.
vm_program() { bash ci/lib/step build_vm_program "$1" "$2"; }
