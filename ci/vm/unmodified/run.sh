#!/bin/sh
# Unmodified kernels run logged, what is typed is in their logs, in order and whole, and they replay equal.
# Debian's Linux boots to user space, reads typed lines and powers off; GRUB reacts to typed commands.
# rig: --smp 2 --timeout 600
. /rig/lib.sh

start_daemon
bad=0
try() { (verify "$@") || bad=$((bad + 1)); }

# typed_is LOG FILE: the log has exactly what the file has, as typed.
typed_is() {
    typed "$1" >/tmp/typed
    cmp "$2" /tmp/typed || { cat /tmp/typed; fail "what was typed is not in the log, in order and whole"; }
    note "what was typed is in the log, in order and whole: $(wc -c </tmp/typed) bytes"
}

logged lin /guests/vmlinuz 'memory=128' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
logged grub /guests/grub.xen 'memory=64'

wait_console grub 'grub>' 90
type_line grub 'echo sum of parts'
wait_console grub '^sum of parts' 60
type_line grub 'halt'
wait_log grub 60
grub=$log
printf 'echo sum of parts\nhalt\n' >/tmp/wanted
typed_is "$grub" /tmp/wanted
xenlr info "$grub"

wait_console lin '^guest: ready' 120
type_line lin 'good morning'
wait_console lin "^guest: read 'good morning'"
type_line lin 'and a second line'
wait_console lin "^guest: read 'and a second line'"
type_line lin work
wait_console lin '^gzip .* 4000 lines' 90 2
type_line lin poweroff
wait_log lin 60
lin=$log
printf 'good morning\nand a second line\nwork\npoweroff\n' >/tmp/wanted
typed_is "$lin" /tmp/wanted
xenlr info "$lin"
cp "$lin" "$grub" /out/

try GRUB "$grub"
try Linux "$lin"
expect "unlogged domains in the list" 1 "$(xl list | sed 1d | wc -l)"
no_faults
[ $bad = 0 ] || fail "$bad replays were not equal"
