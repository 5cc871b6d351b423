"""A directory that starts as others are and keeps its own changes: a host's files, fresh within milliseconds."""

import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.arm.host import run


class Overlay:
    """`root` shows the lower directories, first one on top, under everything that was written to it."""

    def __init__(self, directory: Path, changes: Path | None = None) -> None:
        """`changes` is where it keeps them, unless that is the directory itself."""
        self.directory, self.changes = directory, changes or directory
        self.root = directory / "root"

    def mount(self, lower: Sequence[Path]) -> None:
        """Show it, with what was written before."""
        self.unmount()
        upper, work = self.changes / "upper", self.changes / "work"
        for each in (upper, work, self.root):
            each.mkdir(parents=True, exist_ok=True)
        options = f"lowerdir={':'.join(map(str, lower))},upperdir={upper},workdir={work}"
        run("mount", "-t", "overlay", "overlay", "-o", options, self.root, what=f"mount {self.root}")

    def unmount(self) -> None:
        """Hide it; all that is mounted in it goes with it."""
        while self.root.is_mount():
            # Lazily: a process that was killed a moment ago may still hold a file.
            subprocess.run(["umount", "--recursive", "--lazy", str(self.root)], check=True)

    def remove(self) -> None:
        self.unmount()
        shutil.rmtree(self.directory, ignore_errors=True)
