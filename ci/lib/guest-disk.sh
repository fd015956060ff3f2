# The disk of a guest with Debian on it, for ci/rig --guest-disk: an ext4 file system, and a ramdisk with which the kernel of
# /guests mounts it. Needs common.sh, apt.sh, image.sh and chroot.sh.
#
# It is made without mounts or devices: mke2fs fills it. The rig gives it to the machine as a snapshot.
# shellcheck shell=bash

GUEST_RELEASE=bookworm
GUEST_DISK_MB=2048
# What people run: a compiler, an interpreter, a server of pages (busybox), a database, and what measures networks.
GUEST_PACKAGES="systemd-sysv udev dbus kmod busybox iproute2 iputils-ping procps wget gcc libc6-dev make python3 sqlite3 iperf3"
GUEST_MODULES="xen-blkfront xen-netfront crc32c_generic ext4"

# build_guest_disk: sets GUEST_DISK, a folder with disk and initrd.gz, made anew each month.
build_guest_disk() {
    fetch_kernel
    GUEST_DISK=$CACHE/out/guest-disk-$(hash_of "$GUEST_RELEASE $GUEST_DISK_MB $GUEST_PACKAGES $GUEST_MODULES" "$(cat "$KERNEL_FOLDER/version")" \
        "$(hash_paths "$ROOT/ci/guests/disk-init" "$ROOT/ci/guests/disk-root")" \
        "$(declare -f make_chroot archive_lines make_guest_disk make_guest_system make_guest_disk_initrd)" "$(date -u +%Y-%m)")
    [ ! -e "$GUEST_DISK/done" ] || return 0
    install_packages debootstrap
    ask_for_root
    once guest-disk "$GUEST_DISK" "a disk with Debian for guests" make_guest_disk
    keep_newest 2 "$CACHE/out/guest-disk-"
}

make_guest_disk() { # OUT
    local out=$1 system=$CACHE/chroot/guest-disk
    # shellcheck disable=SC2064  # this folder
    trap "as_root rm -rf --one-file-system '$system'" EXIT
    make_guest_system "$system"
    truncate -s "${GUEST_DISK_MB}M" "$out/disk"
    as_root env PATH="$PATH:/sbin" mke2fs -q -t ext4 -F -m 0 -d "$system" "$out/disk"
    as_root chown "$(id -u)" "$out/disk"
    make_guest_disk_initrd "$out/initrd.gz"
}

make_guest_system() { # DIR
    local dir=$1
    # shellcheck disable=SC2086
    make_chroot "$GUEST_RELEASE" "$dir" $GUEST_PACKAGES
    as_root cp -r --no-preserve=ownership,mode "$ROOT/ci/guests/disk-root/." "$dir/"
    in_chroot "$dir" systemctl enable systemd-networkd page.service
    # What would work in the background at some time or other.
    in_chroot "$dir" systemctl mask apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \
        fstrim.timer systemd-tmpfiles-clean.timer systemd-networkd-wait-online.service
    in_chroot "$dir" passwd -d root
}

make_guest_disk_initrd() { # OUT
    local root
    root=$(mktemp -d "$CACHE/tmp/guest-disk.XXXXXX")
    mkdir -p "$root"/{bin,proc,sys,dev,root,lib/modules,etc}
    install_busybox "$root"
    # shellcheck disable=SC2086
    add_modules $GUEST_MODULES >"$root/etc/modules.order"
    cp "$ROOT/ci/guests/disk-init" "$root/init"
    chmod 755 "$root" "$root/init"
    pack_cpio "$root" | gzip -9n >"$1"
    rm -rf "$root"
}
