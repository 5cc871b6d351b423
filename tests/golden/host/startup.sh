# rendered from templates/host/startup.sh.j2, do not edit
#
# Runs as root at every boot, from instance metadata: it holds no secret and knows no model. A failed step does not stop
# the others: with a broken disk you can still log in, and an idle instance still stops.
set -uo pipefail

say() { echo "axion: $*"; }

install_files() {
    install -D -m 0644 /dev/stdin /usr/local/lib/axion/one.py <<'END_OF_FILE' || return 1
print(1)
END_OF_FILE
    systemctl daemon-reload || return 1
    systemctl enable --now axion-idle-stop.timer || return 1
    # An older version of it may be running.
    systemctl enable axion-preemption.service && systemctl restart axion-preemption.service
}

# Google's own guest agent publishes host keys at the first boot only. `fab` and gcloud compare the host with them, and
# take them as the sign that it has booted.
publish_host_keys() {
    local file kind key published=0
    for file in /etc/ssh/ssh_host_*_key.pub; do
        read -r kind key _ <"$file" || return 1
        curl --fail --silent --show-error --retry 8 --retry-all-errors --max-time 10 --output /dev/null \
            --request PUT --header 'Metadata-Flavor: Google' --data "$key" \
            "http://metadata/instance/guest-attributes/hostkeys/$kind" || return 1
        published=$((published + 1))
    done
    say "published $published host keys"
}

mount_data_disk() {
    local device=/dev/disk/by-id/google-axion-data mount=/opt/axion found=0
    timeout 60 sh -c "until [ -e $device ]; do sleep 1; done" || { say "no $device after 60 s"; return 1; }
    blkid --probe "$device" >/dev/null || found=$?
    if [ "$found" -eq 2 ]; then
        # blkid says 2 for "nothing there" and for "could not read": only a disk that reads as zeros is a new one.
        cmp --silent --bytes=1048576 "$device" /dev/zero || { say "$device holds something unknown"; return 1; }
        say "making a file system on $device"
        mkfs.ext4 -q -m 0 -L axion-data "$device" || return 1
    elif [ "$found" -ne 0 ]; then
        say "cannot tell what $device holds (blkid $found)"
        return 1
    fi
    # Later boots mount it before this script runs; a boot without the disk must still come up.
    grep --quiet "^$device " /etc/fstab ||
        echo "$device $mount ext4 noatime,nofail,x-systemd.before=axion.target 0 2" >>/etc/fstab || return 1
    mkdir --parents "$mount" && systemctl daemon-reload || return 1
    mountpoint --quiet "$mount" || mount "$mount" || return 1
    # The disk may have grown since the last boot.
    resize2fs "$device" >/dev/null || return 1
    say "$device is mounted at $mount"
}

failed=0
install_files || { say "installing files failed"; failed=1; }
mount_data_disk || { say "mounting the data disk failed"; failed=1; }
# Last, because they mean that the host is ready. Also after a failed mount, so that a person can log in and look; `fab`
# itself refuses such a host.
publish_host_keys || { say "publishing host keys failed"; failed=1; }
exit "$failed"
