"""What a launcher recorded about its engine, and the sweep of what outlived the launcher."""

import fcntl
import sys
from pathlib import Path

from agent import process_tree
from agent.message import MessageError
from agent.running import EngineRecord


def log(message: str) -> None:
    """Write one line to the log that the engine shares."""
    sys.stderr.write(f"launch: {message}\n")
    sys.stderr.flush()


def read_record(root: Path, name: str) -> EngineRecord | None:
    """Read what a launcher said it runs; None when it said nothing legible."""
    try:
        return EngineRecord.from_json((root / "run" / f"{name}.json").read_bytes())
    except (OSError, MessageError):
        return None


def boot_id() -> str:
    """Identify this boot: process numbers mean nothing after the next one."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def traces(root: Path, name: str) -> process_tree.Traces:
    """Say how the processes of an engine are recognised, with what its last launcher recorded if it still holds."""
    record, marker = read_record(root, name), f"{process_tree.MARKER}={root}:{name}"
    if record is None or record.boot_id != boot_id() or record.session_start_ticks is None:
        return process_tree.Traces(marker=marker, session=-1, start_ticks=0, stdout="")
    return process_tree.Traces(
        marker=marker, session=record.session, start_ticks=record.session_start_ticks, stdout=record.stdout
    )


def clear(root: Path, name: str) -> bool:
    """Kill what a dead launcher left of one engine, whose lock the caller holds; False when something survives."""
    return process_tree.kill_left_by(
        traces(root, name), report=lambda pid: log(f"{name}: killing process {pid}, which lost its launcher")
    )


def sweep(root: Path) -> bool:
    """Kill what dead launchers left of every engine; the engine of a living launcher is not touched.

    Idempotent; blocks for at most process_tree.KILL_TIMEOUT_S an engine. False when something survives.
    """
    is_clean = True
    for path in sorted((root / "run").glob("*.lock")):
        with path.open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if clear(root, path.stem):
                path.with_suffix(".json").unlink(missing_ok=True)
            else:
                is_clean = False
    return is_clean
