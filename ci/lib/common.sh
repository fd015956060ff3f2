# Shared by all scripts of the host: paths, messages, hashing, locking, steps. Sourced, never run.
# shellcheck shell=bash
shopt -s inherit_errexit

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
CACHE=${XENLR_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/xenlr}
JOBS=${XENLR_JOBS:-$(nproc)}
TARGET=$ROOT/target
export PROG=${PROG:-build.sh} GIT_CONFIG_GLOBAL=/dev/null GIT_CONFIG_SYSTEM=/dev/null

say() { printf '%s: %s\n' "$PROG" "$*" >&2; }
die() { say "error: $*"; exit 1; }

# Runs a command as root: directly, or through sudo.
as_root() {
    if [ "$(id -u)" = 0 ]; then "$@"; else sudo "$@"; fi
}

# hash_of WORD...: a short digest of the words, for cache keys. No word may be empty: that is what a command leaves that failed in
# its substitution, whose status nobody sees.
hash_of() {
    local word
    for word; do [ -n "$word" ] || die "a part of a cache key is empty: one of its commands failed"; done
    printf '%s\0' "$@" | sha256sum | cut -c1-20
}

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

# ---- what must not go on after an error ---------------------------------------------------------------------------------
#
# Errexit does not hold in a function that is called in a condition (if, &&, ||, !), however deep. So whatever fills the cache
# or target/ runs as a process of its own (ci/lib/step), where errexit holds whoever called; and what starts it ends the run
# with exit when it fails, which holds in conditions as well. Variables that such a function needs are exported.

# own_process FUNCTION ARG...: runs a function of ci/lib in a process of its own; its status is that of the function.
own_process() { bash "$ROOT/ci/lib/step" "$@"; }

# with_lock NAME FUNCTION ARG...: one process at a time for a cache folder. When the function fails, so does the run.
with_lock() {
    local name=$1
    shift
    mkdir -p "$CACHE/locks" || exit
    (
        flock -n 9 || {
            say "waiting for another build of '$name' to finish"
            flock 9 || exit
        }
        own_process "$@" 9>&-
    ) 9>"$CACHE/locks/$name" || exit
}

# step_log NAME: where the output of the step of this name goes.
step_log() { printf '%s' "$TARGET/logs/${1//[^A-Za-z0-9_.=-]/-}.log"; }

# step NAME FUNCTION ARG...: a step of the build, in a process of its own. Its output goes to a log. One line says how long it
# took, or why it failed and where the log is; then the run ends.
step() {
    local name=$1 log status=0 start=$SECONDS reason
    shift
    log=$(step_log "$name")
    mkdir -p "$TARGET/logs" || exit
    # What shows the progress ends when its input does, so also when this shell is killed.
    exec 8> >(show_progress "$name")
    own_process "$@" >"$log" 2>&1 </dev/null 8>&- || status=$?
    exec 8>&-
    wait $! || true # bash may have forgotten it; what counts is that its line is gone
    if [ $status = 0 ]; then
        say "$name … $((SECONDS - start)) s"
        return
    fi
    reason=$(sed -n "s|^$PROG: error: ||p" "$log" | tail -n 1)
    [ -n "$reason" ] || tail -n 30 "$log" | sed 's/^/    /' >&2
    die "$name failed after $((SECONDS - start)) s: ${reason:-status $status, see above}; the whole output is in $log"
}

# show_progress NAME: on a terminal, a line with the seconds that went by until the input ends.
show_progress() {
    local start=$SECONDS status
    [ -t 2 ] || return 0
    while :; do
        printf '\r%s: %s … %d s' "$PROG" "$1" $((SECONDS - start)) >&2
        status=0
        read -r -t 1 || status=$?
        [ $status -gt 128 ] || break # that is a timeout
    done
    printf '\r\033[K' >&2
}

# once LOCK DIR NAME FUNCTION ARG...: a step that makes the folder DIR of the cache, unless it is there and complete: "FUNCTION OUT
# ARG..." fills the folder OUT, which becomes DIR when that has succeeded.
once() {
    if [ -e "$2/done" ]; then
        touch "$2"
        return
    fi
    with_lock "$1" once_locked "${@:2}"
}

once_locked() { # DIR NAME FUNCTION ARG...
    local dir=$1 name=$2 function=$3 out
    shift 3
    [ ! -e "$dir/done" ] || return 0 # made by another process while this one waited
    out=$CACHE/tmp/$(basename "$dir")
    rm -rf "$dir" "$out"
    mkdir -p "$out" "$(dirname "$dir")"
    step "$name" "$function" "$out" "$@"
    touch "$out/done"
    mv "$out" "$dir"
}

# quietly LOG PROGRAM ARG...: output goes to the log; on failure its end is shown. For programs, not for functions.
quietly() {
    local log=$1
    shift
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 || {
        tail -n 40 "$log" >&2
        say "failed: $*"
        say "the whole output is in $log"
        return 1
    }
}

# The newest entries stay, the rest of a cache folder goes: keep_newest COUNT GLOB-PREFIX
keep_newest() {
    local count=$1 prefix=$2
    # shellcheck disable=SC2012  # names are our own: a prefix and a hex digest
    { ls -dt "$prefix"* 2>/dev/null || true; } | tail -n "+$((count + 1))" | xargs -r rm -rf
}
