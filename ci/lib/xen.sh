# Xen: its source, our series on it, and the builds of hypervisor and tools.
#
# The cache holds a git repository of the source (ci/lib/source.sh; tag "base" is the pristine tarball). The series is applied
# there with git am; hypervisor and tools are built in worktrees of it that keep their objects, so that a change rebuilds
# what depends on it. Results are keyed by content: git's tree digests of what a build reads, and what comes from outside.
# shellcheck shell=bash

. "$ROOT/ci/lib/source.sh"
XEN_VERSION=4.20
PATCHES=$ROOT/xen-patches

# Outside the tree: a builder's name, host and date do not end in the binary.
export XEN_BUILD_DATE='' XEN_BUILD_TIME='' XEN_BUILD_HOST=xenlr XEN_WHOAMI=xenlr XEN_DOMAIN=xenlr

# ---- the series -------------------------------------------------------------------------------------------------------

# series: the patches' file names in order.
series() {
    [ ! -f "$PATCHES/series" ] || sed -e 's/#.*//' -e 's/[[:space:]]*$//' -e '/^$/d' "$PATCHES/series"
}

# apply_series: makes the commit that has the whole series and prints it. Patches that were applied before in the same
# order are found by a ref, so that a changed patch costs only those behind it.
apply_series() {
    local chain=base ref at=base name todo=()
    while read -r name; do
        [ -f "$PATCHES/$name" ] || die "xen-patches/series names $name, which does not exist"
        chain=$(hash_of "$chain" "$(sha256sum <"$PATCHES/$name")")
        ref=refs/series/$chain
        if [ ${#todo[@]} = 0 ] && xen_git "$XEN_REPO" rev-parse -q --verify "$ref" >/dev/null; then
            at=$ref
        else
            todo+=("$name $ref")
        fi
    done < <(series)
    if [ ${#todo[@]} -gt 0 ]; then
        say "applying ${#todo[@]} patches"
        rm -rf "$XEN_REPO/.git/rebase-apply"
        xen_git "$XEN_REPO" checkout -qf --detach "$at"
        for name in "${todo[@]}"; do
            ref=${name#* } name=${name%% *}
            xen_git "$XEN_REPO" am -q --committer-date-is-author-date "$PATCHES/$name" >&2 || {
                xen_git "$XEN_REPO" am --abort 2>/dev/null || true # it may have failed before it began
                die "xen-patches/$name does not apply"
            }
            xen_git "$XEN_REPO" update-ref "$ref" HEAD
        done
        at=HEAD
    fi
    xen_git "$XEN_REPO" rev-parse "$at^{commit}"
}

# source_commit: the commit to build, by VARIANT (stock: without the series). Sets XEN_COMMIT.
source_commit() {
    find_xen
    if [ "$1" = stock ]; then
        XEN_COMMIT=$(xen_git "$XEN_REPO" rev-parse 'base^{commit}')
    else
        XEN_COMMIT=$(with_lock xen-repo apply_series)
    fi
    export XEN_COMMIT
}

# worktree NAME COMMIT: a worktree of the cache at this commit; its untracked files (objects) stay. Prints its path.
worktree() {
    local dir=$XEN_FOLDER/$1
    xen_git "$XEN_REPO" worktree prune
    if [ ! -e "$dir/.git" ]; then
        rm -rf "$dir"
        xen_git "$XEN_REPO" worktree add -q -f --detach "$dir" "$2"
    else
        xen_git "$dir" checkout -qf --detach "$2"
    fi
    printf '%s' "$dir"
}

# tree_key COMMIT PATH...: a digest of these parts of the commit.
tree_key() {
    local commit=$1 path
    shift
    for path; do
        printf '%s %s\n' "$path" "$(xen_git "$XEN_REPO" rev-parse -q --verify "$commit:$path" || echo none)"
    done | sha256sum | cut -c1-20
}

# ---- hypervisor -------------------------------------------------------------------------------------------------------

# configure_hypervisor TREE OPTION=VALUE...: Xen's default configuration with these options. A configuration that was made
# from the same stays as it is, since a new one would compile everything again. With keep_config=1 (a user's tree) the
# tree's own one is the start. Xen offers what is not supported on demand only: where the tree has CONFIG_XENLR, it is chosen
# unless the options say otherwise.
configure_hypervisor() {
    local xen=$1/xen option config=$1/xen/.config stamp=$1/xen/.config.made-from made_from
    shift
    if [[ " $*" != *" CONFIG_XENLR="* && " $*" != *" CONFIG_UNSUPPORTED=n"* ]] &&
        grep -rqs --include='Kconfig*' '^config XENLR$' "$xen"; then
        set -- CONFIG_UNSUPPORTED=y CONFIG_XENLR=y "$@"
        # It would be on by itself then.
        if [[ " $*" != *" CONFIG_TBOOT="* ]] && { [ -z "${keep_config:-}" ] || ! grep -qsx 'CONFIG_TBOOT=y' "$config"; }; then
            set -- CONFIG_TBOOT=n "$@"
        fi
    fi
    made_from=$(hash_of "$(find "$xen" -name 'Kconfig*' -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)" "$@")
    if [ -f "$config" ] && [ "$(cat "$stamp" 2>/dev/null)" = "$made_from" ]; then return; fi
    [ -n "${keep_config:-}" ] || rm -f "$config"
    [ -f "$config" ] || make -C "$xen" defconfig XENLR_SRC="$ROOT"
    for option; do
        sed -i "/^\(# \)\?${option%%=*}[= ]/d" "$config"
        printf '%s\n' "$option" >>"$config"
    done
    make -C "$xen" olddefconfig XENLR_SRC="$ROOT"
    for option; do
        case $option in
        *=n) ! grep -q "^${option%%=*}=" "$config" ;;
        *) grep -qxF "$option" "$config" ;;
        esac || die "Kconfig does not take $option"
    done
    printf '%s\n' "$made_from" >"$stamp"
}

# make_hypervisor TREE OPTION=VALUE...: configures and builds in the tree; needs find_rust where the tree has the series.
make_hypervisor() {
    configure_hypervisor "$@"
    forget_others "$1"
    make -C "$1/xen" -j"$JOBS" XENLR_SRC="$ROOT"
}

# forget_others TREE: what another checkout's crates became there is not this one's (see checks_dir).
forget_others() {
    local built=$1/xen/common/xenlr/target
    [ -d "$1/xen/common/xenlr" ] || return 0
    [ "$(cat "$built/root" 2>/dev/null || true)" = "$ROOT" ] || rm -rf "$built"
    mkdir -p "$built"
    printf '%s\n' "$ROOT" >"$built/root"
}

# The code that is linked into Xen, and what decides how it is built; not the crates' tests, examples and benchmarks.
hypervisor_inputs() {
    if [ "$1" != stock ]; then
        hash_paths "$ROOT"/{Cargo.toml,Cargo.lock} "$ROOT"/{hv-logger,log-format}/{Cargo.toml,build.rs,src}
        rust_key
    fi
    gcc -dumpfullversion
    ld --version | head -n 1
}

# hypervisor_key COMMIT VARIANT OPTION=VALUE...: of what is built from this commit.
hypervisor_key() {
    hash_of "$(tree_key "$1" xen Config.mk config scripts version.sh)" "$(hypervisor_inputs "$2")" \
        "$(declare -f configure_hypervisor make_hypervisor forget_others)" "${@:3}"
}

# build_xen VARIANT OPTION=VALUE...: sets XEN_OUT, the folder with xen (ELF), xen-syms and config.
# VARIANT is "xenlr" or "stock".
build_xen() {
    local variant=$1 key name label=hypervisor
    shift
    [ -n "$(series)" ] || variant=stock
    source_commit "$variant"
    if [ "$variant" = stock ]; then label="stock hypervisor"; else find_rust; fi
    key=$(hypervisor_key "$XEN_COMMIT" "$variant" "$@")
    XEN_OUT=$CACHE/out/xen-$variant-$key
    name=hypervisor-$variant
    [ $# = 0 ] || name=$name-$(hash_of "$@")
    once "$name" "$XEN_OUT" "$label${*:+ $*}" build_xen_in "$name" "$@"
    keep_newest 12 "$CACHE/out/xen-"
}

build_xen_in() { # OUT NAME OPTION=VALUE...
    local out=$1 name=$2 tree
    shift 2
    tree=$(with_lock xen-repo worktree "$name" "$XEN_COMMIT")
    make_hypervisor "$tree" "$@"
    cp "$tree/xen/xen" "$tree/xen/xen-syms" "$tree/xen/xen.gz" "$out/"
    cp "$tree/xen/.config" "$out/config"
}

# ---- tools ------------------------------------------------------------------------------------------------------------

# What the tools' build reads beside tools/.
TOOLS_INPUTS=(tools Makefile Config.mk config configure m4 version.sh scripts docs/configure
    xen/include/public xen/include/acpi xen/include/xen/lib xen/include/xen/libelf.h xen/lib/x86 xen/tools xen/common/libelf
    xen/common/bunzip2.c xen/common/unlzma.c xen/common/unlzo.c xen/common/unlz4.c xen/common/unxz.c xen/common/unzstd.c
    xen/common/decompress.c xen/common/lz4 xen/common/xz xen/common/zstd xen/common/lzo.c xen/common/xxhash
    xen/xsm/flask/policy xen/arch/x86/x86_emulate xen/arch/x86/include/asm/x86-vendors.h)

make_tools() {
    local tree=$1 out=$2
    # The tools unpack what Debian ships: kernels in any of these forms.
    local unpack="BZLIB LZMA LZO1X ZSTD" name
    if [ ! -f "$tree/config/Tools.mk" ] || [ "$tree/config/Tools.mk.in" -nt "$tree/config/Tools.mk" ] ||
        [ "$tree/configure" -nt "$tree/config/Tools.mk" ] || ! grep -q HAVE_ZSTD "$tree/config/Tools.mk"; then
        (cd "$tree" && ./configure --prefix=/usr --disable-ocamltools --disable-docs --disable-stubdom --disable-seabios \
            --disable-ovmf --disable-rombios --disable-ipxe --disable-golang --with-system-qemu=/bin/true \
            --disable-systemd --disable-pygrub --disable-pvshim)
        make -C "$tree/tools/libs/guest" clean
    fi
    for name in $unpack; do
        grep -q "HAVE_$name" "$tree/config/Tools.mk" || die "configure finds no library for HAVE_$name; ./build.sh deps installs it"
    done
    make -C "$tree" build-tools-public-headers
    make -C "$tree/tools" -j"$JOBS" CONFIG_TESTS=n all
    make -C "$tree/tools" CONFIG_TESTS=n install DESTDIR="$out"
}

# tools_key COMMIT: of what is built from this commit.
tools_key() {
    hash_of "$(tree_key "$1" "${TOOLS_INPUTS[@]}")" "$(gcc -dumpfullversion)" "$(declare -f make_tools)"
}

# build_tools VARIANT: sets TOOLS_OUT, the folder that the tools are installed into.
build_tools() {
    local variant=$1 key label=tools
    [ -n "$(series)" ] || variant=stock
    source_commit "$variant"
    key=$(tools_key "$XEN_COMMIT")
    TOOLS_OUT=$CACHE/out/tools-$key
    [ "$variant" = xenlr ] || label="stock tools"
    once "tools-$variant" "$TOOLS_OUT" "$label" build_tools_in "tools-$variant"
    keep_newest 8 "$CACHE/out/tools-"
}

build_tools_in() { # OUT NAME
    local tree
    tree=$(with_lock xen-repo worktree "$2" "$XEN_COMMIT")
    make_tools "$tree" "$1"
}
