# Shared by build.sh, ci/rig and ci/test: paths, messages, hashing, locking. Sourced, never run.
# shellcheck shell=bash

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XENLR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xenlr}
JOBS=${XENLR_JOBS:-$(nproc)}
TARGET=$ROOT/target
export GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

say() { printf '%s: %s\n' "${PROG:-build.sh}" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# hash_of WORD...: a short digest of the words, for cache keys.
hash_of() { printf '%s\0' "$@" | sha256sum | cut -c1-20; }

# hash_paths PATH...: a digest of names and contents below the paths; those that do not exist count as absent.
# Neither build products (target/) nor the place of the checkout count.
hash_paths() {
    local path
    for path; do
        [ -e "$path" ] || { printf 'absent  %s\n' "$path"; continue; }
        find "$path" -name target -prune -o \( -type f -o -type l \) -print0 |
            LC_ALL=C sort -z | xargs -0r sha256sum
    done | sed "s|  $ROOT/|  |" | sha256sum | cut -c1-20
}

# with_lock NAME COMMAND...: one process at a time for a cache folder.
with_lock() {
    local name=$1; shift
    mkdir -p "$CACHE/locks"
    (
        if ! flock -n 9; then
            say "waiting for another build of '$name' to finish"
            flock 9
        fi
        "$@" 9>&-
    ) 9>"$CACHE/locks/$name"
}

# quietly LOG COMMAND...: output goes to the log; on failure its end is shown.
quietly() {
    local log=$1; shift
    mkdir -p "$(dirname "$log")"
    if ! "$@" >"$log" 2>&1; then
        tail -n 40 "$log" >&2
        say "failed: $*"
        say "the whole output is in $log"
        return 1
    fi
}

# The newest entries stay, the rest of a cache folder goes: keep_newest COUNT GLOB-PREFIX
keep_newest() {
    local count=$1 prefix=$2
    # shellcheck disable=SC2012  # names are our own: a prefix and a hex digest
    ls -dt "$prefix"* 2>/dev/null | tail -n "+$((count + 1))" | xargs -r rm -rf
}
