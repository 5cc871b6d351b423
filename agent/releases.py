"""Receive a release, point the host to it, or note that it answered; print nothing. Exit status 1 with a sentence.

After each its outcome is on the disk itself: no power cut takes it back.
"""

import shutil
import sys
from pathlib import Path

from agent.archive import keep as keep_archive
from agent.durable import put_in_place, replace_file, replace_link, settle
from agent.protocol import ReleaseFiles, ReleaseOrder


def receive(root: Path, name: str, build: str, *, is_shared: bool) -> None:
    """Bring a release under its name, complete or not at all; its files come over stdin."""
    mode = 0o755 if is_shared else 0o700
    for directory in (root, *(root / each for each in ("releases", "run", "state", "logs"))):
        if not directory.is_dir():
            directory.mkdir(parents=True)
            directory.chmod(mode)
    releases = root / "releases"
    for left in releases.glob(".*.new"):  # of any name: what comes after an interrupted one has another time in it
        shutil.rmtree(left)
    draft = releases / f".{name}.new"
    try:
        _fill(draft, ReleaseFiles.from_json(sys.stdin.read()), build, mode)
        put_in_place(draft, releases / name)
    except OSError:
        shutil.rmtree(draft, ignore_errors=True)  # on a full disk it would be in the way of everybody else
        raise


def _fill(draft: Path, received: ReleaseFiles, build: str, mode: int) -> None:
    draft.mkdir()
    for path, text in received.files.items():
        file = draft / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8", newline="")
    (draft / "build").symlink_to(f"../../builds/{build}")
    # Whatever the umask: on a host of its own engines are not root and read what root put there.
    for each in (draft, *draft.rglob("*")):
        if not each.is_symlink():
            each.chmod(mode if each.is_dir() else mode & 0o644)


def switch(root: Path, name: str) -> None:
    replace_link(root / "current", f"releases/{name}")


def confirm(root: Path, name: str) -> None:
    (root / "answered").mkdir(mode=0o700, exist_ok=True)
    replace_file(root / "answered" / name, "")
    replace_link(root / "confirmed", f"releases/{name}")
    settle(root)  # the directories of its engines as well, before anybody is told that it is done


def main() -> None:
    order = ReleaseOrder.from_json(sys.argv[1])
    root = Path(order.root)
    try:
        if order.do == "receive":
            receive(root, order.name, order.build, is_shared=order.is_shared)
            keep_archive(root)
        elif order.do == "switch":
            switch(root, order.name)
        else:
            confirm(root, order.name)
    except OSError as error:
        sys.exit(f"{root}: cannot {order.do} {order.name}: {error}")
