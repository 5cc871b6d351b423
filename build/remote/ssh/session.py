"""A command that runs on another host: its input, its output line by line, its end, and the loss of the way to it."""

import contextlib
import queue
import threading
import time

from build.errors import DeployError
from build.remote.command import Command, Result
from build.remote.executor import OnLine
from build.remote.ssh.pulse import Pulse, lost
from build.remote.ssh.wire import Wire

# What a bound that the host keeps may take longer to be told to us.
GRACE_S = 10.0
CLOSE_TIMEOUT_S = 5.0
# How a command ends whose bound was over: by a signal to it, or by the guard.
ENDED_BY_BOUND = (-1, 124, 137)


class Running:
    """A command with a bound, and all that it prints."""

    def __init__(self, wire: Wire, command: Command, pulse: Pulse, on_line: OnLine | None) -> None:
        self._wire, self._command, self._pulse, self._on_line = wire, command, pulse, on_line
        self._began = time.monotonic()
        self._out: list[str] = []
        self._err: list[str] = []
        self._unheard: list[Exception] = []
        wire.listen(self._keeping(self._out), self._keeping(self._err))

    def feed(self, order: bytes, data: bytes) -> None:
        """Send the order, all input, and its end. In a thread: what does not read would block without a bound."""

        def send() -> None:
            with contextlib.suppress(OSError, EOFError):  # it ended without reading it all; its exit status tells
                self._wire.send(order)
                self._wire.send(data)
                self._wire.shut()

        threading.Thread(target=send, daemon=True).start()

    def result(self) -> Result:
        """Wait for the end. Raises DeployError beyond the command's bound, ConnectionLostError without a connection."""
        bound_s = self._command.timeout_s
        while not self._wire.ended.wait(0.2):
            self._pulse.check(self._command)
            if self._unheard:
                raise self._unheard[0]
            if time.monotonic() - self._began > bound_s + GRACE_S:
                raise self._not_finished()
        took_s, status = time.monotonic() - self._began, self._wire.status
        if self._unheard:
            raise self._unheard[0]
        if status == -1:  # no status came: killed by a signal, or the connection ended
            self._pulse.check(self._command, is_at_end=True)
        if status in ENDED_BY_BOUND and took_s >= bound_s:
            raise self._not_finished()
        return Result(status=status, stdout="".join(self._out), stderr="".join(self._err))

    def _not_finished(self) -> DeployError:
        bound = f"{self._command.timeout_s:g} s"
        return DeployError(f"{self._command.what}: timed out after {bound}. Look at the host {self._pulse.place}.")

    def _keeping(self, kept: list[str]) -> OnLine:
        def keep(line: str) -> None:
            kept.append(line)
            if self._on_line is None or self._unheard:
                return
            try:
                self._on_line(line.rstrip("\n"))
            except Exception as error:  # kept for the caller's thread, which raises it
                self._unheard.append(error)

        return keep


class SshSession:
    """A command that stays until its input is closed. See build.remote.executor.Session."""

    def __init__(self, wire: Wire, command: Command, pulse: Pulse, order: bytes) -> None:
        self._wire, self._command, self._pulse = wire, command, pulse
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        wire.listen(lambda line: self._lines.put(line.rstrip("\n")), lambda _line: None)
        wire.at_end(lambda: self._lines.put(None))
        self._send(order)
        with contextlib.suppress(OSError, EOFError):  # it ended without reading it: nothing comes from it either
            wire.send(command.stdin or b"")

    def send(self, line: str) -> None:
        self._send(f"{line}\n".encode())

    def _send(self, data: bytes) -> None:
        try:
            self._wire.send(data)
        except (OSError, EOFError) as error:
            raise lost(self._pulse.place, self._command, str(error)) from None

    def receive(self, timeout_s: float) -> str | None:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            self._pulse.check(self._command)
            what = f"{self._command.what}: no answer within {timeout_s:g} s"
            raise DeployError(f"{what}. Look at the host {self._pulse.place}.") from None
        if line is None and self._wire.status == -1:
            self._pulse.check(self._command, is_at_end=True)
        return line

    def close(self) -> None:
        self._wire.shut()
        self._wire.ended.wait(CLOSE_TIMEOUT_S)
        self._wire.close()
