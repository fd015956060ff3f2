# ci/nightly distro: the two commands of README on fresh systems. Needs common.sh, apt.sh and chroot.sh.
# shellcheck shell=bash

# Which: words RELEASE, or RELEASE:COMMAND[,COMMAND] for these commands only.
DISTRO_RUNS=${XENLR_DISTRO_RUNS:-trixie bookworm}

part_distro() {
    local run
    for run in $DISTRO_RUNS; do
        [[ $run =~ ^[a-z]+(:(demo|test)(,(demo|test))*)?$ ]] || die "XENLR_DISTRO_RUNS: '$run' is not RELEASE or RELEASE:COMMAND,…"
    done
    install_packages debootstrap
    ask_for_root
    rm -rf "$NIGHTLY/clone"
    git clone -q "$ROOT" "$NIGHTLY/clone"
    results=() bad=0
    for run in $DISTRO_RUNS; do
        [[ $run = *:* ]] || run=$run:demo,test
        try_distro "${run%:*}" "${run#*:}"
    done
    (IFS=';'; echo "${results[*]}")
    return "$bad"
}

# try_distro RELEASE COMMAND,…: the commands, one after the other, by an ordinary user of a system with nothing but what
# debootstrap puts there, git, certificates, sudo and this commit. The first one finds an empty cache, the next ones what those before
# them have built. Adds to results; a failure sets bad and ends the release.
try_distro() {
    local release=$1 command dir result failed=''
    dir=$(mktemp -d "$NIGHTLY/distro.XXXXXX")
    # shellcheck disable=SC2064  # this folder
    trap "as_root rm -rf --one-file-system '$dir'" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    for command in system ${2//,/ }; do
        result=$NIGHTLY/distro-$release-$command.result
        if ! own_process distro_step "$release" "$command" "$dir" "$result"; then
            bad=1 failed=1
            echo "BAD, see above" >"$result"
        fi
        if [ -s "$result" ]; then
            results+=("$release $command: $(cat "$result")")
            echo "${results[-1]}"
        fi
        [ -z "$failed" ] || break
    done
    as_root rm -rf --one-file-system "$dir"
    trap - EXIT
}

# distro_step RELEASE system|COMMAND DIR RESULT: one line of the command's output goes to RESULT, with what it took. With
# XENLR_DOWNLOADS Xen's source comes from there, and the line says so; nothing else of the user is passed on.
distro_step() {
    local release=$1 command=$2 dir=$3 result=$4 log start=$SECONDS line given=''
    : >"$result"
    if [ "$command" = system ]; then
        step "$release system" make_distro "$release" "$dir"
        return
    fi
    [ ! -e "$dir/home/user/given" ] || given=', with the Xen source given'
    step "$release $command" command_there "$dir" "$command"
    log=$(step_log "$release $command")
    case $command in
    demo) line=$(grep '^equal: ' "$log") || die "no line 'equal' in $log" ;;
    *) line=$(tail -n 1 "$log") ;;
    esac
    echo "$line ($((SECONDS - start)) s$given)" >"$result"
}

# make_distro RELEASE DIR: git, certificates, and a user with the rights of sudo, who has a clone in the home directory.
make_distro() {
    local home=$2/home/user
    chmod 755 "$2"
    make_chroot "$1" "$2" git ca-certificates sudo
    in_chroot "$2" useradd --create-home --shell /bin/bash user
    echo 'user ALL=(ALL:ALL) NOPASSWD: ALL' | as_root tee "$2/etc/sudoers.d/user"
    as_root cp -r --no-preserve=ownership "$NIGHTLY/clone" "$home/xenlr"
    [ -z "${XENLR_DOWNLOADS:-}" ] || as_root cp -r "$XENLR_DOWNLOADS" "$home/given"
    in_chroot "$2" chown -R user: /home/user
}

command_there() { # DIR COMMAND
    local words="./build.sh $2"
    [ ! -e "$1/home/user/given" ] || words="XENLR_DOWNLOADS=\$HOME/given $words"
    in_chroot "$1" su --login user --command "cd xenlr && $words"
}
