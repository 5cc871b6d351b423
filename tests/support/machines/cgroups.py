"""A control group for each host: two that share one would count each other's processes as their own."""

import contextlib
import os
import signal
from pathlib import Path

# The hierarchies in which systemd keeps track of processes: version 2, alone or beside version 1, and version 1's own.
CANDIDATES = tuple(Path("/sys/fs/cgroup", *words) for words in (("unified",), ("systemd",), ()))


def enter_command(name: str) -> tuple[str, ...]:
    """Words in front of a command that is to run in the groups of a host, which must be there."""
    moves = "".join(f"echo $$ > '{group / 'cgroup.procs'}' && " for group in groups(name))
    return ("sh", "-c", f'{moves}exec "$@"', "sh")


def make_groups(name: str) -> None:
    for group in groups(name):
        group.mkdir(exist_ok=True)


def kill(name: str) -> list[int]:
    """Kill all that runs in them at once, and return what that was."""
    lists = [path for group in groups(name) for path in group.rglob("cgroup.procs")]
    # A process that is just being reaped is listed as 0, which to kill(2) means the caller and all beside it.
    pids = sorted({int(pid) for path in lists for pid in _read(path).split()} - {0})
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    return pids


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the group went, or is going
        return ""


def remove_groups(name: str) -> None:
    """Remove what its systemd made in them; the processes must be gone."""
    for group in groups(name):
        for path in sorted(group.rglob("*"), reverse=True):
            if path.is_dir():
                with contextlib.suppress(OSError):
                    path.rmdir()
        with contextlib.suppress(OSError):
            group.rmdir()


def groups(name: str) -> list[Path]:
    """Where a host's groups are in each hierarchy."""
    found = [path for path in CANDIDATES if (path / "cgroup.procs").exists()]
    return [path / f"axion-{name}" for path in found]
