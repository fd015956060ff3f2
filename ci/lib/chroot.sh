# Folders with a Debian release of their own, for what has to be built or tried on another release than the machine's.
# Needs common.sh and apt.sh.
# shellcheck shell=bash

DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# in_chroot [--offline] DIR COMMAND…: runs the command there as root, with an environment of its own and, --offline, without a
# network. The mounts are those of a namespace that ends with the command, however it ends.
in_chroot() {
    local spaces=(--mount --pid --fork --kill-child)
    [ "$1" != --offline ] || { spaces+=(--net); shift; }
    # shellcheck disable=SC2016  # expanded by the inner shell
    as_root unshare "${spaces[@]}" bash -euc '
        mount -t proc proc "$1/proc"
        mount --rbind /sys "$1/sys"
        mount --rbind /dev "$1/dev"
        exec chroot "$1" /usr/bin/env -i HOME=/root USER=root LOGNAME=root TERM=dumb LANG=C.UTF-8 \
            PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "${@:2}"' in_chroot "$@"
}

# archive_lines RELEASE: apt's sources of a machine with this release, at the addresses that this machine has.
archive_lines() {
    local release=$1 uri security
    uri=$(archive_uri)
    security=$(apt-get indextargets --format '$(REPO_URI) $(CODENAME)' | awk '!found && $2 ~ /-security$/ { print $1; found = 1 }')
    printf 'deb %s %s main\ndeb-src %s %s main\n' "$uri" "$release" "$uri" "$release"
    printf 'deb %s %s-updates main\n' "$uri" "$release"
    [ -z "$security" ] || printf 'deb %s %s-security main\n' "$security" "$release"
}

# make_chroot RELEASE DIR PACKAGE…: a fresh, minimal system with these packages. What the machine itself was given so that
# it reaches the network stays valid: name servers, which debootstrap copies, and the certificates that it trusts.
make_chroot() {
    local release=$1 dir=$2 bundle=/etc/ssl/certs/ca-certificates.crt
    shift 2
    as_root rm -rf --one-file-system "$dir"
    as_root mkdir -p "$dir"
    as_root debootstrap --variant=minbase --keyring="$DEBIAN_KEYRING" "$release" "$dir" "$(archive_uri)"
    archive_lines "$release" | as_root tee "$dir/etc/apt/sources.list"
    in_chroot "$dir" apt-get -q update
    in_chroot "$dir" env DEBIAN_FRONTEND=noninteractive apt-get -q -y --no-install-recommends install "$@"
    in_chroot "$dir" apt-get -q clean
    [ ! -f "$bundle" ] || [ ! -f "$dir$bundle" ] || as_root cp "$bundle" "$dir$bundle"
}

# kept_chroot NAME DIR FUNCTION ARG…: a step that makes the system DIR of the cache, and takes away the older ones of this name,
# unless it is there. To be called under a lock.
kept_chroot() {
    local name=$1 dir=$2 old
    [ ! -e "$dir/done" ] || return 0
    ask_for_root
    for old in "$CACHE/chroot/$name-"*; do as_root rm -rf --one-file-system "$old"; done
    step "Debian $name" "${@:3}"
    as_root touch "$dir/done"
}
