"""The one right to change a host, and the audit log that is written with it.

A small program on the host holds the lock, and lives as long as it hears of this task over a channel of its own: the
lock of a task that died, or was cut off, frees itself. Cut off for a moment, the task takes it again; when somebody
else was faster, the task is ended before it changes anything more.
"""

import getpass
import signal
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from types import FrameType
from typing import Any, Literal

from agent.message import MessageError
from agent.protocol import AuditLog, LockAnswer, LockHolder, LockNote, LockOrder
from build.errors import ConnectionLostError, DeployError, NoConnectionError, UnnotedError
from build.remote.command import Command
from build.remote.executor import Session, ask
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
        self._note = LockNote()
        self._ended = threading.Event()
        self._session = self._take()
        self.lost: DeployError | None = None
        self._beats = threading.Thread(target=self._beat, daemon=True)
        self._beats.start()

    def note(self, **said: Any) -> None:
        """Tell the holder: `release`, `outcome`, or `is_change=False` for what turned out to change nothing."""
        self._note = replace(self._note, **said)
        with suppress(ConnectionLostError):  # the next beat takes it again and tells all of it
            self._session.send(self._note.to_json())

    def let_go(self) -> str | None:
        """Give it back. Returns why the audit log has no line of this change, where it has none."""
        self._ended.set()
        self._session.close()
        self._beats.join(ANSWER_TIMEOUT_S)
        last = self._last_word()
        return last.why if last is not None and last.state == "unnoted" else None

    def _take(self) -> Session:
        target, answer = self._host.target, None
        try:
            session = self._host.executor.open(hold_command(target, self._what))
            if printed := session.receive(ANSWER_TIMEOUT_S):
                with suppress(MessageError):
                    answer = LockAnswer.from_json(printed)
            if answer is not None and answer.state == "taken":
                return session
            session.close()
        except (ConnectionLostError, NoConnectionError):
            raise
        except DeployError:
            refuse_unfit(self._host.executor, target.python, target.name)
            raise
        if answer is not None and answer.holder is not None:
            raise DeployError(held_problem(target, answer.holder))
        refuse_unfit(self._host.executor, target.python, target.name)
        got = answer.why if answer is not None else "no answer"
        raise DeployError(f"{target.name}: cannot be locked: {got}. Run `fab doctor`.")

    def _beat(self) -> None:
        """Give signs of life until the end; what is lost is taken again, or this task ends."""
        while not self._ended.wait(BEAT_S):
            try:
                self._session.send(self._note.to_json())
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
                self._session.send(self._note.to_json())
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
        last = self._last_word()
        return last is not None and last.state == "unlocked"

    def _last_word(self) -> LockAnswer | None:
        """What the holder said at its end; None where it said nothing."""
        with suppress(DeployError, MessageError):
            return LockAnswer.from_json(self._session.receive(1.0) or "")
        return None


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


def held_problem(target: Target, holder: LockHolder) -> str:
    """Say who holds a host's lock, since when, and when that one was last heard of."""
    return (
        f"{target.name}: being changed by somebody else, got {holder.who}, `{holder.what}`, since {holder.since}, last "
        f"heard of {holder.silent_s} s ago. Wait until it ends; `fab unlock --yes` ends it."
    )


def hold_command(target: Target, what: str) -> Command:
    return _command(target, f"lock {target.name}", "hold", what=what)


def unlock(host: Host, *, is_really: bool) -> LockHolder | None:
    """Return the holder, if there is one; end it when that is meant."""
    asked = _command(host.target, "look at the lock", "unlock", is_really=is_really)
    return ask(host.executor, asked, LockAnswer).holder


def history(host: Host) -> AuditLog:
    """Read the audit log."""
    return ask(host.executor, _command(host.target, "read the audit log", "history"), AuditLog)


def operator() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"


def _command(
    target: Target, doing: str, do: Literal["hold", "unlock", "history"], *, what: str = "", is_really: bool = False
) -> Command:
    order = LockOrder(do, target.root, operator(), what, is_really)
    return target.agent.command("lock", order.to_json(), what=doing)


def _interrupt() -> None:
    """End the task at once, also where it waits: a signal ends a wait, another thread's exception does not."""
    signal.pthread_kill(threading.main_thread().ident or 0, LOST)


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt
