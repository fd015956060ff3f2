# ci/nightly deb: the packages on a disk with Debian, systemd and GRUB. Needs common.sh, apt.sh, image.sh, chroot.sh and deb.sh.
#
# The disk is made without mounts or devices: mke2fs fills the partition. It is started twice. At first QEMU starts Debian's
# kernel by itself, so that packages and GRUB are installed in the running system; then the disk boots by its own means.
# shellcheck shell=bash

DISK_MB=3072
# man-db is left out: under emulation its index takes longer than all the rest.
DISK_PACKAGES="systemd-sysv udev dbus kmod initramfs-tools zstd busybox iproute2 procps"

# part_deb: XENLR_DEB_RELEASE chooses another release than Debian 13.
part_deb() {
    local release=${XENLR_DEB_RELEASE:-trixie} disk=$NIGHTLY/deb.disk
    "$ROOT/build.sh" deb --release "$release"
    install_packages debootstrap fdisk
    disk_system "$release"
    step "a disk with them" make_disk "$DISK_SYSTEM" "$release" "$disk"
    step "installing them there" start_disk install "$disk"
    step "recording a guest there" start_disk record "$disk"
    echo "$release: $(sed -n 's/^installed: //p' "$NIGHTLY/deb-install.out")GRUB booted Xen," \
        "daemon $(sed -n 's/^daemon: //p' "$NIGHTLY/deb-record.out"), recorded across its restart," \
        "$(grep '^equal: ' "$NIGHTLY/deb-record.out")"
    rm -f "$disk" "$disk".{kernel,initrd}
}

# disk_system RELEASE: sets DISK_SYSTEM, a folder with the system before the packages come, made anew each month.
disk_system() {
    DISK_SYSTEM=$CACHE/chroot/disk-$1-$(hash_of "$DISK_PACKAGES" "$(declare -f make_chroot archive_lines make_disk_system)" "$(date -u +%Y-%m)")
    [ ! -e "$DISK_SYSTEM/done" ] || return 0
    with_lock "disk-$1" kept_chroot "disk-$1" "$DISK_SYSTEM" make_disk_system "$1" "$DISK_SYSTEM"
}

make_disk_system() {
    local release=$1 dir=$2 apt=(env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends)
    # shellcheck disable=SC2086
    make_chroot "$release" "$dir" $DISK_PACKAGES
    echo force-unsafe-io | as_root tee "$dir/etc/dpkg/dpkg.cfg.d/unsafe-io"
    # A small ramdisk, which the emulated processor unpacks twice.
    as_root sed -i 's/^MODULES=.*/MODULES=list/' "$dir/etc/initramfs-tools/initramfs.conf"
    printf '%s\n' virtio_pci virtio_blk ext4 | as_root tee -a "$dir/etc/initramfs-tools/modules"
    in_chroot "$dir" "${apt[@]}" install linux-image-amd64
    in_chroot "$dir" "${apt[@]}" install grub-pc
    printf '%s\n' 'GRUB_TIMEOUT=0' 'GRUB_TERMINAL=serial' 'GRUB_SERIAL_COMMAND="serial --unit=0 --speed=115200"' \
        'GRUB_CMDLINE_LINUX_DEFAULT=""' 'GRUB_CMDLINE_LINUX_XEN_REPLACE="console=hvc0"' |
        as_root tee -a "$dir/etc/default/grub"
    # On a busy machine an emulated one takes its time.
    as_root mkdir -p "$dir/etc/systemd/system.conf.d"
    printf '%s\n' '[Manager]' DefaultTimeoutStartSec=20min DefaultTimeoutStopSec=20min DefaultDeviceTimeoutSec=20min |
        as_root tee "$dir/etc/systemd/system.conf.d/patience.conf"
    echo '/dev/vda1 / ext4 errors=remount-ro 0 1' | as_root tee "$dir/etc/fstab"
    echo xenlr-test | as_root tee "$dir/etc/hostname"
}

# make_disk SYSTEM RELEASE OUT: the disk with system, packages (and those that they need, as apt's archive) and test
# → OUT, OUT.kernel, OUT.initrd
make_disk() {
    local system=$1 release=$2 out=$3 root=$3.root
    as_root rm -rf --one-file-system "$root"
    # shellcheck disable=SC2064  # this folder
    trap "as_root rm -rf --one-file-system '$root'" EXIT
    as_root cp -a "$system" "$root"
    as_root mkdir -p "$root/test/packages"
    as_root cp "$DIST/deb/$release"/*.deb "$root/test/packages/"
    as_root cp "$ROOT/ci/disk/run" "$DIST/guests/minios" "$root/test/"
    as_root cp "$ROOT/ci/disk/xenlr-test.service" "$root/etc/systemd/system/"
    in_chroot "$root" systemctl enable xenlr-test
    in_chroot "$root" sh -c 'apt-get -q -y --no-install-recommends --download-only install /test/packages/*.deb'
    as_root cp "$root"/boot/vmlinuz-* "$out.kernel"
    as_root cp "$root"/boot/initrd.img-* "$out.initrd"
    rm -f "$out"
    truncate -s "${DISK_MB}M" "$out"
    echo 'start=2048, type=83, bootable' | PATH=$PATH:/sbin sfdisk -q "$out"
    # In MiB: what mke2fs takes from the size would include what lies before the offset.
    as_root env PATH="$PATH:/sbin" mke2fs -q -t ext4 -F -d "$root" -E offset=$((2048 * 512)) "$out" "$((DISK_MB - 1))M"
    as_root chown "$(id -u)" "$out" "$out.kernel" "$out.initrd"
}

# start_disk WHAT DISK: starts the disk's system to "install" or to "record"; fails unless its test said "status 0"
# → $NIGHTLY/deb-WHAT.out, deb-WHAT.console
start_disk() {
    local what=$1 disk=$2 out=$NIGHTLY/deb-$1.out console=$NIGHTLY/deb-$1.console words cpu status=0
    # The processor of ci/rig, for its reasons.
    cpu=EPYC-v4,+svm,-monitor,-rdrand,-rdseed,-rdpid,-xsaveopt,-xsavec,-xsaves,-umip
    words=(-accel tcg -machine q35 -cpu "$cpu" -m 2560 -smp 2 -display none -no-reboot -net none -vga none
        -serial "file:$console" -monitor none
        -device virtio-serial-pci -chardev "file,id=output,path=$out" -device virtserialport,chardev=output,name=output
        -drive "file=$disk,format=raw,if=virtio,cache=unsafe")
    if [ "$what" = install ]; then
        words+=(-kernel "$disk.kernel" -initrd "$disk.initrd" -append "root=/dev/vda1 console=ttyS0 panic=1")
    fi
    rm -f "$out" "$console"
    timeout "${XENLR_RIG_TIMEOUT:-3600}" "${XENLR_QEMU:-qemu-system-x86_64}" "${words[@]}" </dev/null >"$NIGHTLY/deb-$what.qemu" 2>&1 || status=$?
    if [ $status != 0 ] || ! grep -qx 'status 0' "$out"; then
        tail -n 40 "$out" || tail -n 3 "$NIGHTLY/deb-$what.qemu" # QEMU may not have started
        die "the disk's test ($what) failed, QEMU ended with $status; see $out and $console"
    fi
}
