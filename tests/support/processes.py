"""Processes as /proc shows them, for tests that must know that nothing is left: independent of the code under test."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One living process; its number and start time together name it for good."""

    pid: int
    parent: int
    started: str
    command: str

    @property
    def is_alive(self) -> bool:
        now = read(self.pid)
        return now is not None and now.started == self.started


def read(pid: int) -> Process | None:
    """Look at one process; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return None
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return Process(pid=pid, parent=int(fields[1]), started=fields[19], command=command)


def everything() -> list[Process]:
    """List every process that can be seen."""
    found = (read(int(entry.name)) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [process for process in found if process is not None]


def tree(root: int) -> list[Process]:
    """Return a process and all below it."""
    present = everything()
    found = [process for process in present if process.pid == root]
    for process in found:  # grows while it is walked
        found += [child for child in present if child.parent == process.pid]
    return found


def belonging_to(directory: Path) -> list[Process]:
    """Return what names a directory in its command or environment, or works in it; this process is left out."""
    return [process for process in everything() if process.pid != os.getpid() and _names(process, str(directory))]


def _names(process: Process, directory: str) -> bool:
    if directory in process.command:
        return True
    here = Path(f"/proc/{process.pid}")
    try:
        # An engine's processes overwrite most of their environment with a title; where they work stays.
        works_in = str((here / "cwd").readlink())
        return works_in.startswith(directory) or directory.encode() in (here / "environ").read_bytes()
    except OSError:
        return False


def kill(process: Process) -> None:
    """End exactly this process, if it is still there."""
    if process.is_alive:
        os.kill(process.pid, signal.SIGKILL)
