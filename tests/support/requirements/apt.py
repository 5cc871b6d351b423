"""Bring missing packages through apt where this user may, else say in one line which."""

import os
import shutil
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LIMIT_S = 1800.0
LISTS_BOUND_S, LISTS_RETRY_S = 300.0, 5.0
# Tests start an sshd and a Prometheus of their own; a computer that had none shall not get one that anybody reaches.
SERVICES = {"openssh-server": ("ssh.service", "ssh.socket"), "prometheus": ("prometheus.service",)}
UNDER_SYSTEMD = Path("/run/systemd/system")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rights:
    """What this user may do here."""

    has_apt: bool
    is_root: bool
    may_sudo: bool

    @classmethod
    def here(cls) -> "Rights":
        is_root = os.geteuid() == 0
        asked = ["sudo", "--non-interactive", "true"]
        may_sudo = (
            not is_root
            and shutil.which("sudo") is not None
            and subprocess.run(asked, capture_output=True, check=False, timeout=30).returncode == 0
        )
        return cls(has_apt=shutil.which("apt-get") is not None, is_root=is_root, may_sudo=may_sudo)

    @property
    def prefix(self) -> tuple[str, ...]:
        """What stands before a command that root has to run."""
        return () if self.is_root else ("sudo", "--non-interactive")


def refusal(packages: Sequence[str], rights: Rights) -> str | None:
    """Say why these cannot be installed, and what to do; None where they can."""
    if not rights.has_apt:
        return (
            f"packages: some are missing, and this is not Debian or Ubuntu: none of {', '.join(packages)}. "
            "Install what your system calls them."
        )
    if not rights.is_root and not rights.may_sudo:
        return (
            f"packages: some are missing, and no right to install {', '.join(packages)}. "
            f"Run: sudo apt-get install {' '.join(packages)}"
        )
    return None


def install_commands(packages: Sequence[str], *, is_under_systemd: bool) -> tuple[tuple[str, ...], ...]:
    """The commands of root that install them and start nothing."""
    services = [unit for package in packages for unit in SERVICES.get(package, ())] if is_under_systemd else []
    apt = ("env", "DEBIAN_FRONTEND=noninteractive", "RUNLEVEL=1", "apt-get", "-o", "DPkg::Lock::Timeout=300", "-qq")
    return (
        *((("systemctl", "--runtime", "mask", *services),) if services else ()),
        (*apt, "update"),
        (*apt, "install", "--yes", "--no-install-recommends", *packages),
        *((("systemctl", "--runtime", "unmask", *services), ("systemctl", "disable", *services)) if services else ()),
    )


def install(packages: Sequence[str], rights: Rights) -> list[str]:
    """Install them; returns what went wrong."""
    print(f"Installing system packages: {' '.join(packages)}", flush=True)
    for command in install_commands(packages, is_under_systemd=UNDER_SYSTEMD.is_dir()):
        whole, deadline = (*rights.prefix, *command), time.monotonic() + LISTS_BOUND_S
        done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        # A machine that has just booted reads the lists itself, and apt-get does not wait for that.
        while done.returncode != 0 and "lists/lock" in done.stderr and time.monotonic() < deadline:
            time.sleep(LISTS_RETRY_S)
            done = subprocess.run(whole, capture_output=True, text=True, check=False, timeout=LIMIT_S)
        if done.returncode != 0:
            said = " ".join(line.strip() for line in done.stderr.splitlines()[-3:])
            return [f"packages: {' '.join(command)} failed: exit {done.returncode}: {said}. Run it by hand."]
    return []
