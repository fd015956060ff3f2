# The dom0 image and the guests that others wrote: Debian's kernel, GRUB's builds for PV and PVH.
# shellcheck shell=bash

DOM0_MODULES="xen-privcmd xenfs xen-evtchn xen-gntdev xen-gntalloc virtio_pci virtio_console"
DOM0_MODULES_DISK="virtio_blk crc32c_generic ext4" # ext4 finds no crc32c by itself here; loaded only where ci/rig was given a disk
DOM0_MODULES_BACKENDS="loop xen-blkback bridge xen-netback" # loaded by load_backends of ci/vm/lib.sh
DIST=$TARGET/dist

# ---- third-party packages, unpacked in the cache ----------------------------------------------------------------------

# fetch_kernel: sets KERNEL_FOLDER, a folder with vmlinuz and modules/ (loadable by busybox) with modules.dep.
fetch_kernel() {
    KERNEL_FOLDER=$CACHE/kernel-$(release_codename)
    export KERNEL_FOLDER
    once kernel "$KERNEL_FOLDER" "fetching the kernel of dom0" fetch_kernel_in
}

fetch_kernel_in() { # OUT
    local out=$1 package tmp version
    tmp=$(mktemp -d "$CACHE/tmp/kernel.XXXXXX")
    refresh_old_lists
    package=$(apt-cache depends linux-image-amd64 | awk '!found && /Depends: linux-image-/ { print $2; found = 1 }')
    [ -n "$package" ] || die "the archive has no linux-image-amd64"
    fetch_deb "$package" "$tmp"
    version=$(basename "$tmp"/boot/vmlinuz-*)
    version=${version#vmlinuz-}
    [ -d "$tmp/usr/lib/modules" ] || { mkdir -p "$tmp/usr/lib"; mv "$tmp/lib/modules" "$tmp/usr/lib/"; }
    mkdir -p "$out/modules"
    cp "$tmp/boot/vmlinuz-$version" "$out/vmlinuz"
    find "$tmp/usr/lib/modules/$version" -name '*.ko*' -exec cp -t "$out/modules" {} +
    find "$out/modules" -name '*.xz' -exec unxz {} +
    printf '%s\n' "$version" >"$out/version"
    rm -rf "$tmp"
}

# fetch_kernel_612: sets KERNEL_612, Debian's kernel 6.12, which spins until a timer tick comes. Debian 12 has it among its backports.
fetch_kernel_612() {
    fetch_kernel
    case $(cat "$KERNEL_FOLDER/version") in
    6.12.*) KERNEL_612=$KERNEL_FOLDER/vmlinuz ;;
    *)
        KERNEL_612=$CACHE/kernel-6.12-$(release_codename)/vmlinuz
        once kernel-6.12 "$(dirname "$KERNEL_612")" "fetching the kernel 6.12" fetch_kernel_612_in
        ;;
    esac
    export KERNEL_612
}

fetch_kernel_612_in() { # OUT
    local package tmp release
    release=$(release_codename)-backports
    private_apt "$release"
    package=$(apt-cache "${APT_PRIVATE[@]}" pkgnames linux-image-6.12. | grep -E '^linux-image-6\.12\.[0-9.+]+(\+deb|~bpo|\+bpo)[0-9a-z.+]*-amd64$' |
        sort -V | tail -n 1)
    [ -n "$package" ] || die "$release has no linux-image-6.12.*-amd64"
    tmp=$(mktemp -d "$CACHE/tmp/kernel.XXXXXX")
    fetch_deb "$package" "$tmp" "${APT_PRIVATE[@]}" -t "$release"
    cp "$tmp"/boot/vmlinuz-6.12.* "$1/vmlinuz"
    rm -rf "$tmp"
}

fetch_grub() {
    GRUB=$CACHE/grub-pv-pvh-$(release_codename)
    once grub "$GRUB" "fetching GRUB" fetch_grub_in
}

fetch_grub_in() { # OUT
    local tmp
    tmp=$(mktemp -d "$CACHE/tmp/grub.XXXXXX")
    refresh_old_lists
    fetch_deb grub-xen-host "$tmp"
    find "$tmp" -name grub-x86_64-xen.bin -exec cp {} "$1/grub.xen" \;
    find "$tmp" -name grub-i386-xen_pvh.bin -exec cp {} "$1/grub.pvh" \;
    [ -f "$1/grub.xen" ] || die "grub-xen-host has no grub-x86_64-xen.bin"
    [ -f "$1/grub.pvh" ] || die "grub-xen-host has no grub-i386-xen_pvh.bin"
    rm -rf "$tmp"
}

# fetch_program PACKAGE: sets PROGRAM, a folder with what this package and those of its needs that this machine lacks hold.
fetch_program() {
    PROGRAM=$CACHE/program-$1-$(release_codename)
    once "program-$1" "$PROGRAM" "fetching $1" fetch_program_in "$1"
}

fetch_program_in() { # OUT PACKAGE
    local needs need
    refresh_old_lists
    # Of an installed package apt would install nothing; the package itself is fetched all the same.
    needs=$(apt-get -s --no-install-recommends install "$2" | awk '/^Inst / { print $2 }')
    for need in $(printf '%s\n' "$2" "$needs" | sort -u); do fetch_deb "$need" "$1"; done
}

# add_program NAME ROOT: copies the program of this name out of $PROGRAM, and what it is linked with, into an overlay.
add_program() {
    local file libraries
    file=$(find "$PROGRAM" -path "*bin/$1" -type f | head -n 1)
    [ -n "$file" ] || die "$PROGRAM has no program $1"
    mkdir -p "$2/usr/bin"
    cp "$file" "$2/usr/bin/"
    libraries=$(find "$PROGRAM" -name '*.so.*' -printf '%h\n' | sort -u | paste -sd:)
    LD_LIBRARY_PATH=$libraries ldd "$file" | awk '/not found/ { exit 1 } /=> \// { print $3 } /^\t\// { print $1 }' >"$2.libraries" ||
        die "$1 needs $(LD_LIBRARY_PATH=$libraries ldd "$file" | grep 'not found')"
    mkdir -p "$2/lib64" "$2/usr/lib/x86_64-linux-gnu"
    while read -r file; do
        case $file in
        /lib64/*) ;; # the loader, which dom0 has
        *) cp -L "$file" "$2/usr/lib/x86_64-linux-gnu/" ;;
        esac
    done <"$2.libraries"
    rm "$2.libraries"
}

# module_order NAME...: the modules and what they need, each after its needs.
module_order() {
    local name file need
    for name; do
        file=$(find "$KERNEL_FOLDER/modules" -name "${name//[-_]/[-_]}.ko" | head -n 1)
        [ -n "$file" ] || continue # built into the kernel
        # shellcheck disable=SC2046
        module_order $(/sbin/modinfo -F depends "$file" | tr ',' ' ')
        printf '%s\n' "$file"
    done
}

# ---- images -----------------------------------------------------------------------------------------------------------

# pack_cpio DIR: an uncompressed initramfs of DIR, the same bytes for the same content.
pack_cpio() {
    (cd "$1" && find . -print0 | LC_ALL=C sort -z |
        cpio --quiet --null -o -H newc -R 0:0 --reproducible)
}

# copy_libraries ROOT: what the programs below ROOT are linked with, and what they load by themselves.
copy_libraries() {
    local root=$1 library
    find "$root" -type f \( -perm -100 -o -name '*.so*' \) -print0 |
        LD_LIBRARY_PATH="$root/usr/lib" xargs -0 -n1 sh -c 'ldd "$1" 2>/dev/null; exit 0' ldd | # scripts have none
        awk '/=> \// { print $3 } /^\t\// { print $1 }' | sort -u | sed "\|^$root|d" |
        while read -r library; do
            mkdir -p "$root$(dirname "$library")"
            cp -L "$library" "$root$library"
        done
    library=$(gcc -print-file-name=libgcc_s.so.1) # pthread_cancel loads it
    mkdir -p "$root/lib/x86_64-linux-gnu"
    cp -L "$library" "$root/lib/x86_64-linux-gnu/"
}

install_busybox() { # ROOT
    mkdir -p "$1/bin"
    cp "$(command -v busybox)" "$1/bin/busybox"
    busybox --list | grep -vx busybox | while read -r applet; do ln -sf busybox "$1/bin/$applet"; done
}

# add_modules NAME…: copies them and what they need to $root; prints their paths there, in the order to load them in.
add_modules() {
    module_order "$@" | awk '!seen[$0]++' | while read -r module; do
        cp "$module" "$root/lib/modules/"
        printf '/lib/modules/%s\n' "$(basename "$module")"
    done
}

make_dom0_image() { # OUT TOOLS
    local out=$1 tools=$2 root
    root=$(mktemp -d "$CACHE/tmp/dom0.XXXXXX")
    mkdir -p "$root"/{bin,sbin,lib64,lib,proc,sys,dev,run,tmp,root,out,guests,etc/xen,usr/bin,usr/sbin,usr/lib/xen,usr/local/bin,var/lib/xen,var/log}
    ln -s /run "$root/var/run"
    ln -s /run/lock "$root/var/lock"
    install_busybox "$root"
    cp -a "$tools/usr/sbin/." "$root/usr/sbin/"
    cp -a "$tools/usr/bin/." "$root/usr/bin/"
    cp -a "$tools/usr/lib/xen/bin" "$root/usr/lib/xen/"
    cp -a "$tools"/usr/lib/*.so* "$root/usr/lib/"
    [ ! -d "$tools/etc/xen" ] || cp -a "$tools/etc/xen/." "$root/etc/xen/"
    : >"$root/etc/xen/xl.conf"
    mkdir -p "$root/etc/xen/scripts"
    cp "$ROOT"/ci/dom0/scripts/* "$root/etc/xen/scripts/" # instead of Xen's, which want bash
    copy_libraries "$root"
    mkdir -p "$root/lib/modules"
    # shellcheck disable=SC2086
    add_modules $DOM0_MODULES >"$root/etc/modules.order"
    # shellcheck disable=SC2086
    add_modules $DOM0_MODULES_DISK >"$root/etc/modules.disk"
    # shellcheck disable=SC2086
    add_modules $DOM0_MODULES_BACKENDS >"$root/etc/modules.backends"
    printf 'root:x:0:0:root:/root:/bin/sh\n' >"$root/etc/passwd"
    printf 'root:x:0:\n' >"$root/etc/group"
    cp "$ROOT/ci/dom0/init" "$root/init"
    chmod 755 "$root" "$root/init"
    pack_cpio "$root" >"$out/dom0.cpio"
    rm -rf "$root"
}

# build_dom0 TOOLS: sets DOM0_INITRD for the tools in this folder.
build_dom0() {
    local tools=$1 key
    fetch_kernel
    if [ -e "$tools/done" ]; then key=$(basename "$tools"); else key=$(hash_paths "$tools"); fi
    key=$(hash_of "$key" "$(cat "$KERNEL_FOLDER/version")" "$(hash_paths "$ROOT/ci/dom0" "$ROOT/ci/lib/image.sh")")
    once dom0 "$CACHE/out/dom0-$key" "image of dom0" make_dom0_image "$tools"
    DOM0_INITRD=$CACHE/out/dom0-$key/dom0.cpio
    keep_newest 8 "$CACHE/out/dom0-"
}

make_linux_guest_initrd() { # OUT
    local root
    mkdir -p "$CACHE/tmp"
    root=$(mktemp -d "$CACHE/tmp/guest.XXXXXX")
    mkdir -p "$root"/{bin,proc,sys,dev}
    install_busybox "$root"
    cp "$ROOT/ci/guests/linux-init" "$root/init"
    chmod 755 "$root" "$root/init"
    pack_cpio "$root" | gzip -9n >"$1"
    rm -rf "$root"
}

# install_file FROM TO: copies when it differs, so that a running rig keeps what it opened.
install_file() {
    mkdir -p "$(dirname "$2")"
    cmp -s "$1" "$2" || { cp "$1" "$2.tmp" && mv "$2.tmp" "$2"; }
}

# build_guests: fills target/dist/guests.
build_guests() {
    fetch_kernel
    fetch_kernel_612
    fetch_grub
    find_rust
    MINIOS=$CACHE/out/minios-$(hash_of "$(cd "$ROOT/minios-guest" && hash_paths .cargo Cargo.toml Cargo.lock Makefile kernel.lds src)" "$(rust_key)" \
        "$(declare -f make_minios)")
    export GRUB MINIOS
    once minios "$MINIOS" "our own Mini-OS" make_minios
    keep_newest 8 "$CACHE/out/minios-"
    step guests make_guests
}

make_minios() { # OUT
    make -C "$ROOT/minios-guest"
    cp "$ROOT/minios-guest/minios.elf" "$1/"
}

make_guests() {
    install_file "$KERNEL_FOLDER/vmlinuz" "$DIST/guests/vmlinuz"
    install_file "$KERNEL_612" "$DIST/guests/vmlinuz-6.12"
    install_file "$GRUB/grub.xen" "$DIST/guests/grub.xen"
    install_file "$GRUB/grub.pvh" "$DIST/guests/grub.pvh"
    make_linux_guest_initrd "$TARGET/linux-initrd.gz"
    install_file "$TARGET/linux-initrd.gz" "$DIST/guests/linux-initrd.gz"
    install_file "$MINIOS/minios.elf" "$DIST/guests/minios"
}
