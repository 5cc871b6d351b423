"""A file system of a few megabytes and a few hundred files, to be filled up and emptied again. Needs root."""

import contextlib
import errno
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest

Kind = Literal["bytes", "inodes"]
KINDS: tuple[Kind, ...] = ("bytes", "inodes")
NAME = "filler"


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """What is mounted at a path."""

    path: Path

    def fill(self, kind: Kind) -> None:
        """Leave not one byte, or not one inode."""
        folder = self.path / NAME
        folder.mkdir(exist_ok=True)
        if kind == "inodes":
            with _refused():
                for number in range(1 << 20):
                    (folder / str(number)).touch()
        else:
            for block_bytes in (1 << 23, 1 << 20, 1 << 16, 1 << 12):
                with _refused(), (folder / "content").open("ab", buffering=0) as file:
                    while True:
                        os.posix_fallocate(file.fileno(), os.fstat(file.fileno()).st_size, block_bytes)

    def leave(self, kind: Kind, count: int) -> None:
        """Fill it up but for so many inodes, or blocks of 64 KiB."""
        self.fill(kind)
        if kind == "inodes":
            for each in sorted((self.path / NAME).iterdir())[:count]:
                each.unlink()
        else:
            content = self.path / NAME / "content"
            os.truncate(content, content.stat().st_size - (count << 16))

    def make_room(self) -> None:
        shutil.rmtree(self.path / NAME, ignore_errors=True)


@contextmanager
def _refused() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise


@contextmanager
def small_disk(path: Path, *, size: str = "16m", inodes: int = 400) -> Iterator[SmallDisk]:
    """Mount one for the length of a block."""
    if os.geteuid() != 0:
        pytest.skip("only root mounts a small disk to fill up")
    path.mkdir(parents=True, exist_ok=True)
    options = f"size={size},nr_inodes={inodes},mode=755"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "small", str(path)], check=True)
    try:
        yield SmallDisk(path)
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            subprocess.run(["umount", "--lazy", str(path)], check=True)
