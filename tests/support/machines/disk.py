"""A host's disk: a file system on a block device, of which a copy shows what a power cut at that moment leaves.

What a host wrote is in this kernel's memory first, and reaches the device when the file system wants it, or when a
program asks (fsync(2)). The device is a file on a file system of its own. That one is frozen for as long as it takes to
copy the file: so the copy is what the device had been told at one moment, in the order in which it was told. What it
cannot show: a device that loses, or turns around, writes which it said to have kept.
"""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.arm.host import run

FIFREEZE, FITHAW = 0xC0045877, 0xC0045878  # linux/fs.h
MIB = 1 << 20


class Disk:
    """One disk, in a directory of its own; its files show at `files` while it is mounted."""

    def __init__(self, directory: Path, size_bytes: int = 512 * MIB) -> None:
        self.directory, self.size_bytes = directory, size_bytes
        self.files = directory / "files"
        self._device_files = directory / "device"
        self._device = self._device_files / "disk.img"

    def make(self) -> None:
        """An empty one in place of any that was."""
        self.remove()
        for each in (self.files, self._device_files):
            each.mkdir(parents=True)
        below = self.directory / "device.img"
        _make_file_system(below, 2 * self.size_bytes)
        _mount(below, self._device_files)
        _make_file_system(self._device, self.size_bytes)

    def mount(self) -> None:
        if not self.files.is_mount():
            _mount(self._device, self.files)

    def copy(self, to: Path) -> None:
        """What a power cut now would leave."""
        with _frozen(self._device_files):
            run("cp", "--sparse=always", self._device, to, what="copy a block device")

    def replace_by(self, copy: Path) -> None:
        """Put a copy in the place of the disk, which nobody uses now."""
        self.unmount()
        copy.replace(self.directory / "copy.img")
        self._device = self.directory / "copy.img"
        self.mount()

    def unmount(self) -> None:
        _unmount(self.files)

    def remove(self) -> None:
        for each in (self.files, self._device_files):
            _unmount(each)
        shutil.rmtree(self.directory, ignore_errors=True)
        self._device = self._device_files / "disk.img"


def _make_file_system(image: Path, size_bytes: int) -> None:
    with image.open("wb") as file:
        file.truncate(size_bytes)
    # Nothing is left to be done at its first use, and nothing kept for root.
    options = ("-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0")
    run("mkfs.ext4", *options, image, what="make a file system")


def _mount(image: Path, at: Path) -> None:
    run("mount", "-t", "ext4", "-o", "loop", image, at, what=f"mount {image}")


def _unmount(at: Path) -> None:
    """At once where that can be: a process that was killed a moment ago may still hold a file."""
    while at.is_mount():
        if subprocess.run(["umount", str(at)], capture_output=True, check=False, timeout=120).returncode:
            subprocess.run(["umount", "--lazy", str(at)], check=True, timeout=120)


@contextmanager
def _frozen(files: Path) -> Iterator[None]:
    """Let nobody write to a file system; who does waits."""
    opened = os.open(files, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(opened, FIFREEZE, 0)
        try:
            yield
        finally:
            fcntl.ioctl(opened, FITHAW, 0)
    finally:
        os.close(opened)
