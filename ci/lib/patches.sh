# The series as files: made from a git tree, applied to a tree of the user's own.
# shellcheck shell=bash

# format_series TREE OUT [COMMIT]: writes the commits from "base" up to COMMIT (HEAD) of TREE as patches into OUT. Their names come from
# xen-patches/series, where the line of a commit is its number and git's form of its subject. The same commits give the
# same bytes whatever git's configuration is.
format_series() {
    local tree=$1 out=$2 to=${3:-HEAD} commit slug name commits expected index=0
    xen_git "$tree" rev-parse -q --verify 'base^{commit}' >/dev/null ||
        die "$tree has no tag or branch 'base' that marks the unpatched Xen"
    mapfile -t expected < <(series)
    commits=$(xen_git "$tree" rev-list --reverse --no-merges "base..$to")
    for commit in $commits; do
        slug=$(xen_git "$tree" show -s --format=%f "$commit")
        name=${expected[index]:-}
        if [ "${name#[0-9][0-9][0-9][0-9]-}" != "$slug.patch" ]; then
            if printf '%s\n' "${expected[@]}" | grep -x "[0-9]\{4\}-$(printf '%s' "$slug" | sed 's/\./\\./g')\.patch" >/dev/null; then
                die "commit ${commit:0:12} '$slug' stands at place $((index + 1)), where xen-patches/series has ${name:-no more lines}"
            fi
            die "xen-patches/series has no line for the commit ${commit:0:12}; put NNNN-$slug.patch at place $((index + 1))"
        fi
        xen_git "$tree" -c core.abbrev=12 -c diff.algorithm=myers -c diff.noprefix=false -c diff.mnemonicPrefix=false \
            -c diff.suppressBlankEmpty=false -c diff.context=3 -c diff.interHunkContext=0 -c format.pretty=email \
            format-patch -1 --stdout -N --zero-commit --no-signature --no-base --full-index --no-renames --stat=72 \
            --no-attach --no-thread --no-cover-letter "$commit" >"$out/$name"
        index=$((index + 1))
    done
    [ $index = ${#expected[@]} ] || die "no commit for the line ${expected[index]} of xen-patches/series; take it out"
}

# write_patches TREE COMMIT: xen-patches/ anew; files that are no longer in the series go.
write_patches() {
    local tmp old new
    tmp=$(mktemp -d)
    own_process format_series "$1" "$tmp" "$2" || { rm -rf "$tmp"; exit 1; }
    for old in "$PATCHES"/*.patch; do
        [ ! -e "$old" ] || [ -e "$tmp/$(basename "$old")" ] || { rm "$old"; say "removed $(basename "$old")"; }
    done
    for new in "$tmp"/*.patch; do
        [ ! -e "$new" ] || install_file "$new" "$PATCHES/$(basename "$new")"
    done
    rm -rf "$tmp"
    say "xen-patches/ holds $(series | wc -l) patches"
}

# verify_patches: regenerating the series changes nothing, and the series applies without fuzz to each base that can be had.
# Cargo's form of a result has ci/test count the others as skipped.
verify_patches() {
    local tmp name folder passed=0 skipped=0
    [ -n "$(series)" ] || { echo "xen-patches/series is empty"; return 77; }
    tmp=$(mktemp -d)
    source_commit xenlr
    format_series "$XEN_REPO" "$tmp" "$XEN_COMMIT"
    for name in $(series); do
        cmp "$tmp/$name" "$PATCHES/$name" || { echo "run ./build.sh patches on the git tree"; return 1; }
    done
    for name in "$PATCHES"/*.patch; do
        series | grep -xF "$(basename "$name")" >/dev/null || { echo "$(basename "$name") is not in xen-patches/series"; return 1; }
    done
    rm -rf "$tmp"
    for name in $(bases | sed 's/.* //'); do
        if ! folder=$("$ROOT/ci/source" "$name" 2>"$tmp.log"); then
            cat "$tmp.log"
            grep -q "no place gave Xen's source" "$tmp.log" || return 1
            echo "SKIP: the series on $name, which no place gave"
            skipped=$((skipped + 1))
            continue
        fi
        unpack_base "$folder/repo" "$tmp"
        (apply_exactly "$tmp") || { echo "this is about $name"; return 1; }
        rm -rf "$tmp"
        echo "the series applies to $name"
        passed=$((passed + 1))
    done
    rm -f "$tmp.log"
    echo "test result: ok. $passed passed; 0 failed; $skipped ignored"
}

# ---- a tree of the user's own -----------------------------------------------------------------------------------------

is_git_tree() { [ -e "$1/.git" ]; }

series_digest() { for name in $(series); do sha256sum <"$PATCHES/$name"; done | sha256sum | cut -c1-40; }

# patch_user_tree TREE: brings the series in, all or nothing.
patch_user_tree() {
    local tree=$1 stamp name before done_names=()
    if is_git_tree "$tree"; then stamp=$(git -C "$tree" rev-parse --git-path xenlr-series); else stamp=.xenlr-series; fi
    case $stamp in /*) ;; *) stamp=$tree/$stamp ;; esac
    if [ -f "$stamp" ]; then
        [ "$(cat "$stamp")" != "$(series_digest)" ] || { say "$tree has the series already"; return; }
        die "$tree was patched with another state of the series; give a tree without it"
    fi
    [ ! -e "$tree/xen/include/public/xenlr.h" ] || die "$tree holds XenLR patches that are not from here; give a tree without them"
    if is_git_tree "$tree"; then
        [ -z "$(git -C "$tree" status --porcelain --untracked-files=no)" ] ||
            die "$tree has changes that are not committed; commit or stash them"
        before=$(git -C "$tree" rev-parse HEAD)
        for name in $(series); do
            xen_git "$tree" am -q "$PATCHES/$name" || {
                xen_git "$tree" am --abort
                xen_git "$tree" reset -q --hard "$before"
                die "$name does not apply to $tree (the series is made for $XEN_TARBALL); the tree is as it was"
            }
        done
    else
        for name in $(series); do
            if patch -s -p1 --fuzz=0 --dry-run -d "$tree" <"$PATCHES/$name" >/dev/null; then
                patch -s -p1 --fuzz=0 -d "$tree" <"$PATCHES/$name"
                done_names=("$name" "${done_names[@]}")
                continue
            fi
            for done in "${done_names[@]}"; do patch -s -R -p1 -d "$tree" <"$PATCHES/$done"; done
            die "$name does not apply to $tree (the series is made for $XEN_TARBALL); the tree is as it was"
        done
    fi
    series_digest >"$stamp"
}

# build_user_tree TREE OPTION=VALUE...
build_user_tree() {
    local tree version
    [ -f "$1/xen/Makefile" ] || die "$1 is not a Xen source tree"
    tree=$(cd "$1" && pwd)
    shift
    version=$(sed -n 's/^\(export \)\?XEN_\(SUB\)\?VERSION *[:?]\?= *\([0-9]*\).*/\3/p' "$tree/xen/Makefile" | head -n 2 | paste -sd.)
    [ "$version" = "$XEN_VERSION" ] || die "$tree is Xen ${version:-of an unknown version}; the series is for $XEN_VERSION"
    patch_user_tree "$tree"
    find_rust
    export keep_config=1
    step "hypervisor in $tree" make_hypervisor "$tree" "$@"
    say "hypervisor: $tree/xen/xen.gz; the tools: see README.md"
}
