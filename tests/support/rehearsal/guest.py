"""One host: a Debian of its own, its network, its data disk, and an init that boots and ends in good order."""

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.machines import cgroups
from tests.support.machines.overlay import Overlay
from tests.support.machines.packages import pip_binds, pip_settings
from tests.support.processes import everything
from tests.support.rehearsal.disks import Disk
from tests.support.rehearsal.google import Certificate
from tests.support.rehearsal.guest_files import Login, prepare
from tests.support.rehearsal.metadata import Metadata
from tests.support.rehearsal.neighbours import ADDRESSES, Neighbours
from tests.support.rehearsal.network import Network

# Google gives a system about that long to end before it cuts the power.
SHUTDOWN_S = 90.0
WANTS_REBOOT = 133  # systemd-nspawn's exit status
DEATH_S = 10.0
POWER_OFF = signal.SIGRTMIN + 4  # as systemd(1) has it
GROUPS = "rehearsal-"
PROPAGATION = Path("/run/systemd/nspawn/propagate")


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What hosts are made of; the first layer is on top."""

    layers: tuple[Path, ...]
    login: Login
    certificate: Certificate
    binds: tuple[str, ...] = ()
    """Directories of this machine that a host sees, as nspawn writes them."""


class Guest:
    """From power on to power off, as often as it likes; `remove` leaves nothing."""

    def __init__(self, folder: Path, image: Image, about: Metadata, disks: dict[str, tuple[Disk, int]]) -> None:
        """`disks` by the name under which the host sees them, with their sizes in GiB."""
        self.folder, self.image, self.about, self.disks = folder, image, about, disks
        self.name = folder.name
        self.group = f"{GROUPS}{os.getpid()}-{self.name}"
        self.overlay = Overlay(folder)
        self.network = Network(folder / "network")
        self._process: subprocess.Popen[bytes] | None = None
        self._wanted_off = threading.Event()
        self._wanted_again = threading.Event()

    @property
    def console(self) -> Path:
        return self.folder / "console.log"

    def run_until_off(self) -> None:
        """Boot, and return once it is off, whoever wanted that."""
        self._mount()
        neighbours = Neighbours(self.network, self.about, self.image.certificate)
        try:
            neighbours.start()
            while not self._wanted_off.is_set():
                self._wanted_again.clear()
                status = self._boot_and_wait()
                if status != WANTS_REBOOT and not self._wanted_again.is_set():
                    break
        finally:
            neighbours.stop()
            self._unmount()

    def power_off(self) -> None:
        """Ask its init to end everything; cut the power if that takes too long. Returns at once."""
        self._wanted_off.set()
        threading.Thread(target=self._end_in_order, daemon=True).start()

    def _end_in_order(self) -> None:
        deadline = time.monotonic() + SHUTDOWN_S
        while self._process is not None and self._process.poll() is None and time.monotonic() < deadline:
            if (init := self.init) is not None:
                # One that has only just begun does not listen yet.
                with contextlib.suppress(ProcessLookupError):
                    os.kill(init, POWER_OFF)
            time.sleep(1)
        self.cut()

    def reset(self) -> None:
        """Cut the power and boot again."""
        self._wanted_again.set()
        self.cut()

    def cut(self) -> None:
        """Take its power away: nothing in it gets to do anything more."""
        cgroups.kill(self.group)

    @property
    def init(self) -> int | None:
        """Its first process; None while it is off."""
        return _child(self._runner)

    @property
    def _runner(self) -> int | None:
        """systemd-nspawn's process; its parent only gave it a clock of its own."""
        return _child(self._process.pid if self._process is not None else None)

    def remove(self) -> None:
        """Throw its files away; its data disks stay."""
        self.overlay.remove()

    def _mount(self) -> None:
        is_new = not self.folder.is_dir()
        self.overlay.mount(self.image.layers)
        if is_new:
            prepare(self.overlay.root, self.name, self.image.login, self.image.certificate)
        self.network.make(ADDRESSES)

    def _unmount(self) -> None:
        self.network.remove()
        self.overlay.unmount()
        for disk, _ in self.disks.values():
            disk.detach()
        cgroups.remove_groups(self.group)
        with contextlib.suppress(OSError):
            (PROPAGATION / self.name).rmdir()

    def _boot_and_wait(self) -> int:
        attached = {name: disk.attach(size_gib) for name, (disk, size_gib) in self.disks.items()}
        with self.console.open("ab") as console:
            self._process = subprocess.Popen(
                self._command(attached),
                stdin=subprocess.DEVNULL, stdout=console, stderr=console, start_new_session=True,
            )  # fmt: skip
        if self._wanted_off.is_set():  # it was switched off while this booted
            self.cut()
        status = self._process.wait()
        # Killed, nspawn leaves its init behind, and what is killed is there for another moment.
        deadline = time.monotonic() + DEATH_S
        while cgroups.kill(self.group) and time.monotonic() < deadline:
            time.sleep(0.02)
        return status

    def _command(self, devices: dict[str, str]) -> Sequence[str]:
        binds = [f"--bind={device}:/dev/disk/by-id/google-{name}" for name, device in devices.items()]
        binds += [f"--bind-ro={path}" for path in pip_binds(pip_settings())]
        cgroups.make_groups(self.group)
        return (
            # A rehearsal that was killed switches its hosts off: none outlives it.
            *("setpriv", "--pdeathsig", "KILL", "unshare", "--kill-child=TERM", "--time", *_clocks()),
            *cgroups.enter_command(self.group),
            *("systemd-nspawn", "--quiet", f"--directory={self.overlay.root}", f"--machine={self.name}", "--boot"),
            *("--register=no", "--keep-unit", "--console=pipe", "--resolv-conf=off", "--capability=CAP_NET_ADMIN"),
            *(f"--network-namespace-path={self.network.file}", *binds, *self.image.binds),
        )


def _child(parent: int | None) -> int | None:
    return next((each.pid for each in everything() if each.parent == parent), None) if parent is not None else None


def _clocks() -> tuple[str, str, str, str]:
    """A host's clocks begin when it boots: the idle timer counts from there."""
    uptime_s = int(float(Path("/proc/uptime").read_text().split()[0]))
    return "--boottime", f"-{uptime_s}", "--monotonic", f"-{uptime_s}"
