# For the scripts of the benchmarks that run in the rig's dom0: . /bench/lib.sh
. /rig/lib.sh

# figure KEY VALUE: one measured value, for the host.
figure() { echo "bench: $1 $2"; }

# Processor time in ns, which are instructions when the machine's clock counts them; pages.
time_of() { domfacts "$1" | cut -d' ' -f1; }
pages_of() { domfacts "$1" | cut -d' ' -f2; }

# run_to_end NAME KERNEL [LINE…]: runs a guest until it shuts down by itself and leaves it there, as domain $id. Nothing in dom0
# looks at it meanwhile. With MEANWHILE=COMMAND that is run once the guest exists.
run_to_end() {
    local watch
    xenstore-watch -n 2 @releaseDomain >/dev/null & # once for having begun to watch, once for the shutdown
    watch=$!
    guest "$@" 'on_poweroff="preserve"'
    ${MEANWHILE:-:}
    wait $watch
    id=$(domid "$1")
    xl list "$1" | tail -n 1 | grep -qE ' [-rbp]*s[-cd]* ' || fail "$1 did not shut down: $(xl list | tail -n 2)"
}

# reader: the daemon, for guests that are recorded; reader_ends waits until it has written all there is. Kernel and ramdisk are
# not in the logs, so that their sizes are those of what was recorded.
reader() {
    xenlr --quiet daemon --max-image 0 >/tmp/daemon.log 2>&1 &
    reader=$!
}
reader_ends() {
    kill -TERM $reader
    wait $reader
}

# pause SECONDS: without starting a program, and in fractions of a second.
mkfifo /tmp/nothing
pause() { read -r -t "$1" _ <>/tmp/nothing; }
