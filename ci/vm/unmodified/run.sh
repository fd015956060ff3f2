#!/bin/sh
# Unmodified kernels run logged as they do unlogged, what is typed is in their logs, in order and whole, and they replay equal.
# Debian's Linux boots to user space, reads typed lines, works and powers off; GRUB reacts to typed commands. Beside them the
# same two run unlogged.
# rig: --smp 2 --xen-args conring_size=1m
# suite: replays
# takes: 330 s
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

grub_session() { # NAME
    wait_console "$1" 'grub>'
    type_line "$1" 'echo sum of parts'
    wait_console "$1" '^sum of parts'
    type_line "$1" 'halt'
}
linux_session() { # NAME
    wait_console "$1" '^guest: ready'
    type_line "$1" 'good morning'
    wait_console "$1" "^guest: read 'good morning'"
    type_line "$1" 'and a second line'
    wait_console "$1" "^guest: read 'and a second line'"
    type_line "$1" work
    wait_console "$1" '^gzip .* 4000 lines' 2
    expect "both runs of the same work of $1" 1 "$(console "$1" | grep '^gzip ' | sort -u | wc -l)"
    type_line "$1" poweroff
}

# GRUB never sleeps: others would wait for it, and it for them, while its log grows. vm/replays has it beside others.
logged grub /guests/grub.xen 'memory=64'
grub_session grub
wait_log grub
guest plain-grub /guests/grub.xen 'memory=64'
grub_session plain-grub
wait_end plain-grub

logged lin /guests/vmlinuz 'memory=128' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
guest plain-lin /guests/vmlinuz 'memory=128' 'ramdisk="/guests/linux-initrd.gz"' 'extra="console=hvc0 quiet"'
for name in lin plain-lin; do linux_session $name; done
wait_end plain-lin
note "both ran unlogged"

grub=$log
printf 'echo sum of parts\nhalt\n' >/tmp/wanted
typed_is "$grub" /tmp/wanted
xenlr info "$grub"
wait_log lin
lin=$log
printf 'good morning\nand a second line\nwork\npoweroff\n' >/tmp/wanted
typed_is "$lin" /tmp/wanted
xenlr info "$lin"
cp "$lin" "$grub" /out/

try GRUB "$grub"
try Linux "$lin"
expect "domains in the list" 1 "$(xl list | sed 1d | wc -l)"
no_faults
[ $bad = 0 ] || fail "$bad replays were not equal"
