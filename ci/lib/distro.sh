# ci/nightly distro: the two commands of README on fresh systems. Needs common.sh, apt.sh and chroot.sh.
# shellcheck shell=bash

# Which: words RELEASE:COMMAND.
DISTRO_RUNS=${XENLR_DISTRO_RUNS:-trixie:demo trixie:test bookworm:demo bookworm:test}

part_distro() {
    local run result results=() bad=0
    install_packages debootstrap
    rm -rf "$NIGHTLY/clone"
    git clone -q "$ROOT" "$NIGHTLY/clone"
    for run in $DISTRO_RUNS; do
        if own_process try_distro "${run%:*}" "${run#*:}"; then
            result=$(cat "$NIGHTLY/distro-${run/:/-}.result")
        else
            result="BAD, log: ${NIGHTLY#"$ROOT"/}/distro-${run/:/-}.log" bad=1
        fi
        results+=("${run/:/ }: $result")
        echo "${results[-1]}"
    done
    (IFS=';'; echo "${results[*]}")
    return $bad
}

# try_distro RELEASE COMMAND: the command in a folder with nothing but what debootstrap puts there, git and certificates, and
# this commit. With XENLR_DOWNLOADS Xen's source comes from there, and the result says so; nothing else of the user is passed on.
try_distro() {
    local release=$1 command=$2 log=$NIGHTLY/distro-$1-$2.log dir start=$SECONDS line words=(./build.sh "$2") given=''
    rm -f "${log%.log}.result"
    dir=$(mktemp -d "$NIGHTLY/distro.XXXXXX")
    # shellcheck disable=SC2064  # this folder
    trap "as_root rm -rf --one-file-system '$dir'" EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM HUP
    chmod 755 "$dir"
    quietly "$log" own_process make_chroot "$release" "$dir" git ca-certificates
    as_root cp -r --no-preserve=ownership "$NIGHTLY/clone" "$dir/root/xenlr"
    if [ -n "${XENLR_DOWNLOADS:-}" ]; then
        as_root cp -r "$XENLR_DOWNLOADS" "$dir/root/given"
        words=(env XENLR_DOWNLOADS=/root/given "${words[@]}") given=', with the Xen source given'
    fi
    in_chroot "$dir" sh -c 'cd /root/xenlr && exec "$@" </dev/null' sh "${words[@]}" >>"$log" 2>&1 || {
        tail -n 20 "$log"
        say "./build.sh $command failed on $release, the whole output is in $log"
        return 1
    }
    case $command in
    demo) line=$(grep '^equal: ' "$log") || { say "no line 'equal' in $log"; return 1; } ;;
    *) line=$(tail -n 1 "$log") ;;
    esac
    echo "$line ($((SECONDS - start)) s$given)" >"${log%.log}.result"
}
