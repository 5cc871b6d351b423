"""Remove directories with all that is in them, unless something is mounted there. Input: a ClearOrder."""

import os
import re
import shutil
import sys
from collections.abc import Iterable
from pathlib import Path

from agent.protocol import ClearOrder
from agent.weights import MANIFEST

MOUNTS = Path("/proc/self/mountinfo")
SEALS = ("release.json", "manifest.json", "config.json")


def refuse_mounts(paths: Iterable[Path], task: str) -> None:
    """Exit where one of these has a mount in it: what is behind that is somebody's, as behind a link."""
    gone = [os.path.realpath(path) for path in paths if not path.is_symlink()]
    for mount in mounts():
        if any(mount == path or mount.startswith(f"{path}/") for path in gone):
            sys.exit(
                f"{mount}: something is mounted there, in what would be removed. Unmount it, and run {task} again."
            )


def mounts() -> list[str]:
    """Where something is mounted: proc(5), mountinfo, whose names have blanks in octal."""
    try:
        lines = MOUNTS.read_text(errors="surrogateescape").rstrip("\n").split("\n")
    except OSError:
        return []
    return [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines]


def remove(path: Path) -> None:
    """Remove one thing. What makes it whole to others goes first: half of it must never pass for all of it."""
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    for seal in SEALS:
        remove(path / seal)
    for each in path.iterdir():
        if each.name != MANIFEST:  # by which the rest of a checkpoint is known as a download, to the end
            remove(each)
    shutil.rmtree(path)


def main() -> None:
    paths = [Path(path) for path in ClearOrder.from_json(sys.argv[1]).paths]
    refuse_mounts(paths, "the same command")
    try:
        for path in paths:
            remove(path)
    except OSError as error:
        sys.exit(f"{path}: cannot be removed: {error}. Correct that, and run the same command again.")
