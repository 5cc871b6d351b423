"""Hold the one right to change this host for somebody, for as long as that somebody is heard of.

Called with one JSON document:
  {"do": "hold", "root", "who", "what"}  take the lock, print {"taken": true}, else {"held": {...}} or {"cannot": why};
        then read JSON lines:
        {} is a sign of life, {"release"}, {"outcome"}, {"is_change"} are for the audit log. Ends, and with it the
        lock, when stdin ends, after SILENCE_S without a line, or on SIGTERM, printing {"unlocked": true}.
  {"do": "unlock", "root", "who", "is_really"}  print {"held": {...} or null}; end the holder when `is_really`
  {"do": "history", "root"}                    print the audit log: {"lines": [{...}], "torn": how many are no lines}
A change gets its line in <root>/logs/audit.jsonl here and not from the task: also when the task is gone.
"""

import contextlib
import fcntl
import json
import os
import select
import signal
import sys
import time
from pathlib import Path
from typing import IO, Any

from agent.durable import replace_file

BEFORE = ".before-axion.json"
"""In <root>: what was there before us, down to what was in folders of our names. `fab uninstall` leaves all of that."""
FOLDERS = ("agent", "answered", "builds", "logs", "models", "releases", "run", "state", "work")
SILENCE_S = 60.0
"""Signs of life come every ten seconds."""
PATIENCE_S = 1.0
"""A task that was killed a moment ago still has a holder that is about to notice."""
UNKNOWN = {"who": "somebody unknown", "what": "something unknown", "since": "?", "pid": 0, "silent_s": 0}


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def take(path: Path, patience_s: float = PATIENCE_S) -> "IO[str] | None":
    """Open and lock a file; None when somebody else has it."""
    deadline = time.monotonic() + patience_s
    while True:
        path.parent.mkdir(parents=True, exist_ok=True)
        file = os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if path.exists() and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file  # else it is the lock that an uninstallation removed while this one waited for it
        except BlockingIOError:
            if time.monotonic() > deadline:
                return None
        file.close()
        time.sleep(0.05)


def found_before(root: Path) -> "dict[str, Any] | None":
    """What is there of others before the first of ours; None where that is long past."""
    if (root / BEFORE).exists() or (root / "state" / "deploy.lock").exists():
        return None
    made = [str(path) for path in (root, *root.parents) if not path.exists()]
    there = [] if made else [name for name in FOLDERS if os.path.lexists(root / name)]
    return {"made": made, "there": {name: names_in(root / name) for name in there}}


def note_before(root: Path) -> None:
    """Write down what is there of others, before anything of ours and for good. Raises OSError, and leaves nothing."""
    before = found_before(root)
    if before is None:
        return
    try:
        root.mkdir(parents=True, exist_ok=True)
        replace_file(root / BEFORE, json.dumps(before))
    except OSError:
        with contextlib.suppress(OSError):
            for path in before["made"]:
                Path(path).rmdir()
        raise


def names_in(folder: Path) -> "list[str]":
    return sorted(os.listdir(folder)) if folder.is_dir() else []  # noqa: PTH208 - names are all that is asked for


def holder_of(path: Path) -> "dict[str, Any]":
    """What the holder wrote, and how long ago it was last heard of."""
    try:
        found = object_of(path.read_bytes()) or {}
        kept = {key: value for key, value in found.items() if isinstance(value, type(UNKNOWN.get(key, "")))}
        return {**UNKNOWN, **kept, "silent_s": round(max(0.0, time.time() - path.stat().st_mtime))}
    except OSError:
        return dict(UNKNOWN)


def object_of(text: bytes) -> "dict[str, Any] | None":
    """What a line says. None for one that a power cut left half of, NUL bytes in its place included."""
    try:
        value = json.loads(text.strip(b"\0 \t\r\n"))
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def audit(root: Path, **line: object) -> "str | None":
    """Add a line. What served goes on serving where that cannot be: it is only said, and returned why."""
    path = root / "logs" / "audit.jsonl"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        append(path, json.dumps({"at": now(), **line}).encode() + b"\n")
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


def hold(wanted: "dict[str, Any]") -> None:
    root = Path(wanted["root"])
    path = root / "state" / "deploy.lock"
    try:
        note_before(root)
        file = take(path)
        if file is None:
            print(json.dumps({"held": holder_of(path)}), flush=True)
            return
        since = now()
        describe(file, {"who": wanted["who"], "what": wanted["what"], "since": since, "pid": os.getpid()})
    except OSError as error:  # a full or a read-only disk: whoever asked hears it instead of silence
        print(json.dumps({"cannot": str(error)}), flush=True)
        return
    said: dict[str, Any] = {"is_change": True, "outcome": "the task was not heard of any more"}
    signal.signal(signal.SIGTERM, unlocked)
    print(json.dumps({"taken": True}), flush=True)
    try:
        listen(path, said)
    except InterruptedError:
        said["outcome"] = "ended by fab unlock"
        print(json.dumps({"unlocked": True}), flush=True)
    finally:
        if said["is_change"]:
            what = {"who": wanted["who"], "what": wanted["what"], "release": said.get("release")}
            unnoted = audit(root, began=since, **what, outcome=said["outcome"])
            if unnoted is not None:
                print(json.dumps({"unnoted": unnoted}), flush=True)


def describe(file: "IO[str]", holder: "dict[str, Any]") -> None:
    """Write who holds it over who held it: on a full disk the file's own block is there still."""
    said, written = json.dumps(holder).encode(), 0
    with contextlib.suppress(OSError):  # the lock is taken all the same: who has it is of use to others alone
        written = os.pwrite(file.fileno(), said, 0)
    file.truncate(len(said) if written == len(said) else 0)


def unlocked(number: int, frame: object) -> None:
    raise InterruptedError


def listen(path: Path, said: "dict[str, Any]") -> None:
    """Read until there is nothing more to hear."""
    rest = b""
    while select.select([0], [], [], SILENCE_S)[0]:
        heard = os.read(0, 65536)
        if not heard:
            return
        os.utime(path)
        *lines, rest = (rest + heard).split(b"\n")
        for line in lines:
            said.update(object_of(line) or {})
    said["outcome"] = f"the task was not heard of for {SILENCE_S:g} s"


def unlock(wanted: "dict[str, Any]") -> None:
    """Name the holder; end it when that is meant, and wait until the lock is free."""
    root = Path(wanted["root"])
    path = root / "state" / "deploy.lock"
    if not path.exists() or take(path, 0) is not None:
        print(json.dumps({"held": None}))
        return
    holder = holder_of(path)
    if wanted["is_really"]:
        if not has_open(int(holder["pid"]), path):
            sys.exit(f"{path}: held by a process that did not write it, got {holder}. `fuser {path}` names it.")
        os.kill(int(holder["pid"]), signal.SIGTERM)
        if take(path, 5) is None:
            os.kill(int(holder["pid"]), signal.SIGKILL)
        audit(root, who=wanted["who"], what="fab unlock", release=None, outcome=f"ended {holder['what']}")
    print(json.dumps({"held": holder}))


def has_open(pid: int, path: Path) -> bool:
    """Whether a process has the file open: a number may belong to somebody else by now."""
    try:
        return any(link.resolve() == path.resolve() for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:
        return False


def history(wanted: "dict[str, Any]") -> None:
    path = Path(wanted["root"]) / "logs" / "audit.jsonl"
    try:
        text = path.read_bytes()
    except FileNotFoundError:
        text = b""
    except OSError as error:
        sys.exit(f"{path}: cannot be read, got {error.strerror}. Move it away; the next change begins a new one.")
    found = [object_of(line) for line in text.split(b"\n") if line.strip()]
    whole = [line for line in found if line is not None and is_entry(line)]
    print(json.dumps({"lines": whole, "torn": len(found) - len(whole)}))


def is_entry(line: "dict[str, Any]") -> bool:
    """Whether a line says what every line of the log says."""
    is_complete = all(isinstance(line.get(key), str) for key in ("at", "who", "what", "outcome"))
    return is_complete and isinstance(line.get("release"), (str, type(None)))


def main() -> None:
    os.umask(0o022)  # the host's directory may begin with the lock, and who serves has to get through it
    order = json.loads(sys.argv[1])
    {"hold": hold, "unlock": unlock, "history": history}[order["do"]](order)
