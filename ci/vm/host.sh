# For the tests in the rig that begin on the host: . ci/vm/host.sh, at the repository's root.
# shellcheck shell=bash

# xenlr_example NAME TO: a static program of xenlr/examples, for dom0.
xenlr_example() { bash ci/lib/step build_example "$1" "$2"; }
