#!/bin/sh
# Run a program inside the emulated root, in mount and process namespaces of its own: what is mounted here and what is
# started there ends with this process, however it ends.
#
#   enter.sh ROOT CHECKOUT SITE AXION SHARED PROGRAM [ARGUMENT...]
#
# Inside, the folders are /srv/checkout (read-only), /srv/site, /srv/axion, and /srv/shared for what goes in and out.
set -eu
root=$1 checkout=$2 site=$3 axion=$4 shared=$5

if [ -z "${AXION_ENTERED:-}" ]; then
    # The root's /proc must be that of the new process namespace: a process in there looks itself up.
    AXION_ENTERED=1 exec unshare --mount --pid --fork --kill-child --mount-proc="$root/proc" "$0" "$@"
fi
unset AXION_ENTERED
shift 5
mount --bind /dev "$root/dev"
mount -t tmpfs tmpfs "$root/tmp"
mount --bind "$site" "$root/srv/site"
mount --bind "$axion" "$root/srv/axion"
mount --bind "$shared" "$root/srv/shared"
mount --bind "$checkout" "$root/srv/checkout"
mount -o remount,bind,ro "$root/srv/checkout"
# /proc/cpuinfo of an emulated process is the host's. /sys is not mounted at all: the root has a small one as files.
mount --bind "$root/srv/cpuinfo" "$root/proc/cpuinfo"
exec chroot "$root" "$@"
