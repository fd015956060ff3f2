# For the tests in the rig that begin on the host: . ci/vm/host.sh, at the repository's root.
# shellcheck shell=bash

# xenlr_example NAME TO: a static program of xenlr/examples, for dom0.
xenlr_example() {
    local cargo
    cargo=$(command -v cargo || echo /usr/bin/cargo)
    RUSTFLAGS="-Ctarget-feature=+crt-static" "$cargo" build -q --locked --release -p xenlr --example "$1" \
        --target x86_64-unknown-linux-gnu --target-dir target/cli
    cp "target/cli/x86_64-unknown-linux-gnu/release/examples/$1" "$2"
}
