# Finds a Rust toolchain that can build core from source, which the code inside Xen needs.
# shellcheck shell=bash

# rust_source RUSTC: prints the folder of the library's sources, if this toolchain carries them.
rust_source() {
    local sysroot
    sysroot=$("$1" --print sysroot 2>/dev/null) || return 0
    [ ! -f "$sysroot/lib/rustlib/src/rust/library/core/Cargo.toml" ] || echo "$sysroot/lib/rustlib/src"
}

# rust_toolchain: prints the rustc to build with, if there is one. Debian's comes first: it needs nothing from outside the archive.
rust_toolchain() {
    local rustc
    if [ -x /usr/bin/cargo ] && [ -n "$(rust_source /usr/bin/rustc)" ]; then
        echo /usr/bin/rustc
    elif rustc=$(rustup which rustc 2>/dev/null) && [ -n "$(rust_source "$rustc")" ]; then
        echo "$rustc"
    fi
}

# find_rust: exports CARGO and RUSTC, those of the environment if it has both.
find_rust() {
    [ -z "${FOUND_RUST:-}" ] || return 0
    if [ -n "${RUSTC:-}" ] && [ -n "${CARGO:-}" ]; then
        [ -n "$(rust_source "$RUSTC")" ] ||
            die "RUSTC=$RUSTC has no library sources (rustup component rust-src, Debian package rust-web-src)"
    else
        RUSTC=$(rust_toolchain)
        [ -n "$RUSTC" ] ||
            die "no Rust toolchain with its library sources: run ./build.sh deps (Debian: rustc-web cargo-web rust-web-src)," \
                "or, with rustup: rustup component add rust-src"
        CARGO=$(dirname "$RUSTC")/cargo
    fi
    export RUSTC CARGO FOUND_RUST=1
}

# rust_key: what identifies the toolchain in cache keys.
rust_key() { find_rust; "$RUSTC" -vV | tr '\n' ' '; }

# find_cargo: exports HOST_CARGO, for what runs on the host or in dom0: the user's own cargo, or the one of find_rust.
find_cargo() {
    HOST_CARGO=$(command -v cargo) || HOST_CARGO=''
    if [ -z "$HOST_CARGO" ]; then
        find_rust
        HOST_CARGO=$CARGO
    fi
    export HOST_CARGO
}

# checks_dir NAME: where cargo builds for the checks NAME: outside of the checkout, so that the crates of others are compiled once for
# all clones at this place. Not for all places: cargo takes the crates of two checkouts for the same ones, and tells by the time of a
# file whether it has changed since they were built.
checks_dir() {
    local dir
    dir=$CACHE/cargo/$(hash_of "$ROOT" "$(cat "$ROOT/Cargo.lock" "$ROOT/fuzz/Cargo.lock")" "$("$HOST_CARGO" -vV)")
    mkdir -p "$dir"
    touch "$dir"
    keep_newest 3 "$CACHE/cargo/"
    printf '%s' "$dir/$1"
}

# host_cargo ARG...: that cargo with its own rustc, whatever toolchain find_rust chose for what goes into Xen.
host_cargo() { env -u RUSTC -u CARGO "$HOST_CARGO" "$@"; }

# ---- what runs in dom0 ------------------------------------------------------------------------------------------------

# static_cargo DIR ARG…: builds it in DIR: static, and without the paths of the crates on this machine.
static_cargo() {
    local flags
    printf -v flags '%s\x1f%s' -Ctarget-feature=+crt-static "--remap-path-prefix=${CARGO_HOME:-$HOME/.cargo}=cargo"
    CARGO_ENCODED_RUSTFLAGS=$flags host_cargo build -q --locked --release --manifest-path "$ROOT/Cargo.toml" \
        --target x86_64-unknown-linux-gnu --target-dir "$1" -j "$JOBS" "${@:2}"
}

# static_key PATH…: what decides about programs whose sources are these.
static_key() {
    hash_of "$(hash_paths "$ROOT"/{Cargo.toml,Cargo.lock} "$ROOT"/{xenlr,vm-tests,log-format,hv-logger}/Cargo.toml \
        "$ROOT"/log-format/{build.rs,src} "$ROOT/xenlr/src" "$@")" \
        "$("$HOST_CARGO" -vV)" "$("$(dirname "$HOST_CARGO")/rustc" -vV)" "$(gcc -dumpfullversion)" "$(ldd --version)" \
        "$(declare -f static_cargo make_cli make_vm_programs)"
}

# build_cli: the dom0 command → target/dist/xenlr; and, for scripts in the rig, the reader of JSON → target/dist/field.
build_cli() {
    local out name
    find_cargo
    out=$CACHE/out/cli-$(static_key "$ROOT/vm-tests/src/bin/field.rs")
    once cli "$out" "xenlr command" make_cli
    for name in xenlr field; do install_file "$out/$name" "$DIST/$name"; done
    keep_newest 8 "$CACHE/out/cli-"
}

make_cli() { # OUT
    local dir
    dir=$(checks_dir static)
    static_cargo "$dir" -p xenlr -p vm-tests --bin xenlr --bin field
    cp "$dir"/x86_64-unknown-linux-gnu/release/{xenlr,field} "$1/"
}

# build_vm_program NAME TO: a program of vm-tests, for dom0.
build_vm_program() {
    local out
    find_cargo
    out=$CACHE/out/vm-tests-$(static_key "$ROOT/vm-tests/src")
    once cli "$out" "programs of the rig's tests" make_vm_programs
    cp "$out/$1" "$2"
    keep_newest 8 "$CACHE/out/vm-tests-"
}

make_vm_programs() { # OUT
    local dir program
    dir=$(checks_dir static)
    static_cargo "$dir" -p vm-tests --bins
    for program in "$ROOT"/vm-tests/src/bin/*.rs; do
        cp "$dir/x86_64-unknown-linux-gnu/release/$(basename "$program" .rs)" "$1/"
    done
}
