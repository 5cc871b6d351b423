"""What each key used of each model, a file for each day (UTC): counted by gateways, read by `fab usage`.

Two gateways write while one replaces the other. Each adds what it counted since it wrote last, and only one at a time:
nothing is lost between them and nothing counts twice. The kernel frees the lock of one that dies.
"""

import fcntl
import os
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path
from typing import ClassVar

from agent.durable import rename_for_good, replace_file
from agent.message import Message, MessageError

KEPT_DAYS = 90
LOCK_TIMEOUT_S = 2.0
"""Whoever holds the lock writes one small file. One that was stopped meanwhile must not stop the other."""
LOCK_POLL_S = 0.02
BELOW_ROOT = "state/gateway/usage"
"""As gateway.service names it."""


@dataclass(frozen=True, kw_only=True)
class UsageRow:
    """What one caller used of one model."""

    key: str
    """The name of the key, never the key."""
    model: str
    requests: int = 0
    errors: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    estimated: int = 0
    """Requests whose tokens the engine did not tell."""

    def plus(self, other: "UsageRow") -> "UsageRow":
        """Return both together; they are of one key and one model."""
        return UsageRow(
            key=self.key,
            model=self.model,
            requests=self.requests + other.requests,
            errors=self.errors + other.errors,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            estimated=self.estimated + other.estimated,
        )


@dataclass(frozen=True)
class UsageDay(Message):
    """One day's file."""

    SCHEMA: ClassVar[str] = "axion.usage-day/1"

    day: str
    """As 2026-01-31, in UTC."""
    rows: tuple[UsageRow, ...]


@dataclass(frozen=True)
class UsageOrder(Message):
    SCHEMA: ClassVar[str] = "axion.usage-order/1"

    root: str


@dataclass(frozen=True)
class UsageReport(Message):
    """All that is kept, oldest first."""

    SCHEMA: ClassVar[str] = "axion.usage-report/1"

    days: tuple[UsageDay, ...]
    unread: tuple[str, ...]
    """Files that cannot be read, with the reason."""


def merged(rows: Iterable[UsageRow]) -> tuple[UsageRow, ...]:
    """Return one row for each key and model."""
    found: dict[tuple[str, str], UsageRow] = {}
    for row in rows:
        before = found.get((row.key, row.model))
        found[row.key, row.model] = row if before is None else before.plus(row)
    return tuple(found[each] for each in sorted(found))


def add(directory: Path, day: str, rows: Iterable[UsageRow]) -> UsageDay:
    """Add to what is kept of a day, for good, and return all of it. Raises OSError where nothing was added."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _locked(directory):
        path = directory / f"{day}.json"
        before = _rows_before(path)
        if before is None:
            _forget(directory, date.fromisoformat(day))
        total = UsageDay(day, merged((*(before or ()), *rows)))
        text = total.to_json(indent=1) + "\n"
        try:
            replace_file(path, text)
        except OSError:
            # It may have its name already, and only the directory not be on the disk: adding again would count twice.
            if not path.is_file() or path.read_text(encoding="utf-8") != text:
                raise
        return total


def day_of(directory: Path, day: str) -> UsageDay:
    """Return what is kept of a day. Raises OSError."""
    try:
        return UsageDay.from_json((directory / f"{day}.json").read_bytes())
    except (FileNotFoundError, MessageError):
        return UsageDay(day, ())


def report(directory: Path) -> UsageReport:
    """Read all that is kept. Raises OSError."""
    days, unread = [], []
    for path in sorted(directory.glob("*.json")):
        try:
            days.append(UsageDay.from_json(path.read_bytes()))
        except MessageError as error:
            unread.append(f"{path}: {error}")
    return UsageReport(tuple(days), tuple(unread))


def _rows_before(path: Path) -> "tuple[UsageRow, ...] | None":
    """What is there; nothing of a file that is not understood, which is put aside and not written over."""
    try:
        return UsageDay.from_json(path.read_bytes()).rows
    except FileNotFoundError:
        return None
    except MessageError:
        rename_for_good(path, path.with_name(f"{path.name}.{time.time_ns()}.unread"))
        return None


def _forget(directory: Path, today: date) -> None:
    oldest = (today - timedelta(days=KEPT_DAYS - 1)).isoformat()
    for path in directory.glob("????-??-??.json*"):
        if path.name[: len(oldest)] < oldest:
            path.unlink(missing_ok=True)


@contextmanager
def _locked(directory: Path) -> Iterator[None]:
    opened = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        deadline = time.monotonic() + LOCK_TIMEOUT_S
        while True:
            try:
                fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(LOCK_POLL_S)
        yield
    finally:
        os.close(opened)


def main() -> None:
    order = UsageOrder.from_json(sys.argv[1])
    print(report(Path(order.root) / BELOW_ROOT).to_json())
