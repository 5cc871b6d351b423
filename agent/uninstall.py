"""Say what on this host is ours, and remove it. What was there before us, and what people put beside it, stays.

Input: {"do", "root", "user", "is_systemd", "keep_models"} with
  "look"    print {"goes": [...], "stays": [...]}, in words; reads only
  "remove"  end every process of ours, then remove all but the lock, which the caller holds; print the same
  "leave"   remove the lock, which nobody holds any more, and the directories that we made; print the same
Each step looks at what is there, so whatever was interrupted is finished by doing it again.
"""

import json
import os
import re
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from agent.lock import BEFORE, take
from agent.ours import Ours
from agent.uninstall_system import (
    end,
    remove_account,
    remove_journal,
    remove_run,
    remove_units,
    system_goes,
    system_stays,
)
from agent.weights import MANIFEST

NAMED = 3
SEALS = ("release.json", "manifest.json", "config.json")


def size_of(path: Path) -> int:
    """Bytes on the disk; a link is not followed, and what goes meanwhile is none."""
    is_tree = path.is_dir() and not path.is_symlink()
    files = [Path(top, name) for top, _, names in os.walk(path) for name in names] if is_tree else [path]
    total = 0
    for file in files:
        with suppress(OSError):
            total += file.lstat().st_blocks * 512
    return total


def refuse_mounts(ours: Ours) -> None:
    """Exit where something of ours has a mount in it: what is behind that is somebody's, as behind a link."""
    gone = [os.path.realpath(path) for path in ours.all() if not path.is_symlink()]
    for mount in mounts():
        if any(mount == path or mount.startswith(f"{path}/") for path in gone):
            sys.exit(
                f"{mount}: something is mounted there, in what would be removed. "
                "Unmount it, and run `fab uninstall` again."
            )


def mounts() -> "list[str]":
    """Where something is mounted: proc(5), mountinfo, whose names have blanks in octal."""
    try:
        lines = Path("/proc/self/mountinfo").read_text(errors="surrogateescape").splitlines()
    except OSError:
        return []
    return [re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), line.split(" ")[4]) for line in lines]


def remove(path: Path) -> None:
    """Remove one thing. What makes it whole to others goes first: half of it must never pass for all of it."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
        return
    for seal in SEALS:
        (path / seal).unlink(missing_ok=True)
    for each in path.iterdir():
        if each.name != MANIFEST:  # by which the rest of a checkpoint is known as a download, to the end
            remove(each)
    shutil.rmtree(path)


def said_of(ours: Ours) -> "list[str]":
    """What of the root goes, one line for each directory."""
    told = []
    for folder, paths in ours.by_folder().items():
        names = [path.name for path in paths[:NAMED]] + [f"{len(paths) - NAMED} more"] * (len(paths) > NAMED)
        told.append(f"{folder}: {', '.join(names)}; {sum(map(size_of, paths)) / 2**20:.1f} MiB")
    return told


def look(ours: Ours, wanted: "dict[str, Any]") -> None:
    goes, stays = [*said_of(ours), *ours.traces()], ours.stays()
    if wanted["is_systemd"]:
        goes = [*system_goes(wanted["user"]), *goes]
        stays = [*stays, *system_stays(wanted["user"])]
    stays += [f"{path}: a checkpoint that the models file names by its path" for path in ours.outside()]
    print(json.dumps({"goes": goes, "stays": stays if goes else []}))


def remove_all(ours: Ours, wanted: "dict[str, Any]") -> None:
    root = ours.root
    end(root, is_systemd=wanted["is_systemd"])
    if wanted["is_systemd"]:
        remove_units()
        remove_journal()
    for folder, paths in ours.by_folder().items():
        for path in paths:
            remove(path)
            if folder.name == "models" and path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()
    if wanted["is_systemd"]:
        remove_run()
        remove_account(wanted["user"])
    print(json.dumps({"goes": [], "stays": ours.stays()}))


def leave(ours: Ours, wanted: "dict[str, Any]") -> None:
    """The lock goes last, by whoever has it: who waits for it sees that it is gone, and makes another."""
    lock = ours.lock
    is_there = lock is not None and lock.exists()
    held = take(lock, 0) if lock is not None and is_there else None  # until this program ends
    if is_there and held is None:
        sys.exit(
            f"{ours.root}: somebody deploys there again, got a lock that is held. What is left is theirs; "
            "run `fab uninstall` again when they are done."
        )
    if lock is not None and is_there:
        lock.unlink()
    for path in ours.made_below():
        with suppress(OSError):  # what is not ours is in it
            path.rmdir()
    if not wanted["keep_models"] or not (ours.root / "models").is_dir():
        made = ours.made_roots()
        (ours.root / BEFORE).unlink(missing_ok=True)
        with suppress(OSError):
            for path in made:
                path.rmdir()
    print(json.dumps({"goes": [], "stays": [str(ours.root)] if ours.root.exists() else []}))


def main(argument: "str | None" = None) -> None:
    wanted = json.loads(argument or sys.argv[1])
    ours = Ours(Path(wanted["root"]), wanted["user"], keeps_models=wanted["keep_models"])
    try:
        if wanted["do"] != "leave":
            refuse_mounts(ours)
        {"look": look, "remove": remove_all, "leave": leave}[wanted["do"]](ours, wanted)
    except OSError as error:
        sys.exit(f"{ours.root}: cannot be removed, got {error}. Correct that, and run `fab uninstall` again.")
