"""What Google's image has and Debian's packages have not: the small part of it that a deployment meets."""

import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from tests.support.arm.host import run
from tests.support.machines.packages import pip_conf, pip_settings
from tests.support.rehearsal import google, metadata, way_out

USER = "someone_example_com"
"""As OS Login makes it of someone@example.com."""

# Google's guest environment has a unit of this name that does this. The keys are made at the first boot, as there.
STARTUP_UNIT = """[Unit]
Description=Google Compute Engine Startup Scripts
Wants=network-online.target
After=network-online.target ssh.service

[Service]
Type=oneshot
ExecStart=/usr/lib/google-startup-scripts

[Install]
WantedBy=multi-user.target
"""
STARTUP = """#!/bin/bash
set -euo pipefail
script=$(mktemp)
trap 'rm -f "$script"' EXIT
curl --fail --silent --show-error --retry 5 --header 'Metadata-Flavor: Google' --output "$script" \\
    http://metadata.google.internal/computeMetadata/v1/instance/attributes/startup-script
chmod 0700 "$script"
"$script"
"""
KEYS_UNIT = """[Service]
ExecStartPre=
ExecStartPre=/usr/bin/ssh-keygen -A
ExecStartPre=/usr/sbin/sshd -t
"""
# In a container systemd passes over the devices in fstab, and on a VM it does not. And nspawn covers the kernel's boot
# id with one that units with a /proc of their own do not see: on a VM all processes see the same.
VM_UNIT = """[Unit]
Description=What differs between a container and a VM
DefaultDependencies=no
Conflicts=umount.target
After=systemd-remount-fs.service
Before=local-fs.target umount.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=-/usr/bin/mount --all --types ext4
ExecStart=-/usr/bin/umount /proc/sys/kernel/random/boot_id

[Install]
WantedBy=local-fs.target
"""
SSHD = """PermitRootLogin no
PasswordAuthentication no
UseDNS no
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Login:
    """Who may log in: the public key that OS Login would tell the host."""

    public_key: str
    user: str = USER


def prepare(root: Path, name: str, login: Login, certificate: google.Certificate) -> None:
    """Write into a fresh root what its image would have, before its first boot."""
    for path, text in _texts(name, certificate).items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
    (root / "usr/lib/google-startup-scripts").chmod(0o755)
    units = {"multi-user.target": "google-startup-scripts.service", "local-fs.target": "as-on-a-vm.service"}
    for target, unit in units.items():
        wants = root / f"etc/systemd/system/{target}.wants"
        wants.mkdir(parents=True, exist_ok=True)
        (wants / unit).symlink_to(f"/etc/systemd/system/{unit}")
    _add_user(root, login)


def _texts(name: str, certificate: google.Certificate) -> Mapping[str, str]:
    addresses = {
        "127.0.0.1": f"localhost {name}",
        metadata.ADDRESS: "metadata.google.internal metadata",
        google.ADDRESS: " ".join(google.NAMES),
    }
    return {
        "etc/hostname": f"{name}\n",
        "etc/hosts": "".join(f"{address} {names}\n" for address, names in addresses.items()),
        "etc/apt/apt.conf.d/way-out.conf": f'Acquire::http::Proxy "{way_out.URL}";\n',
        "etc/pip.conf": pip_conf({**pip_settings(), "proxy": way_out.URL}),
        "etc/ssh/sshd_config.d/image.conf": SSHD,
        f"etc/ssl/certs/{certificate.name}": certificate.file.read_text(),
        "etc/systemd/system/google-startup-scripts.service": STARTUP_UNIT,
        "etc/systemd/system/as-on-a-vm.service": VM_UNIT,
        "etc/systemd/system/ssh.service.d/keys.conf": KEYS_UNIT,
        "usr/lib/google-startup-scripts": STARTUP,
    }


def _add_user(root: Path, login: Login) -> None:
    """OS Login knows users without the host having them; here the host has this one, who may become root."""
    add = ("useradd", "--create-home", "--shell", "/bin/bash", "--uid", "2000", login.user)
    run("chroot", root, *add, what="add a user")
    home = root / "home" / login.user / ".ssh"
    home.mkdir(mode=0o700)
    keys = home / "authorized_keys"
    keys.write_text(f"{login.public_key}\n")
    subprocess.run(["chown", "--recursive", "2000:2000", str(home)], check=True)
    sudoers = root / "etc/sudoers.d" / "google_sudo"
    sudoers.write_text(f"{login.user} ALL=(ALL) NOPASSWD:ALL\n")
    sudoers.chmod(0o440)
