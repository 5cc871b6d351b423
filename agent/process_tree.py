"""Find and end every process of an engine: by ancestry while a launcher lives, by traces when none does."""

import ctypes
import os
import signal
import time
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from pathlib import Path

PR_SET_PDEATHSIG = 1
PR_SET_CHILD_SUBREAPER = 36
MARKER = "AXION_UNIT"
KILL_TIMEOUT_S = 10.0
POLL_S = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One line of /proc; pid and start_ticks together name a process for as long as the machine is up."""

    pid: int
    parent: int
    session: int
    start_ticks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Traces:
    """What the processes of one engine carry even when their launcher is gone."""

    marker: str
    session: int
    stdout: str
    start_ticks: int
    """Of the process that led the session; whatever is ours started no earlier."""


def _prctl(option: int, value: int) -> None:
    if ctypes.CDLL(None, use_errno=True).prctl(option, value, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), f"prctl({option}, {value})")


def adopt_orphans() -> None:
    """Become the parent of every descendant whose own parent dies, in place of init."""
    _prctl(PR_SET_CHILD_SUBREAPER, 1)


def signal_on_parent_death(number: int, parent: int) -> bool:
    """Ask the kernel for a signal when the parent dies; False when it is dead already."""
    _prctl(PR_SET_PDEATHSIG, number)
    return os.getppid() == parent


def read_process(pid: int) -> Process | None:
    """Read one process; None when there is none or only its exit status is left."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    # The second field is the title in parentheses and may hold spaces and parentheses itself.
    fields = stat.rpartition(")")[2].split()
    if fields[0] in "ZX":
        return None
    return Process(pid=pid, parent=int(fields[1]), session=int(fields[3]), start_ticks=int(fields[19]))


def processes() -> list[Process]:
    """List every process that this user may see."""
    found = (read_process(int(entry)) for entry in os.listdir("/proc") if entry.isdigit())  # noqa: PTH208 - names only
    return [process for process in found if process is not None]


def descendants(roots: Collection[int], among: Iterable[Process]) -> list[Process]:
    """Select the processes below the given ones, at any depth."""
    children: dict[int, list[Process]] = {}
    for process in among:
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    pending = list(roots)
    while pending:
        below = children.get(pending.pop(), [])
        found += below
        pending += [process.pid for process in below]
    return found


def kill(process: Process) -> None:
    """Send SIGKILL to exactly this process: a pidfd does not follow its number to a successor."""
    try:
        handle = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return
    try:
        now = read_process(process.pid)
        if now is not None and now.start_ticks == process.start_ticks:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
    except ProcessLookupError:
        return
    finally:
        os.close(handle)


def reap(statuses: dict[int, int]) -> bool:
    """Collect the exit statuses that wait for us; False when no child is left."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return False
        if pid == 0:
            return True
        statuses[pid] = status


def kill_own_tree(statuses: dict[int, int]) -> bool:
    """Kill and reap everything below this process; False when something outlives SIGKILL.

    Needs adopt_orphans(): a child that is forked between two looks then falls to us and is found by the next one.
    """
    deadline = time.monotonic() + KILL_TIMEOUT_S
    while reap(statuses):
        if time.monotonic() > deadline:
            return False
        for process in descendants([os.getpid()], processes()):
            kill(process)
        time.sleep(POLL_S)
    return True


def stdout_of(pid: int | str) -> str:
    """Name the pipe or socket behind a process's output; empty for a file or a terminal, which others share."""
    try:
        target = str(Path(f"/proc/{pid}/fd/1").readlink())
    except OSError:
        return ""
    return target if target.startswith(("pipe:", "socket:")) else ""


def is_left_by(traces: Traces, process: Process) -> bool:
    """Decide whether a process belongs to an engine whose launcher is gone.

    The marker in its environment decides. setproctitle overwrites the environment from its beginning (measured with
    vLLM 0.32.0: EngineCore and Worker keep the last 14 of 57 variables), and for those alone the session or the output
    pipe decides: both outlive a change of title, and a stranger that was given the number of our session later has an
    environment that begins with a variable.
    """
    try:
        variables = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return False
    if traces.marker.encode() in variables:
        return True
    if b"=" in variables[0] or process.start_ticks < traces.start_ticks:
        return False
    return process.session == traces.session or (traces.stdout != "" and stdout_of(process.pid) == traces.stdout)


def kill_left_by(traces: Traces, *, report: Callable[[int], None]) -> bool:
    """Kill what a dead launcher left; False when something outlives SIGKILL."""
    deadline = time.monotonic() + KILL_TIMEOUT_S
    found: set[tuple[int, int]] = set()
    while True:
        living = processes()
        # One that is dying shows no environment any more, yet holds its memory: remember it until it is gone.
        left = {process.pid: process for process in living if (process.pid, process.start_ticks) in found}
        left |= {process.pid: process for process in living if is_left_by(traces, process)}
        left |= {process.pid: process for process in descendants(left.keys(), living)}
        left.pop(os.getpid(), None)
        if not left:
            return True
        if time.monotonic() > deadline:
            return False
        for process in left.values():
            if (process.pid, process.start_ticks) not in found:
                report(process.pid)
            kill(process)
        found = {(process.pid, process.start_ticks) for process in left.values()}
        time.sleep(POLL_S)
