# What the parts of the benchmarks share. Sourced by ci/bench/run; $BENCH is the folder for logs, $PART the part's name, $short
# is set when less is to be measured.
# shellcheck shell=bash

# or_short LONG SHORT: how much to measure.
or_short() { if [ -n "$short" ]; then echo "$2"; else echo "$1"; fi; }

# build_instruments: the plugin that counts the machine's instructions, and the program that makes its marks.
build_instruments() {
    mkdir -p "$TARGET/bench"
    gcc -O2 -Wall -Wextra -Werror -fPIC -shared -fvisibility=hidden -o "$TARGET/bench/counter.so" "$ROOT/ci/bench/tools/counter.c"
    gcc -O1 -Wall -Wextra -Werror -static -o "$TARGET/bench/mark" "$ROOT/ci/bench/tools/mark.c"
}

# use_xen VARIANT: what `boot` boots from now on, "xenlr" or "stock".
use_xen() {
    local tools headers
    variant=$1
    source_commit "$variant"
    headers=$XEN_FOLDER/tools-$variant/tools/include
    unset XENLR_XEN XENLR_TOOLS
    if [ "$variant" = stock ]; then
        build_xen stock
        build_tools stock
        tools=$TOOLS_OUT
        export XENLR_XEN=$XEN_OUT/xen XENLR_TOOLS=$tools
    else
        tools=$(readlink -f "$DIST/tools")
    fi
    overlay=$BENCH/overlay-$variant
    rm -rf "$overlay"
    mkdir -p "$overlay/usr/local/bin" "$overlay/bench"
    cp "$ROOT/ci/bench/dom0/lib.sh" "$overlay/bench/"
    cp "$TARGET/bench/mark" "$overlay/usr/local/bin/"
    # Built against the tools that it runs with: the interface of Xen's tools differs. They do not install Xen's own headers.
    [ -e "$headers/xen/xen.h" ] || make_headers
    gcc -O1 -Wall -I"$tools/usr/include" -I"$headers" -L"$tools/usr/lib" -Wl,-rpath-link,"$tools/usr/lib" \
        -o "$overlay/usr/local/bin/domfacts" "$ROOT/ci/bench/tools/domfacts.c" -lxenctrl
}

# make_headers: builds the tools once more where the cache has kept nothing but what was installed of them.
make_headers() {
    local tree scratch
    source_commit "$variant"
    tree=$(with_lock xen-repo worktree "tools-$variant" "$XEN_COMMIT")
    scratch=$(mktemp -d)
    with_lock "tools-$variant" step "headers of the tools" make_tools "$tree" "$scratch"
    rm -rf "$scratch"
}

# boot NAME RIG-OPTION… -- SCRIPT [ARGUMENT…]: runs ci/bench/dom0/SCRIPT in the rig. Its output goes to $BENCH/$PART-NAME.log,
# its /out to $BENCH/$PART-NAME.out, the marks to $BENCH/$PART-NAME.marks if COUNTED=1. Sets $command for `figure`.
boot() {
    local name=$1 options=() notes='' status=0
    shift
    while [ "$1" != -- ]; do options+=("$1"); shift; done
    shift
    log=$BENCH/$PART-$name.log out=$BENCH/$PART-$name.out marks=$BENCH/$PART-$name.marks
    command=$(quoted ci/rig "${options[@]}" -- "ci/bench/dom0/$1" "${@:2}")
    [ "$variant" = xenlr ] || notes=" $variant Xen and tools,"
    [ -z "${COUNTED:-}" ] || notes="$notes counter.c,"
    command="$command${notes:+ #${notes%,}}"
    rm -rf "$out" "$marks"
    say "  $command"
    XENLR_QEMU_ARGS=${COUNTED:+-plugin $TARGET/bench/counter.so,out=$marks} \
        "$ROOT/ci/rig" "${options[@]}" --overlay "$overlay" --out "$out" "$ROOT/ci/bench/dom0/$1" "${@:2}" \
        >"$log" 2>"$log.err" || status=$?
    [ $status = 0 ] || {
        tail -n 20 "$log" "$log.err" >&2
        die "the run failed with status $status; its output is in ${log#"$ROOT"/}"
    }
}

# broken TEXT: ends the part, also from within $(…), where exit would end no more than that.
broken() {
    say "error: $*"
    kill -TERM $$
    exit 1
}

# got KEY: the value that the last run printed for it.
got() {
    local value
    value=$(sed -n "s/^bench: $1 //p" "$log" | tail -n 1)
    [ -n "$value" ] || broken "the run printed no $1"
    printf '%s' "$value"
}

# between FROM TO: instructions of the whole machine between two marks of the last run.
between() {
    local value
    value=$(awk -v from="$1" -v to="$2" '$1 == from { a = $2 } $1 == to { b = $2 } END { if (a && b > a) print b - a }' "$marks")
    [ -n "$value" ] || broken "the marks $1 and $2 were not made"
    printf '%s' "$value"
}

# quoted WORD…: as one would type them into a shell.
quoted() {
    local word
    for word; do
        case $word in
        *[!A-Za-z0-9_./=,:+-]*) printf "'%s' " "$word" ;;
        *) printf '%s ' "$word" ;;
        esac
    done | sed 's/ $//'
}

# figure ID VALUE [COMMAND]: keeps a figure, with the command of the last run, or an empty one for what is computed from other
# figures. Values are numbers, or JSON for tables.
figure() {
    [ -n "$2" ] || broken "there is no value for $1"
    printf '%s\t%s\t%s\n' "$1" "$2" "${3-$command}" >>"$BENCH/$PART.tsv"
}

# kept ID: a figure that this part kept before.
kept() { awk -F'\t' -v id="$1" '$1 == id { print $2; found = 1 } END { exit !found }' "$BENCH/$PART.tsv"; }

# options POLICY: the configuration's words for a recording with this policy for time. "exact" is the default.
options() { if [ "$1" = exact ]; then echo record; else echo "record,time=$1"; fi; }

# json FILE KEY: one value of an object.
json() { python3 -c 'import json, sys; print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$@"; }

# Of numbers with spaces between them.
mean() { awk '{ for (i = 1; i <= NF; i++) sum += $i; printf "%.10g", sum / NF }' <<<"$1"; }
spread() { tr ' ' '\n' <<<"$1" | sed '/^$/d' | sort -g | awk 'NR == 1 { low = $1 } END { printf "%.10g", $1 - low }'; }

# calc EXPRESSION
calc() { awk "BEGIN { printf \"%.10g\", $1 }"; }
