"""The one right to change a host, and the audit log that is written with it.

A small program on the host holds the lock, and lives as long as it hears of this task over a channel of its own: the
lock of a task that died, or was cut off, frees itself. Cut off for a moment, the task takes it again; when somebody
else was faster, the task is ended before it changes anything more.
"""

import getpass
import json
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from types import FrameType
from typing import Any

from build.errors import ConnectionLostError, DeployError, NoConnectionError, UnnotedError
from build.remote.command import Command, Result
from build.remote.executor import Session, check
from build.remote.host import Host
from build.remote.minimum import refuse_unfit
from build.remote.room import full_disks_named
from build.remote.target import Target

BEAT_S = 10.0
ANSWER_TIMEOUT_S = 30.0
TRIES = 6
LOST = signal.SIGUSR1
"""Not SIGINT, which a task in a shell's background ignores."""


class HeldLock:
    """The lock while it is held. What is set here goes into the audit log's line."""

    def __init__(self, host: Host, what: str) -> None:
        self._host, self._what = host, what
        self._said: dict[str, Any] = {}
        self._ended = threading.Event()
        self._session = self._take()
        self.lost: DeployError | None = None
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def note(self, **said: Any) -> None:
        """Tell the holder: `release`, `outcome`, or `is_change=False` for what turned out to change nothing."""
        self._said |= said
        with suppress(ConnectionLostError):  # the next beat takes it again and tells all of it
            self._session.send(json.dumps(said))

    def let_go(self) -> str | None:
        """Give it back. Returns why the audit log has no line of this change, where it has none."""
        self._ended.set()
        self._session.close()
        self._beats.join(ANSWER_TIMEOUT_S)
        with suppress(DeployError, ValueError):
            told: dict[str, str] = json.loads(self._session.receive(1.0) or "{}")
            return told.get("unnoted")
        return None

    def _take(self) -> Session:
        target = self._host.target
        told: dict[str, Any] = {}
        try:
            session = self._host.executor.open(hold_command(target, self._what))
            if answer := session.receive(ANSWER_TIMEOUT_S):
                told = json.loads(answer)
            if told.get("taken"):
                return session
            session.close()
        except (ConnectionLostError, NoConnectionError):
            raise
        except DeployError:
            refuse_unfit(self._host.executor, target.python, target.name)
            raise
        if "held" not in told:
            refuse_unfit(self._host.executor, target.python, target.name)
        if "held" in told:
            raise DeployError(held_problem(self._host.target, told["held"]))
        got = told.get("cannot", "no answer")
        raise DeployError(f"{self._host.target.name}: cannot be locked, got {got}. Run `fab doctor`.")

    def _beat(self) -> None:
        """Give signs of life until the end; what is lost is taken again, or this task ends."""
        while not self._ended.wait(BEAT_S):
            try:
                self._session.send("{}")
            except ConnectionLostError:
                self._take_again()
                if self.lost is not None:
                    return

    def _take_again(self) -> None:
        if self._was_unlocked():
            name = self._host.target.name
            self.lost = DeployError(f"{name}: `fab unlock` ended this task, got {self._what}. Run it again.")
            _interrupt()
            return
        for attempt in range(TRIES):
            if self._ended.wait(attempt * 2.0):
                return
            try:
                self._session = self._take()
                self._session.send(json.dumps(self._said))
                return
            except ConnectionLostError:
                continue
            except DeployError as error:
                self.lost = error
                break
        else:
            name = self._host.target.name
            self.lost = ConnectionLostError(
                f"{name}: lost the lock with the connection, got {TRIES} failed tries to return."
            )
        _interrupt()

    def _was_unlocked(self) -> bool:
        """Whether the holder ended because somebody wanted it to; of a broken connection it can tell nothing."""
        with suppress(DeployError, ValueError):
            return "unlocked" in json.loads(self._session.receive(1.0) or "{}")
        return False


@contextmanager
def host_lock(host: Host, what: str) -> Iterator[HeldLock]:
    """Hold the right to change a host. Raises DeployError naming the holder when somebody else has it."""
    usual = signal.signal(LOST, _end)
    try:
        with full_disks_named(host), _held(host, what) as held:
            yield held
    finally:
        signal.signal(LOST, usual)


@contextmanager
def _held(host: Host, what: str) -> Iterator[HeldLock]:
    held = HeldLock(host, what)
    outcome = "done"
    try:
        yield held
    except KeyboardInterrupt:
        outcome = "interrupted"
        if held.lost is not None:
            raise held.lost from None
        raise
    except BaseException as error:
        outcome = f"failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
        raise
    finally:
        held.note(outcome=outcome)
        unnoted = held.let_go()
        where = f"{host.target.name}: `{what}` is not in the audit log, got {unnoted}"
        if unnoted is not None and outcome != "done":
            host.reporter.say(f"{where}.", style="yellow")
    if held.lost is not None:
        raise held.lost
    if unnoted is not None:
        raise UnnotedError(f"{where}. All else of it is done; make room for the next.")


def held_problem(target: Target, holder: dict[str, Any]) -> str:
    """Say who holds a host's lock, since when, and when that one was last heard of."""
    who, what, since = (holder.get(key, "unknown") for key in ("who", "what", "since"))
    return (
        f"{target.name}: being changed by somebody else, got {who}, `{what}`, since {since}, last heard of "
        f"{holder.get('silent_s', '?')} s ago. Wait until it ends; `fab unlock --yes` ends it."
    )


def hold_command(target: Target, what: str) -> Command:
    return _order(target, f"lock {target.name}", do="hold", who=operator(), what=what)


def unlock(host: Host, *, is_really: bool) -> dict[str, Any] | None:
    """Return the holder, if there is one; end it when that is meant."""
    asked = _order(host.target, "look at the lock", do="unlock", who=operator(), is_really=is_really)
    held: dict[str, Any] | None = json.loads(check(host.executor, asked).stdout)["held"]
    return held


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditLog:
    """What was changed on a host, oldest first."""

    lines: tuple[dict[str, Any], ...]
    torn: int
    """Lines that a power cut, or somebody's editor, left unreadable."""


def history(host: Host) -> AuditLog:
    """Read the audit log."""
    read: Result = check(host.executor, _order(host.target, "read the audit log", do="history"))
    told = json.loads(read.stdout)
    return AuditLog(lines=tuple(told["lines"]), torn=told["torn"])


def operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _order(target: Target, doing: str, /, **order: Any) -> Command:
    return target.agent.command("lock", json.dumps({"root": target.root, **order}), what=doing)


def _interrupt() -> None:
    """End the task at once, also where it waits: a signal ends a wait, another thread's exception does not."""
    signal.pthread_kill(threading.main_thread().ident or 0, LOST)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
