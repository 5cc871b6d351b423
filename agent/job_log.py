"""What a job leaves while it goes on and at its end, on a disk that may be full: nobody waits for it in vain.

The log may miss lines, and says so once it can. The result has its place on the disk from the beginning: blocks and an
inode that nobody else can take. Where even that cannot be written it goes to the memory of this host.
"""

import errno
import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from agent.durable import rename_for_good
from agent.protocol import JobEvent, JobResult, LogLine, StepBegan, StepEnded

RESERVED_BYTES = 1 << 20
TAILS = (200_000, 20_000, 2_000)
"""Characters of the last step's output, fewer each time that a result does not fit."""
MEMORY = Path(os.environ.get("AXION_RUN", "/run/axion"))
"""Of this boot: a tmpfs."""


class Log:
    """What is told of a job while it goes on. Telling never fails, whatever the disk does."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, threading.Lock()
        self._handle: int | None = None
        self._lost, self._why = 0, ""

    def tell(self, event: LogLine | StepBegan | StepEnded) -> None:
        with self._lock:
            if self._lost:
                missing = f"({self._lost} lines are missing here: the log could not be written, got {self._why})"
                if not self._write(LogLine(missing)):
                    self._lost += 1
                    return
                self._lost = 0
            if not self._write(event):
                self._lost += 1

    def _write(self, event: LogLine | StepBegan | StepEnded) -> bool:
        """Add a line as a whole, or nothing: half a line would spoil the next one."""
        line, end = (JobEvent(event).to_json() + "\n").encode("ascii"), None
        try:
            if self._handle is None:
                self._handle = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
            end = os.fstat(self._handle).st_size
            if os.write(self._handle, line) < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            self._why = str(error)
            if self._handle is not None and end is not None:
                with suppress(OSError):
                    os.ftruncate(self._handle, end)
            return False
        return True


def reserve(directory: Path) -> None:
    """Take the result's place on the disk before the job begins. Raises OSError where there is none."""
    with (directory / "result.reserved").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, RESERVED_BYTES)


def result_of(directory: Path) -> "JobResult | None":
    """How the job ended; None while it has not."""
    return JobResult.of_file(directory / "result.json") or JobResult.of_file(_in_memory(directory))


def forget(directory: Path) -> None:
    for path in (directory / "result.json", _in_memory(directory)):
        path.unlink(missing_ok=True)


def keep(directory: Path, result: JobResult) -> None:
    """Leave the result where it is read. Raises OSError only when neither disk nor memory takes it."""
    for fitting in _fitting(result):
        try:
            _fill(directory / "result.reserved", fitting)
            rename_for_good(directory / "result.reserved", directory / "result.json")
        except OSError as error:
            why = error
        else:
            return
    MEMORY.mkdir(parents=True, exist_ok=True)
    *before, last = result.results
    if last.status:
        last = replace(last, stderr=f"{last.stderr}\nthe result could not be written to the disk, got {why}\n")
    draft = _in_memory(directory).with_suffix(".new")
    draft.write_text(replace(result, results=(*before, last)).to_json())
    draft.replace(_in_memory(directory))


def _in_memory(directory: Path) -> Path:
    return MEMORY / f"result-{directory.name}.json"


def _fitting(result: JobResult) -> Iterator[bytes]:
    """The result as it is, then with ever less of what the steps printed: their ends are read, the last one's most."""
    yield result.to_json().encode()
    *before, last = result.results
    shown = [replace(each, stdout="", stderr="") for each in before]
    for tail in TAILS:
        end = replace(last, stdout=last.stdout[-tail:], stderr=last.stderr[-tail:])
        yield replace(result, results=(*shown, end)).to_json().encode()


def _fill(path: Path, content: bytes) -> None:
    """Write over what is there: its blocks are its own already."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "wb", buffering=0) as file:
        rest = memoryview(content)
        while rest:
            rest = rest[file.write(rest) :]
        file.truncate()
        os.fsync(file.fileno())
