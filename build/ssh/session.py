"""A command that runs on another host: its input, its output line by line, its end, and the loss of the way to it."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import paramiko

from build.command import Command, Result
from build.errors import ConnectionLostError, DeployError
from build.executor import OnLine

# What a bound that the host keeps may take longer to be told to us.
GRACE_S = 10.0
# A peer that is gone says nothing: TCP would wait for a quarter of an hour. sshd answers each beat.
BEAT_S, SILENCE_S = 5.0, 30.0
QUIET_S = 1.0
CHUNK_BYTES = 65536
END_S = 1.0
CLOSE_TIMEOUT_S = 5.0
# How a command ends whose bound was over: by `timeout`, by a signal to it, or by the guard.
ENDED_BY_BOUND = (-1, 124, 137)


Receive = Callable[[int], bytes]


def lost(place: str, command: Command, got: str) -> ConnectionLostError:
    """Build the error of a connection that broke."""
    return ConnectionLostError(
        f"{place}: the connection broke, got {got.rstrip('.')} while it was to {command.what}. "
        "What serves there goes on serving; run the same command again: it goes on where this ended."
    )


class Pulse:
    """Beats as long as the host answers on a connection, and ends the connection when it has not for too long."""

    def __init__(self, transport: Any, place: str, *, beat_s: float = BEAT_S, silence_s: float = SILENCE_S) -> None:
        self.place = place
        self._transport, self._beat_s, self._silence_s = transport, beat_s, silence_s
        self._heard = time.monotonic()
        threading.Thread(target=self._beat, daemon=True).start()
        threading.Thread(target=self._listen, daemon=True).start()

    @property
    def is_alive(self) -> bool:
        return bool(self._transport.is_active())

    def check(self, command: Command, *, is_at_end: bool = False) -> None:
        """Raise ConnectionLostError without a connection. `is_at_end`: something ended without saying how."""
        if is_at_end:
            self._transport.join(END_S)  # paramiko ends the channels before it says that the connection has ended
        if not self.is_alive:
            silent_s = time.monotonic() - self._heard
            got = f"no answer for {silent_s:.0f} s" if silent_s > self._silence_s else "its end by the other side"
            raise lost(self.place, command, got)

    def _beat(self) -> None:
        while self.is_alive:
            with contextlib.suppress(paramiko.SSHException, OSError, EOFError):
                self._transport.global_request("keepalive@openssh.com", wait=True)
            if self.is_alive:
                self._heard = time.monotonic()
            time.sleep(self._beat_s)

    def _listen(self) -> None:
        while self.is_alive:
            if time.monotonic() - self._heard > self._silence_s:
                self._transport.close()
            time.sleep(min(self._beat_s, 1.0))


class Running:
    """A command with a bound, and all that it prints."""

    def __init__(self, channel: Any, command: Command, pulse: Pulse, on_line: OnLine | None) -> None:
        self._channel, self._command, self._pulse, self._on_line = channel, command, pulse, on_line
        self._began = time.monotonic()
        self._out: list[str] = []
        self._err: list[str] = []
        self._unheard: list[Exception] = []
        self._received_bytes = 0
        self._readers = [
            threading.Thread(target=read_lines, args=(self._counting(receive), self._keeping(kept)), daemon=True)
            for receive, kept in ((channel.recv, self._out), (channel.recv_stderr, self._err))
        ]
        for reader in self._readers:
            reader.start()

    def feed(self, data: bytes) -> None:
        """Send all input, and its end. In a thread: a command that does not read would block without a bound."""

        def send() -> None:
            with contextlib.suppress(OSError, EOFError):  # it ended without reading it all; its exit status tells
                self._channel.sendall(data)
                self._channel.shutdown_write()

        if data:
            threading.Thread(target=send, daemon=True).start()
        else:
            send()

    def result(self) -> Result:
        """Wait for the end. Raises DeployError beyond the command's bound, ConnectionLostError without a connection."""
        bound_s = self._command.timeout_s
        while not self._channel.status_event.wait(0.2):
            self._pulse.check(self._command)
            if self._unheard:
                raise self._unheard[0]
            if time.monotonic() - self._began > bound_s + GRACE_S:
                raise self._not_finished()
        took_s, status = time.monotonic() - self._began, self._channel.exit_status
        self._drain()
        if self._unheard:
            raise self._unheard[0]
        if status == -1:  # no status came: killed by a signal, or the connection ended
            self._pulse.check(self._command, is_at_end=True)
        if status in ENDED_BY_BOUND and took_s >= bound_s:
            raise self._not_finished()
        return Result(status=status, stdout="".join(self._out), stderr="".join(self._err))

    def _drain(self) -> None:
        """Read what is still on its way. A daemon that the command left behind may hold the output open for ever."""
        seen = -1
        while any(reader.is_alive() for reader in self._readers) and seen != (seen := self._received_bytes):
            for reader in self._readers:
                reader.join(QUIET_S)

    def close(self) -> None:
        """Let go of the command. One that may run for long ends with it (build/onhost/guard.py)."""
        self._channel.close()

    def _not_finished(self) -> DeployError:
        bound = f"{self._command.timeout_s:g} s"
        return DeployError(f"{self._command.what}: not finished, got {bound}. Look at the host {self._pulse.place}.")

    def _counting(self, receive: Receive) -> Receive:
        def counted(size: int) -> bytes:
            chunk = receive(size)
            self._received_bytes += len(chunk)
            return chunk

        return counted

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
    """A command that stays until its input is closed. See build.executor.Session."""

    def __init__(self, channel: Any, command: Command, pulse: Pulse) -> None:
        self._channel, self._command, self._pulse = channel, command, pulse
        self._lines: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._ended = False
        threading.Thread(target=self._read, daemon=True).start()
        threading.Thread(target=read_lines, args=(channel.recv_stderr, lambda _line: None), daemon=True).start()

    def send(self, line: str) -> None:
        try:
            self._channel.sendall(f"{line}\n".encode())
        except (OSError, EOFError) as error:
            raise lost(self._pulse.place, self._command, str(error)) from None

    def receive(self, timeout_s: float) -> str | None:
        try:
            line = self._lines.get(timeout=timeout_s)
        except queue.Empty:
            self._pulse.check(self._command)
            what = f"{self._command.what}: no answer, got {timeout_s:g} s"
            raise DeployError(f"{what}. Look at the host {self._pulse.place}.") from None
        if line is None and self._channel.status_event.wait(END_S) and self._channel.exit_status == -1:
            self._pulse.check(self._command, is_at_end=True)
        return line

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.shutdown_write()
        self._channel.status_event.wait(CLOSE_TIMEOUT_S)
        self._channel.close()

    def _read(self) -> None:
        read_lines(self._channel.recv, lambda line: self._lines.put(line.rstrip("\n")))
        self._lines.put(None)


def read_lines(receive: Receive, keep: OnLine) -> None:
    """Pass on each line as it comes, with its end; the last one may have none."""
    rest = b""
    while True:
        try:
            chunk = receive(CHUNK_BYTES)
        except OSError:
            chunk = b""
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            keep(line.decode("utf-8", "replace") + "\n")
        if not chunk:
            if rest:
                keep(rest.decode("utf-8", "replace"))
            return
