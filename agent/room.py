"""How much room a file system has, and what it lacks: without a free inode it refuses files while bytes are free."""

import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from agent.protocol import Room, RoomAnswer, RoomOrder

TEMPORARY = "TMPDIR"
"""In place of a path: where programs put what they need for a moment."""
FULL_BYTES, FULL_INODES = 1 << 20, 16
"""With less than that next to nothing can be written."""


def room(place: str | Path) -> Room:
    """Look at the file system where something would be written. Raises OSError."""
    path = Path(tempfile.gettempdir() if place == TEMPORARY else place)
    path = next(each for each in (path, *path.parents) if each.exists()).resolve()
    about, device = os.statvfs(path), path.stat().st_dev
    mount = path
    while mount.parent != mount and mount.parent.stat().st_dev == device:
        mount = mount.parent
    return Room(
        place=str(path if place == TEMPORARY else place),
        mount=str(mount),
        bytes=about.f_blocks * about.f_frsize,
        free_bytes=about.f_bavail * about.f_frsize,
        inodes=about.f_files,
        free_inodes=about.f_favail,
    )


def lack(found: Room, needed_bytes: int = FULL_BYTES, needed_inodes: int = FULL_INODES) -> str | None:
    """Say what a file system lacks, as what was got; None where it has that much."""
    said = []
    if found.free_bytes < needed_bytes:
        said.append(f"{amount(found.free_bytes)} of {amount(found.bytes)} free")
    if found.inodes and found.free_inodes < needed_inodes:
        said.append(f"{found.free_inodes} of {found.inodes} inodes (one for each file) free")
    return " and ".join(said) or None


def amount(number: int) -> str:
    """A number of bytes in the unit that a person would choose."""
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"


def shortages(places: list[str]) -> list[str]:
    """Name each file system among these that is full, and of what."""
    said = {}
    for place in places:
        try:
            found = room(place)
        except OSError as error:
            said[place] = f"{place} cannot be used: {error}"
            continue
        if (lacking := lack(found)) is not None:
            said[found.mount] = f"{place} is full: {lacking}"
    return list(said.values())


def refuse_full(root: str | Path) -> None:
    """Exit where an engine that is ended may not come up again: it writes a record, and opens a socket."""
    if (lacking := lack(room(root))) is not None:
        sys.exit(f"{root} is full: {lacking}. No process is restarted there, it might not come up: make room first.")


def rooms(places: Iterable[str]) -> tuple[Room, ...]:
    """Look at each file system once, in the order of the places."""
    found: dict[str, Room] = {}
    for each in map(room, places):
        found.setdefault(each.mount, each)
    return tuple(found.values())


def main() -> None:
    print(RoomAnswer(rooms(RoomOrder.from_json(sys.argv[1]).places)).to_json())
