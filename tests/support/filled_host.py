"""A systemd host whose data disk is a small file system of its own, and an executor that fills it before a command."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from build.remote.command import Command, Result
from build.remote.executor import Executor, OnLine, Session
from tests.support.host_deployment import HostDeployment
from tests.support.machines.machine import Machine, booted
from tests.support.machines.standin import standin_layers
from tests.support.small_disk import Kind, SmallDisk
from tests.support.web import free_port

ROOT = "opt/axion"
MODELS = ("alpha", "beta")
COMMANDS_MAX = 80
"""More than any deployment sends."""


@contextmanager
def loop_disk(image: Path, at: Path) -> Iterator[SmallDisk]:
    """A file system as a host has it, for the length of a block. Root may fill it to the last byte."""
    with image.open("wb") as file:
        file.truncate(96 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-m", "0", "-N", "4096", str(image)], check=True)
    at.mkdir()
    subprocess.run(["mount", "-o", "loop", str(image), str(at)], check=True)
    try:
        yield SmallDisk(at)
    finally:
        subprocess.run(["umount", "--lazy", str(at)], check=False)


class OnOwnDisk(HostDeployment):
    """A host whose data disk this machine sees where it is mounted, and not below the host's other files."""

    def __init__(self, machine: Machine, base: Path, disk: SmallDisk) -> None:
        super().__init__(machine, base, MODELS)
        self.disk, self.root = disk, disk.path


@contextmanager
def filled_host(name: str, base: Path) -> Iterator[OnOwnDisk]:
    """A host of that name for the length of a block, with a stand-in engine environment on its disk."""
    layers = standin_layers("amd64")
    with loop_disk(base / "disk.img", base / "disk") as disk:
        shutil.copytree(layers[0] / ROOT, disk.path, symlinks=True, dirs_exist_ok=True)
        with booted(Machine(name, port=free_port(), layers=layers, kept={disk.path: f"/{ROOT}"})) as machine:
            yield OnOwnDisk(machine, base, disk)


class Filling:
    """Commands of the real executor, before one of which somebody fills the disk."""

    def __init__(self, executor: Executor, disk: SmallDisk, kind: Kind, before: int) -> None:
        self._executor, self._disk, self._kind, self._before = executor, disk, kind, before
        self.sent: list[str] = []

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        self._count(command)
        return self._executor.run(command, on_line)

    def open(self, command: Command) -> Session:
        self._count(command)
        return self._executor.open(command)

    def _count(self, command: Command) -> None:
        self.sent.append(command.what)
        if len(self.sent) == self._before:
            self._disk.fill(self._kind)
