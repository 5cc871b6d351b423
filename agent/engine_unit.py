"""One engine as the host's files describe it: paths, environment, lock, and the record of what runs."""

import errno
import fcntl
import os
import re
import stat
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from agent import process_tree
from agent.leftovers import boot_id, log, read_record
from agent.running import EngineRecord, ReleaseUnits

STOP_TIMEOUT_S = 60.0
LOAD_TIMEOUT_S = 1800.0
LOCK_TIMEOUT_S = 15.0
"""For the previous launcher of the same engine, which is ending when a runner starts the next one."""
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,30}")
VARIABLE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)=(.*)")
NOT_FOR_ENGINES = ("PYTHON", "SUPERVISOR_", "NOTIFY_SOCKET", "WATCHDOG_", "LISTEN_", "VIRTUAL_ENV")
"""Addressed to us by the runner; PYTHONPATH in particular would put our package in front of vLLM's."""


class LaunchError(Exception):
    """Something the operator must change; its text is the whole message."""


def parse_environment(text: str, where: Path) -> dict[str, str]:
    """Read KEY=value lines; a value is taken literally, so no shell and no quoting rules are involved."""
    values: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = VARIABLE.fullmatch(line)
        if match is None:
            raise LaunchError(f"{where}:{number}: not KEY=value, got {line!r}. Deploy the release again.")
        values[match[1]] = match[2]
    return values


def seconds(values: Mapping[str, str], key: str, default: float) -> float:
    """Read a duration from the engine's environment."""
    try:
        return float(values.get(key, default))
    except ValueError:
        raise LaunchError(f"{key}: not a number of seconds, got {values[key]!r}. Correct the engine's .env.") from None


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineUnit:
    """One engine of one resolved release."""

    name: str
    root: Path
    release: Path
    unit_digest: str
    environment: Mapping[str, str]
    stop_timeout_s: float
    load_timeout_s: float

    @classmethod
    def read(cls, *, root: Path, release: Path, name: str) -> Self:
        """Read and check everything at once, before anything is touched; `release` is resolved here and only here."""
        if NAME.fullmatch(name) is None:
            raise LaunchError(f"--name: not a served model's name, got {name!r}. Use lower case, digits, - and _.")
        root, release = root.resolve(), release.resolve()
        settings, digests = release / "engines" / f"{name}.env", release / "release.json"
        venv = (release / "build").resolve() / "venv"
        needed = (settings, settings.with_suffix(".yaml"), digests, venv / "bin" / "vllm")
        if missing := [str(path) for path in needed if not path.is_file()]:
            raise LaunchError(f"{release}: incomplete release, no {', '.join(missing)}. Deploy it again.")
        described = ReleaseUnits.of_file(digests)
        if described is None or name not in described.units:
            raise LaunchError(f"{digests}: no units.{name} in it. Deploy the release again.")
        inherited = {key: value for key, value in os.environ.items() if not key.startswith(NOT_FOR_ENGINES)}
        inherited["PATH"] = f"{venv / 'bin'}:{inherited.get('PATH', os.defpath)}"
        try:
            own = parse_environment(settings.read_text(encoding="utf-8"), settings)
        except UnicodeDecodeError as error:
            odd = error.object[error.start : error.end]
            raise LaunchError(f"{settings}: no UTF-8, got {odd!r} in it. Deploy the release again.") from None
        environment = inherited | own | {process_tree.MARKER: f"{root}:{name}"}
        return cls(
            name=name,
            root=root,
            release=release,
            unit_digest=str(described.units[name]),
            environment=environment,
            stop_timeout_s=seconds(own, "AXION_STOP_TIMEOUT_S", STOP_TIMEOUT_S),
            load_timeout_s=seconds(own, "AXION_LOAD_TIMEOUT_S", LOAD_TIMEOUT_S),
        )

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def state(self) -> Path:
        return self.root / "state" / self.name

    @property
    def socket(self) -> Path:
        return self.run / f"{self.name}.sock"

    @property
    def vllm(self) -> Path:
        return (self.release / "build").resolve() / "venv" / "bin" / "vllm"

    @property
    def command(self) -> tuple[str, ...]:
        """Two words for the file: vLLM silently ignores --config=FILE."""
        return (str(self.vllm), "serve", "--config", str(self.release / "engines" / f"{self.name}.yaml"))

    def prepare(self) -> None:
        """Make the directories that only this user may enter."""
        for directory in (self.run, self.state):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)

    def lock(self, *, until: Callable[[], bool]) -> int | None:
        """Become the only launcher of this engine; None when asked to stop first or when another one stays."""
        handle = os.open(self.run / f"{self.name}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while not until():
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    record = read_record(self.root, self.name)
                    owner = record.pid if record else "unknown"
                    log(f"{self.name}: another launcher runs it, pid {owner}. Stop that one, or let it be.")
                    break
                time.sleep(0.05)
            else:
                return handle
        os.close(handle)
        return None

    def remove_socket(self) -> None:
        """Remove the socket of an engine that is gone; anything else under that name is not ours to remove."""
        try:
            if stat.S_ISSOCK(self.socket.lstat().st_mode):
                self.socket.unlink()
        except FileNotFoundError:
            return

    def write_record(self, *, session: int) -> None:
        """Say what runs from now on: for a deployer, and for the sweep that follows a launcher's violent end."""
        leader, own = process_tree.read_process(session), process_tree.read_process(os.getpid())
        record = EngineRecord(
            pid=os.getpid(),
            start_ticks=own.start_ticks if own else None,
            started_at=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            release=str(self.release),
            unit_digest=self.unit_digest,
            boot_id=boot_id(),
            session=session,
            session_start_ticks=leader.start_ticks if leader else None,
            stdout=process_tree.stdout_of("self"),
        )
        text = record.to_json() + "\n"
        try:
            write_over(self.draft, text)
            self.draft.replace(self.record)
        except OSError:  # a full disk: the record of a launcher that was killed has room of its own
            write_over(self.record, text)

    @property
    def record(self) -> Path:
        return self.run / f"{self.name}.json"

    @property
    def draft(self) -> Path:
        return self.run / f"{self.name}.json.new"

    def remove_record(self) -> None:
        """Forget the run, of which nothing may be left. The room of its file is kept for the next run."""
        with suppress(FileNotFoundError):
            self.record.replace(self.draft)


def write_over(path: Path, text: str) -> None:
    """Write a file in the room that it has: on a full disk there is no other."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "wb", buffering=0) as file:
        if file.write(text.encode()) != len(text.encode()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        file.truncate()
