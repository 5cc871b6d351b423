"""Say what on this host is ours, and remove it. What was there before us, and what people put beside it, stays.

Input: an UninstallOrder. Output: what goes and what stays. It asks to
  look     say it, in words; reads only
  remove   end every process of ours, then remove all but the lock, which the caller holds
  leave    remove the lock, which nobody holds any more, and the directories that we made
Each step looks at what is there, so whatever was interrupted is finished by doing it again.
"""

import os
import sys
from contextlib import suppress
from pathlib import Path

from agent.clear import refuse_mounts, remove
from agent.lock import BEFORE, take
from agent.message import MessageError
from agent.ours import Ours
from agent.protocol import Remains, UninstallOrder
from agent.uninstall_system import (
    end,
    remove_account,
    remove_journal,
    remove_run,
    remove_units,
    system_goes,
    system_stays,
)

NAMED = 3


def size_of(path: Path) -> int:
    """Bytes on the disk; a link is not followed, and what goes meanwhile is none."""
    is_tree = path.is_dir() and not path.is_symlink()
    files = [Path(top, name) for top, _, names in os.walk(path) for name in names] if is_tree else [path]
    total = 0
    for file in files:
        with suppress(OSError):
            total += file.lstat().st_blocks * 512
    return total


def said_of(ours: Ours) -> "list[str]":
    """What of the root goes, one line for each directory."""
    told = []
    for folder, paths in ours.by_folder().items():
        names = [path.name for path in paths[:NAMED]] + [f"{len(paths) - NAMED} more"] * (len(paths) > NAMED)
        told.append(f"{folder}: {', '.join(names)}; {sum(map(size_of, paths)) / 2**20:.1f} MiB")
    return told


def look(ours: Ours, order: UninstallOrder) -> Remains:
    goes, stays = [*said_of(ours), *ours.traces()], ours.stays()
    if order.is_systemd:
        goes = [*system_goes(order.user), *goes]
        stays = [*stays, *system_stays(order.user)]
    stays += [f"{path}: a checkpoint that the models file names by its path" for path in ours.outside()]
    return Remains(tuple(goes), tuple(stays if goes else ()))


def remove_all(ours: Ours, order: UninstallOrder) -> Remains:
    end(ours.root, is_systemd=order.is_systemd)
    if order.is_systemd:
        remove_units()
        remove_journal()
    for folder, paths in ours.by_folder().items():
        for path in paths:
            remove(path)
            if folder.name == "models" and path.parent != folder and not any(path.parent.iterdir()):
                path.parent.rmdir()
    if order.is_systemd:
        remove_run()
        remove_account(order.user)
    return Remains((), tuple(ours.stays()))


def leave(ours: Ours, order: UninstallOrder) -> Remains:
    """The record goes, then the lock, by whoever has it: who waits for it sees that, and begins with a new record."""
    lock = ours.lock
    is_there = lock is not None and lock.exists()
    held = take(lock, 0) if lock is not None and is_there else None  # until this program ends
    if is_there and held is None:
        sys.exit(
            f"{ours.root}: somebody deploys there again, got a lock that is held. What is left is theirs; "
            "run `fab uninstall` again when they are done."
        )
    is_over = not order.keep_models or not (ours.root / "models").is_dir()
    made = [*ours.made_below(), *(ours.made_roots() if is_over else ())]
    if is_over:
        (ours.root / BEFORE).unlink(missing_ok=True)
    if lock is not None:
        lock.unlink(missing_ok=True)
    for path in made:
        with suppress(OSError):  # what is not ours is in it
            path.rmdir()
    return Remains((), (str(ours.root),) if ours.root.exists() else ())


def main(argument: "str | None" = None) -> None:
    order = UninstallOrder.from_json(argument or sys.argv[1])
    try:
        ours = Ours(Path(order.root), order.user, keeps_models=order.keep_models)
        if order.do != "leave":
            refuse_mounts(ours.all(), "`fab uninstall`")
        print({"look": look, "remove": remove_all, "leave": leave}[order.do](ours, order).to_json())
    except MessageError as error:
        sys.exit(
            f"{order.root}/{BEFORE}: says what was there before us, and cannot be read: {error}. Nothing was removed. "
            "Uninstall with a checkout as new as the one that deployed; or look yourself whether anything below "
            f"{order.root} is somebody else's, and move that file away."
        )
    except OSError as error:
        sys.exit(f"{order.root}: cannot be removed: {error}. Correct that, and run `fab uninstall` again.")
