# The parts of ci/nightly, each run in a shell of its own with errexit; the last line that one prints is its result.
# shellcheck shell=bash

NIGHTLY=$TARGET/nightly

# ---- the patched hypervisor in other configurations -----------------------------------------------------------------------

# warnings LOG: the lines of a build log that warn, whoever wrote them (gcc, ld, rustc, Kconfig).
warnings() { grep -iE '(^|[^a-z0-9_/.-])warning(:|\[)' "$1"; }

# reports CONSOLE: what UBSAN found.
reports() { grep -a 'UBSAN:' "$1"; }

# complaints CONSOLE: what XenLR's own checks found.
complaints() { grep -aE 'Xen (WARN|BUG) at (common|arch/x86)/xenlr/' "$1"; }

# no_lines FINDER FILE CONTROL: fails where the finder finds a line in the file, or does not find the control behind it.
no_lines() {
    if "$1" "$2"; then
        echo "that is in $2"
        return 1
    fi
    { cat "$2"; printf '%s\n' "$3"; } >"$NIGHTLY/control"
    "$1" "$NIGHTLY/control" >/dev/null || { echo "control: $1 does not find '$3'"; return 1; }
    rm "$NIGHTLY/control"
}

# fresh_xen NAME OPTION=VALUE…: the patched hypervisor, built from a clean tree so that the log has every warning
# → $NIGHTLY/NAME.xen, NAME.symbols.
fresh_xen() {
    source_commit xenlr
    find_rust
    with_lock nightly-fresh fresh_xen_in "$@"
    no_lines warnings "$TARGET/logs/nightly-$1.log" 'common/xenlr.c:1:2: warning: unused variable'
}

fresh_xen_in() {
    local name=$1 tree
    shift
    tree=$(with_lock xen-repo worktree nightly-fresh "$XEN_COMMIT")
    # Cargo repeats the warnings of what it has built already.
    xen_git "$tree" clean -fdxq -e xen/common/xenlr/target
    step "nightly-$name" make_hypervisor "$tree" "$@"
    cp "$tree/xen/xen" "$NIGHTLY/$name.xen"
    nm "$tree/xen/xen-syms" >"$NIGHTLY/$name.symbols"
}

# boot NAME WHAT: boots it for ci/dom0/nightly WHAT; Xen's console is NAME.console then.
boot() {
    local status=0 console
    XENLR_XEN=$NIGHTLY/$1.xen "${RIG:-$ROOT/ci/rig}" --smp 2 --timeout 1800 --out "$NIGHTLY/out" "$ROOT/ci/dom0/nightly" "$2" \
        >"$NIGHTLY/$1.rig" 2>&1 || status=$?
    cat "$NIGHTLY/$1.rig"
    console=$(sed -n 's/.*console in //p' "$NIGHTLY/$1.rig" | head -n 1)
    [ -z "$console" ] || cp "$console" "$NIGHTLY/$1.console"
    return $status
}

# tells NAME PATTERN: its console has a line like this.
tells() { grep -aqE "$2" "$NIGHTLY/$1.console" || { echo "Xen's console has no '$2'"; return 1; }; }

part_debug() {
    fresh_xen debug CONFIG_DEBUG=y
    boot debug logs
    tells debug 'Xen version .* debug=y'
    no_lines complaints "$NIGHTLY/debug.console" '(XEN) Xen WARN at common/xenlr/digest.c:1'
    echo "no warning, a guest recorded and replayed equal"
}

part_ubsan() {
    fresh_xen ubsan CONFIG_DEBUG=y CONFIG_UBSAN=y
    grep -q '__ubsan_handle' "$NIGHTLY/ubsan.symbols" || { echo "this hypervisor has no UBSAN"; return 1; }
    boot ubsan logs
    no_lines reports "$NIGHTLY/ubsan.console" '(XEN) UBSAN: Undefined behaviour in common/xenlr.c:1:2'
    echo "no warning, no report, a guest recorded and replayed equal"
}

# choice TREE [NAME=VALUE]: what becomes of CONFIG_XENLR=y when make, so called, completes the configuration: y or nothing.
choice() {
    printf 'CONFIG_UNSUPPORTED=y\nCONFIG_XENLR=y\n' >"$1/xen/.config"
    env -u XENLR_SRC make -s -C "$1/xen" olddefconfig "${@:2}" >&2 || { echo failed; return; }
    sed -n 's/^CONFIG_XENLR=//p' "$1/xen/.config"
}

# wants_sources: without the library's sources it cannot be chosen, with them it can.
wants_sources() {
    local tree without with
    tree=$(with_lock xen-repo worktree nightly-fresh "$XEN_COMMIT")
    without=$(choice "$tree")
    with=$(choice "$tree" XENLR_SRC="$ROOT")
    rm -f "$tree/xen/.config" "$tree/xen/.config.made-from"
    [ "$without" = '' ] || { echo "CONFIG_XENLR without XENLR_SRC: '$without'"; return 1; }
    [ "$with" = y ] || { echo "control: CONFIG_XENLR with XENLR_SRC: '$with'"; return 1; }
}

part_without() {
    fresh_xen without CONFIG_XENLR=n
    with_lock nightly-fresh wants_sources
    ! grep -iE 'xenlr|hvlog' "$NIGHTLY/without.symbols" || { echo "these symbols are left"; return 1; }
    boot without refuses
    echo "no warning, nothing of XenLR in it, an ordinary guest ran, a logged one was refused; not to be chosen without its sources"
}

# ---- the proof of places, without one of its parts ------------------------------------------------------------------------

# mutate NAME TREE: takes one thing out that makes a forced commit's place the right one; or has the host's interrupts be sync points.
mutate() {
    local arch=$2/xen/arch/x86/xenlr svm=$2/xen/arch/x86/hvm/svm/svm.c before
    before=$(cat "$arch"/{force,digest}.c "$svm" | sha256sum)
    case $1 in
    none) return ;;
    # Neither FPU nor memory are part of a place, and a state that returns does not matter.
    registers)
        sed -i '/^static uint64_t digest_pages/,/^}/s/return digest;/return 0;/
            /^static void prove_hit/,/^}/s/f->hits > 1 && is_at/f->hits > PROVE_HITS \&\& is_at/' "$arch/force.c"
        sed -i '/^uint64_t arch_xenlr_digest_fpu/,/^}/s/return digest;/return 0;/' "$arch/digest.c" ;;
    pointed) sed -i '/^static uint64_t digest_pages/,/^}/s/digest = add_pages(0, regs);/digest = 0 * add_pages(0, regs);/' "$arch/force.c" ;;
    # That pages differ where a state returns does not matter.
    named) sed -i '/^static void pass_done/,/^}/s/if ( !f->nr_differ )/if ( true )/' "$arch/force.c" ;;
    adjacent) sed -i '/^static void prove_hit/,/^}/s/f->next_save \*= 2;/f->next_save++;/' "$arch/force.c" ;;
    interrupts) sed -i '/^static bool is_sync_point/,/^}/s/    case VMEXIT_VINTR:/    case VMEXIT_INTR:\n&/' "$svm" ;;
    rf) sed -i '/^static void found/,/^}/s/    regs->rflags &= ~X86_EFLAGS_RF;//' "$arch/force.c" ;;
    esac
    [ "$before" != "$(cat "$arch"/{force,digest}.c "$svm" | sha256sum)" ] || { echo "there is nothing to take out for '$1'"; return 1; }
}

# build_mutants NAME…: the hypervisor of each → $NIGHTLY/mutant-NAME.xen.
build_mutants() {
    local name tree
    for name; do
        tree=$(with_lock xen-repo worktree nightly-mutants "$XEN_COMMIT")
        mutate "$name" "$tree"
        step "mutant $name" make_hypervisor "$tree"
        cp "$tree/xen/xen" "$NIGHTLY/mutant-$name.xen"
    done
}

part_mutants() {
    local names=(none registers pointed named adjacent rf interrupts) name status bad=()
    source_commit xenlr
    find_rust
    with_lock nightly-mutants build_mutants "${names[@]}"
    for name in "${names[@]}"; do
        status=0
        XENLR_XEN=$NIGHTLY/mutant-$name.xen "${RIG:-$ROOT/ci/rig}" --smp 2 --xen-args xenlr_check_places --timeout 1800 \
            --out "$NIGHTLY/out" "$ROOT/ci/dom0/mutants" >"$NIGHTLY/mutant-$name.rig" 2>&1 || status=$?
        echo "$(date +%H:%M:%S) $name: $(grep -a '^mutants: ' "$NIGHTLY/mutant-$name.rig" || tail -n 1 "$NIGHTLY/mutant-$name.rig")"
        case $name:$status in
        none:0 | [^n]*:1 | named:1) ;;
        *) bad+=("$name") ;;
        esac
    done
    [ ${#bad[@]} = 0 ] || { echo "not as it should be: ${bad[*]}"; return 1; }
    echo "replays without one of ${names[*]:1} are found not to be equal, those with all are"
}

# ---- the series, patch by patch -------------------------------------------------------------------------------------------

# built KEY COMMAND…: runs the command unless it succeeded before with this key, or a result of this key lies in the cache.
built() {
    local stamp=$CACHE/built/$1 result
    for result in "$CACHE/out/"*"-$1/done"; do [ ! -e "$result" ] || return 0; done
    shift
    [ ! -e "$stamp" ] || { touch "$stamp"; return 0; }
    "$@"
    mkdir -p "$CACHE/built"
    find "$CACHE/built" -type f -mtime +60 -delete
    touch "$stamp"
}

# build_patch NAME COMMIT: the hypervisor and the tools as of this patch, each only where the patch changes something that its build
# reads, and where that was not built before, be it here or for the rig.
build_patch() {
    local name=$1 commit=$2 key
    key=$(state_key hypervisor "$commit")
    [ "$key" = "$(state_key hypervisor "$commit^")" ] || built "$key" build_part "$name" "$commit" hypervisor
    key=$(state_key tools "$commit")
    [ "$key" = "$(state_key tools "$commit^")" ] || built "$key" build_part "$name" "$commit" tools
}

# state_key hypervisor|tools COMMIT: of what is built there. Before the patch that offers CONFIG_XENLR nothing of Rust is linked.
state_key() {
    local kind=stock
    case $1 in
    hypervisor)
        [ -z "$(xen_git "$XEN_REPO" grep -l '^config XENLR$' "$2" -- 'xen/*Kconfig*' || true)" ] || kind=xenlr
        hypervisor_key "$2" $kind ;;
    tools) tools_key "$2" ;;
    esac
}

build_part() { # NAME COMMIT hypervisor|tools
    local tree
    tree=$(with_lock xen-repo worktree nightly-series "$2")
    case $3 in
    hypervisor) step "$1 hypervisor" make_hypervisor "$tree" ;;
    tools) step "$1 tools" make_tools "$tree" "$NIGHTLY/tools" ;;
    esac
}

# broken_commit: one on top of the series that does not compile. Prints it.
broken_commit() {
    local file=xen/common/version.c blob tree index
    index=$(mktemp -u)
    blob=$({ xen_git "$XEN_REPO" show "$XEN_COMMIT:$file"; echo '#error control'; } | xen_git "$XEN_REPO" hash-object -w --stdin)
    GIT_INDEX_FILE=$index xen_git "$XEN_REPO" read-tree "$XEN_COMMIT"
    GIT_INDEX_FILE=$index xen_git "$XEN_REPO" update-index --cacheinfo "100644,$blob,$file"
    tree=$(GIT_INDEX_FILE=$index xen_git "$XEN_REPO" write-tree)
    rm "$index"
    xen_git "$XEN_REPO" commit-tree -p "$XEN_COMMIT" -m control "$tree"
}

build_series() {
    local name commit number=0 commits bad=()
    mapfile -t commits < <(xen_git "$XEN_REPO" rev-list --reverse "base..$XEN_COMMIT")
    for name in $(series); do
        commit=${commits[number]} number=$((number + 1))
        if own_process build_patch "$name" "$commit"; then
            echo "$(date +%H:%M:%S) $name builds"
        else
            bad+=("$name")
            echo "$(date +%H:%M:%S) $name does NOT build"
        fi
    done
    rm -rf "$NIGHTLY/tools"
    commit=$(broken_commit)
    if own_process build_patch control "$commit"; then
        echo "control: a commit that does not compile builds"
        return 1
    fi
    grep -q 'error control' "$(step_log 'control hypervisor')" || { echo "control: it fails, but not for its error"; return 1; }
    echo "${#bad[@]} of $number patches do not build: ${bad[*]}"
    [ ${#bad[@]} = 0 ]
}

part_series() {
    source_commit xenlr
    find_rust
    with_lock nightly-series build_series
    echo "each of $(series | wc -l) patches builds on top of those before it, and one that does not compile is found"
}
