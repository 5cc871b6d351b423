"""Data disks: sparse files that look like a disk to the host that they are attached to."""

import contextlib
import subprocess
from pathlib import Path

from tests.support.arm.host import run


class Disk:
    """One disk of the cloud; what is on it outlives the host."""

    def __init__(self, file: Path) -> None:
        self.file = file

    @property
    def devices(self) -> list[str]:
        """The loop devices that show it."""
        listed = subprocess.run(["losetup", "--associated", str(self.file)], capture_output=True, text=True, check=True)
        return [line.partition(":")[0] for line in listed.stdout.splitlines()]

    def attach(self, size_gib: int) -> str:
        """Show it as a block device, as large as it now is; a new one reads as zeros."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with self.file.open("ab") as file:
            file.truncate(max(file.tell(), size_gib * 2**30))
        self.detach()
        attached = run("losetup", "--find", "--show", self.file, what=f"attach {self.file.name}")
        return attached.stdout.strip()

    def detach(self) -> None:
        """Take the device away; a host that was killed a moment ago may still hold it, and then it goes by itself."""
        for device in self.devices:
            run("losetup", "--detach", device, what=f"detach {device}")

    def copy_to(self, other: "Disk") -> None:
        """Put on another one what is on this one now; a new one has nothing to give."""
        if self.file.exists():
            run("cp", "--sparse=always", "--reflink=auto", self.file, other.file, what=f"copy {self.file.name}")

    def remove(self) -> None:
        """Throw away what is on it."""
        self.detach()
        with contextlib.suppress(FileNotFoundError):
            self.file.unlink()
