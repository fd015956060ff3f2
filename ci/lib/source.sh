# Xen's source: which bases there are, and where the cache has the one that is built. ci/source gets it.
#
# The cache has a folder for each base, named by the digest of its tarball: a git repository "repo", whose tag "base" is the
# source as it came, and the worktrees of that repository in which hypervisor and tools are built.
# shellcheck shell=bash

BASES=$ROOT/ci/downloads.sha256

# bases: those of the file, each as "SHA256 TREE NAME", the one that the series is made on first.
bases() { sed -n 's/^base  *//p' "$BASES"; }

# shellcheck disable=SC2034  # for messages elsewhere
XEN_TARBALL=$(bases | sed -n '1s/.* //p')
# The base that is built. One run has one: its processes inherit it.
case ${XEN_FOLDER:-} in
"$CACHE"/xen/*) ;;
*) XEN_FOLDER='' ;;
esac
XEN_REPO=${XEN_FOLDER:+$XEN_FOLDER/repo}
export XEN_FOLDER

# base_folder SHA256: where the cache has this base.
base_folder() { printf '%s/xen/%s' "$CACHE" "${1:0:16}"; }

# find_xen: sets XEN_FOLDER and XEN_REPO, the folder of the base that is built and its repository.
find_xen() {
    [ ! -d "$XEN_REPO" ] || return 0
    # It says itself what is wrong.
    XEN_FOLDER=$("$ROOT/ci/source") || exit 1
    XEN_REPO=$XEN_FOLDER/repo
}

# The repository's commits do not depend on who makes them or when.
xen_git() {
    GIT_AUTHOR_NAME=XenLR GIT_AUTHOR_EMAIL=xenlr@localhost GIT_COMMITTER_NAME=XenLR GIT_COMMITTER_EMAIL=xenlr@localhost \
        git -C "$1" -c core.autocrlf=false -c gc.auto=0 -c commit.gpgsign=false -c advice.detachedHead=false "${@:2}"
}

# unpack_base REPO OUT: the source as it came.
unpack_base() {
    mkdir -p "$2"
    xen_git "$1" archive base | tar -x -C "$2"
}

# apply_exactly TREE: the whole series with patch and without fuzz; the reason why not is the last line on stderr.
apply_exactly() {
    local name
    for name in $(series); do
        patch -s -p1 --fuzz=0 -d "$1" <"$PATCHES/$name" >"$1/.patch.log" 2>&1 || true
        if [ -s "$1/.patch.log" ]; then
            cat "$1/.patch.log" >&2
            die "xen-patches/$name does not apply to it without fuzz"
        fi
    done
    rm -f "$1/.patch.log"
}
