# Finds a Rust toolchain that can build core from source, which the code inside Xen needs.
# shellcheck shell=bash

# rust_has_source RUSTC: whether the toolchain carries the library's sources.
rust_has_source() {
    local sysroot
    command -v "$1" >/dev/null || return 1
    sysroot=$("$1" --print sysroot 2>/dev/null) || return 1
    [ -f "$sysroot/lib/rustlib/src/rust/library/core/Cargo.toml" ]
}

# find_rust: exports CARGO and RUSTC. Debian's toolchain comes first: it needs nothing from outside the archive.
find_rust() {
    [ -z "${FOUND_RUST:-}" ] || return 0
    if [ -n "${RUSTC:-}" ] && [ -n "${CARGO:-}" ]; then
        rust_has_source "$RUSTC" || die "RUSTC=$RUSTC has no library sources (rustup component rust-src, Debian package rust-web-src)"
    elif rust_has_source /usr/bin/rustc && [ -x /usr/bin/cargo ]; then
        RUSTC=/usr/bin/rustc CARGO=/usr/bin/cargo
    elif command -v rustup >/dev/null && rust_has_source "$(rustup which rustc 2>/dev/null)"; then
        RUSTC=$(rustup which rustc) CARGO=$(rustup which cargo)
    else
        die "no Rust toolchain with its library sources: run ./build.sh deps (Debian: rustc-web cargo-web rust-web-src)," \
            "or, with rustup: rustup component add rust-src"
    fi
    export RUSTC CARGO FOUND_RUST=1
}

# rust_key: what identifies the toolchain in cache keys.
rust_key() { find_rust; "$RUSTC" -vV | tr '\n' ' '; }

# find_cargo: exports HOST_CARGO, for what runs on the host or in dom0: the user's own cargo, or the one of find_rust.
find_cargo() {
    HOST_CARGO=$(command -v cargo) || { find_rust; HOST_CARGO=$CARGO; }
    export HOST_CARGO
}

# checks_dir NAME: where cargo builds for the checks NAME: outside of the checkout, so that the crates of others are compiled
# once for all checkouts.
checks_dir() {
    local dir
    dir=$CACHE/cargo/$(hash_of "$(cat "$ROOT/Cargo.lock" "$ROOT/fuzz/Cargo.lock")" "$("$HOST_CARGO" -vV)")
    mkdir -p "$dir"
    touch "$dir"
    keep_newest 2 "$CACHE/cargo/"
    printf '%s' "$dir/$1"
}

# host_cargo ARG...: that cargo with its own rustc, whatever toolchain find_rust chose for what goes into Xen.
host_cargo() { env -u RUSTC -u CARGO "$HOST_CARGO" "$@"; }
