"""Hold the one right to change this host for somebody, for as long as that somebody is heard of.

Input: a LockOrder. Output: a LockAnswer, or an AuditLog. Who holds it goes on to read LockNotes, one a line. It ends,
and with it the lock, when stdin ends, after SILENCE_S without a line, or on SIGTERM.
A change gets its line in <root>/logs/audit.jsonl here and not from the task: also when the task is gone.
"""

import contextlib
import fcntl
import os
import select
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from agent.durable import replace_file
from agent.message import MessageError
from agent.protocol import AuditLine, AuditLog, Before, LockAnswer, LockHolder, LockNote, LockOrder

BEFORE = ".before-axion.json"
"""In <root>: what was there before us, down to what was in folders of our names. `fab uninstall` leaves all of that."""
FOLDERS = ("agent", "answered", "builds", "logs", "models", "releases", "run", "state", "work")
SILENCE_S = 60.0
"""Signs of life come every ten seconds."""
PATIENCE_S = 1.0
"""A task that was killed a moment ago still has a holder that is about to notice."""


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def take(path: Path, patience_s: float = PATIENCE_S, *, root: "Path | None" = None) -> "IO[str] | None":
    """Open and lock a file; None when somebody else has it.

    With a root, what was there before us is written down first: a lock that came into being without that record, for
    an uninstallation took the record with the lock that was there, is removed again. Raises OSError.
    """
    deadline = time.monotonic() + patience_s
    while True:
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # removed by an uninstallation, or held
            if root is not None:
                note_before(root)
            path.parent.mkdir(parents=True, exist_ok=True)
            file, is_new = _opened(path)
            with contextlib.ExitStack() as unless_taken:
                unless_taken.callback(file.close)
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                # Else it is the lock that an uninstallation removed while this one waited for it.
                if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                    if root is None or not is_new or (root / BEFORE).exists():
                        unless_taken.pop_all()
                        return file
                    path.unlink()
        if time.monotonic() > deadline:
            return None
        time.sleep(0.05)


def _opened(path: Path) -> "tuple[IO[str], bool]":
    """A file, and whether it was made by this very call."""
    try:
        return os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "r+"), True
    except FileExistsError:
        return os.fdopen(os.open(path, os.O_RDWR), "r+"), False


def found_before(root: Path) -> "Before | None":
    """What is there of others before the first of ours; None where that is long past."""
    if (root / BEFORE).exists() or (root / "state" / "deploy.lock").exists():
        return None
    made = tuple(str(path) for path in (root, *root.parents) if not path.exists())
    there = [] if made else [name for name in FOLDERS if os.path.lexists(root / name)]
    return Before(made=made, there={name: names_in(root / name) for name in there})


def note_before(root: Path) -> None:
    """Write down what is there of others, before anything of ours and for good. Raises OSError, and leaves nothing."""
    before = found_before(root)
    if before is None:
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        replace_file(root / BEFORE, before.to_json())
    except OSError:
        with contextlib.suppress(OSError):
            for path in before.made:
                Path(path).rmdir()
        raise


def names_in(folder: Path) -> "tuple[str, ...]":
    return tuple(sorted(os.listdir(folder))) if folder.is_dir() else ()  # noqa: PTH208 - names are all that is asked for


def holder_of(path: Path) -> LockHolder:
    """What the holder wrote, and how long ago it was last heard of."""
    holder = LockHolder.of_file(path) or LockHolder()
    try:
        return replace(holder, silent_s=round(max(0.0, time.time() - path.stat().st_mtime)))
    except OSError:
        return holder


def line_of(text: bytes) -> "AuditLine | None":
    """What a line says. None for one that a power cut left half of, NUL bytes in its place included."""
    try:
        return AuditLine.from_json(text.strip(b"\0 \t\r\n"))
    except MessageError:
        return None


def audit(root: Path, line: AuditLine) -> "str | None":
    """Add a line. What served goes on serving where that cannot be: it is only said, and returned why."""
    path = root / "logs" / "audit.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        append(path, line.to_json().encode() + b"\n")
    except OSError as error:
        return str(error)
    return None


def append(path: Path, line: bytes) -> None:
    """Write one line, and first the end of one that was cut off: what follows it would be lost with it."""
    log = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o640)
    try:
        size = os.fstat(log).st_size
        rest = line if size == 0 or os.pread(log, 1, size - 1) == b"\n" else b"\n" + line
        while rest:
            rest = rest[os.write(log, rest) :]
        os.fsync(log)
    finally:
        os.close(log)


def hold(order: LockOrder) -> None:
    root = Path(order.root)
    path = root / "state" / "deploy.lock"
    try:
        file = take(path, root=root)
        if file is None:
            say(LockAnswer("held", holder_of(path)))
            return
        since = now()
        describe(file, LockHolder(order.who, order.what, since, os.getpid()))
    except OSError as error:  # a full or a read-only disk: whoever asked hears it instead of silence
        say(LockAnswer("refused", why=str(error)))
        return
    note = LockNote()
    signal.signal(signal.SIGTERM, unlocked)
    say(LockAnswer("taken"))
    try:
        for note in heard(path):  # noqa: B007 - the last one counts
            pass
    except InterruptedError:
        note = replace(note, outcome="ended by fab unlock")
        say(LockAnswer("unlocked"))
    finally:
        if note.is_change:
            why = audit(root, AuditLine(now(), order.who, order.what, note.outcome, note.release, since))
            if why is not None:
                say(LockAnswer("unnoted", why=why))


def say(answer: "LockAnswer | AuditLog") -> None:
    print(answer.to_json(), flush=True)


def describe(file: "IO[str]", holder: LockHolder) -> None:
    """Write who holds it over who held it: on a full disk the file's own block is there still."""
    said, written = holder.to_json().encode(), 0
    with contextlib.suppress(OSError):  # the lock is taken all the same: who has it is of use to others alone
        written = os.pwrite(file.fileno(), said, 0)
    file.truncate(len(said) if written == len(said) else 0)


def unlocked(number: int, frame: object) -> None:
    raise InterruptedError


def heard(path: Path) -> "Iterator[LockNote]":
    """Read until there is nothing more to hear, and tell each sign of life."""
    note, rest = LockNote(), b""
    while select.select([0], [], [], SILENCE_S)[0]:
        read = os.read(0, 65536)
        if not read:
            return
        os.utime(path)
        *lines, rest = (rest + read).split(b"\n")
        for line in lines:
            with contextlib.suppress(MessageError):
                note = LockNote.from_json(line)
                yield note
    yield replace(note, outcome=f"the task was not heard of for {SILENCE_S:g} s")


def unlock(order: LockOrder) -> None:
    """Name the holder; end it when that is meant, and wait until the lock is free."""
    root = Path(order.root)
    path = root / "state" / "deploy.lock"
    if not path.exists() or take(path, 0) is not None:
        say(LockAnswer("free"))
        return
    holder = holder_of(path)
    if order.is_really:
        pid = process_with(path)
        if pid is None:
            sys.exit(
                f"{path}: held by a process that the kernel does not name here. `fuser {path}` on the machine does."
            )
        os.kill(pid, signal.SIGTERM)
        # Who waited for it may have it by now.
        if take(path, 5) is None and process_with(path) == pid:
            os.kill(pid, signal.SIGKILL)
        audit(root, AuditLine(now(), order.who, "fab unlock", f"ended {holder.what}"))
    say(LockAnswer("held", holder))


def process_with(path: Path) -> "int | None":
    """Who has the lock, by the kernel's list of locks: what the file says may be lost, or another version's words."""
    end = f":{path.stat().st_ino}"
    # "1: FLOCK  ADVISORY  WRITE 4242 fe:00:131 0 EOF"; who waits for it has "->" before its kind.
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    pids = [int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].endswith(end)]
    return next((pid for pid in pids if has_open(pid, path)), None)


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has the file open: other file systems have files of the same number."""
    try:
        return any(link.resolve() == path.resolve() for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def history(order: LockOrder) -> None:
    path = Path(order.root) / "logs" / "audit.jsonl"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        text = b""
    except OSError as error:
        sys.exit(f"{path}: cannot be read: {error.strerror}. Move it away; the next change begins a new one.")
    found = [line_of(line) for line in text.split(b"\n") if line.strip()]
    whole = tuple(line for line in found if line is not None)
    say(AuditLog(lines=whole, torn=len(found) - len(whole)))


def main() -> None:
    os.umask(0o022)  # the host's directory may begin with the lock, and who serves has to get through it
    order = LockOrder.from_json(sys.argv[1])
    {"hold": hold, "unlock": unlock, "history": history}[order.do](order)
