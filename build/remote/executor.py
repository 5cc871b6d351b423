"""Run commands where they belong. This one is this computer; one over SSH has the same two verbs."""

import ctypes
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import cached_property
from typing import IO, Protocol, TypeVar

from agent.message import Message, MessageError
from build.errors import ConnectionLostError, DeployError
from build.remote.agent import Carriage, carrying
from build.remote.command import Command, Result, not_started

LIBC = ctypes.CDLL(None)
PR_SET_PDEATHSIG = 1  # linux/prctl.h
CLOSE_TIMEOUT_S = 5.0
OnLine = Callable[[str], None]
Answer = TypeVar("Answer", bound=Message)


class Executor(Protocol):
    """A host that commands run on."""

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        """Run to the end and return what happened; `on_line` sees each line of output as it comes.

        Raises DeployError when the command does not end within its bound or cannot be started.
        """
        ...

    def open(self, command: Command) -> "Session":
        """Start a command that stays, to talk with it line by line. Its `stdin` goes first; it has no bound."""
        ...


class Session(Protocol):
    """A command that runs until its stdin is closed. `send` may come from another thread than `receive`."""

    def send(self, line: str) -> None:
        """Write a line to it. Raises ConnectionLostError when it, or the way to it, is gone."""
        ...

    def receive(self, timeout_s: float) -> str | None:
        """Return its next line, None when it has ended. Raises DeployError when none comes in time."""
        ...

    def close(self) -> None:
        """Close its stdin and wait a few seconds for its end. Never raises."""
        ...


def check(executor: Executor, command: Command, on_line: OnLine | None = None) -> Result:
    """Run a command that has to succeed. Raises DeployError with the end of what it printed."""
    result = executor.run(command, on_line)
    if not result.succeeded:
        tail = "\n    ".join((result.stderr or result.stdout).strip().splitlines()[-15:])
        raise DeployError(f"{command.what}: failed with exit status {result.status}. Read its last lines:\n    {tail}")
    return result


def ask(executor: Executor, command: Command, kind: type[Answer], on_line: OnLine | None = None) -> Answer:
    """Run a command of the agent's that has to succeed, and read its last line. Raises DeployError."""
    printed = check(executor, command, on_line).stdout
    try:
        return kind.from_last_line(printed)
    except MessageError as error:
        advice = "Run the task again, and tell us of it if it persists."
        raise DeployError(f"{command.what}: the answer is not understood: {error}. {advice}") from None


class LocalExecutor:
    """Runs commands on this computer, each in its own session so that an interrupt reaches only the task."""

    @cached_property
    def _carriage(self) -> Carriage:
        return Carriage()

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        return self._carriage.run(lambda each: self._run(each, on_line), command)

    def _run(self, command: Command, on_line: OnLine | None) -> Result:
        try:
            process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env={**os.environ, **command.env},
                stdin=subprocess.PIPE if command.stdin is not None else subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                start_new_session=True,
                preexec_fn=DIE_WITH_PARENT,  # noqa: PLW1509 - it calls one C function, which needs no lock
            )
        except OSError as error:
            raise not_started(command.what, command.argv[0], error) from None
        return _collect(process, command, on_line)

    def open(self, command: Command) -> "LocalSession":
        return LocalSession(carrying(command))


class LocalSession:
    """A process of ours that lives as long as its stdin is open; it sees the end of that when this one dies."""

    def __init__(self, command: Command) -> None:
        self._what = command.what
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        try:
            self._process = subprocess.Popen(
                command.argv,
                cwd=command.cwd,
                env={**os.environ, **command.env},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,
            )
        except OSError as error:
            raise not_started(command.what, command.argv[0], error) from None
        threading.Thread(target=self._read, daemon=True).start()
        with suppress(ConnectionLostError):  # it ended without reading it: nothing comes from it either
            self._write(command.stdin or b"")

    def send(self, line: str) -> None:
        self._write(f"{line}\n".encode())

    def _write(self, data: bytes) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        try:
            self._process.stdin.write(data)
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):  # ValueError: closed by us
            raise ConnectionLostError(f"{self._what}: ended, got a closed pipe. Run the task again.") from None

    def receive(self, timeout_s: float) -> str | None:
        try:
            return self._lines.get(timeout=timeout_s)
        except queue.Empty:
            raise DeployError(f"{self._what}: no answer within {timeout_s:g} s. Look at the host.") from None

    def close(self) -> None:
        assert self._process.stdin is not None, "it is a pipe"
        with suppress(BrokenPipeError):
            self._process.stdin.close()
        try:
            self._process.wait(CLOSE_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            _kill(self._process)
            self._process.wait(10)

    def _read(self) -> None:
        assert self._process.stdout is not None, "it is a pipe"
        with self._process.stdout as stream:
            for raw in stream:
                self._lines.put(raw.decode("utf-8", "replace").rstrip("\n"))
        self._lines.put(None)


def _die_with_parent() -> None:
    """Ask the kernel to end a command when this process is killed: the next run must not race with its leftovers.

    A daemon that the command forks is not affected (prctl(2): the setting is cleared for the child of a fork).
    """
    LIBC.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)


# Elsewhere the kernel has no such setting, and commands are bounded in time all the same.
DIE_WITH_PARENT = _die_with_parent if sys.platform == "linux" else None


def _collect(process: "subprocess.Popen[bytes]", command: Command, on_line: OnLine | None) -> Result:
    """Feed and drain a process without a pipe ever filling up, within the command's bound."""
    assert process.stdout is not None and process.stderr is not None, "both are pipes"
    out: list[str] = []
    err: list[str] = []
    unheard: list[Exception] = []
    tell = _telling(process, on_line, unheard) if on_line is not None else _nobody
    threads = [
        threading.Thread(target=_drain, args=(process.stdout, out, tell), daemon=True),
        threading.Thread(target=_drain, args=(process.stderr, err, tell), daemon=True),
    ]
    if process.stdin is not None:  # in a thread as well: a command that does not read would block without a bound
        threads.append(threading.Thread(target=_feed, args=(process.stdin, command.stdin or b""), daemon=True))
    for thread in threads:
        thread.start()
    try:
        process.wait(command.timeout_s)
    except subprocess.TimeoutExpired:
        raise DeployError(f"{command.what}: timed out after {command.timeout_s:g} s. Look at the host.") from None
    finally:
        if process.poll() is None:
            _kill(process)
            process.wait(10)
    for thread in threads:
        thread.join(5)
    if unheard:
        raise unheard[0]
    return Result(status=process.returncode, stdout="".join(out), stderr="".join(err))


def _drain(stream: Iterable[bytes], kept: list[str], tell: OnLine) -> None:
    for raw in stream:
        line = raw.decode("utf-8", "replace")
        kept.append(line)
        tell(line.rstrip("\n"))


def _telling(process: "subprocess.Popen[bytes]", on_line: OnLine, unheard: list[Exception]) -> OnLine:
    """Pass lines on while somebody listens. When that fails, end the command and keep why, for the caller's thread."""

    def tell(line: str) -> None:
        if unheard:
            return
        try:
            on_line(line)
        except Exception as error:
            unheard.append(error)
            _kill(process)

    return tell


def _nobody(line: str) -> None:
    """Listen to nothing."""


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """End a command with everything that it started and did not let go."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _feed(stdin: IO[bytes], data: bytes) -> None:
    try:
        stdin.write(data)
        stdin.close()
    except BrokenPipeError:
        return  # the process ended without reading it all; its exit status tells
