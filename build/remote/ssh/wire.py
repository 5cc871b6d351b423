"""A channel to a host from its login on: when our program is there, and what is its own of all that comes."""

import contextlib
import threading
import time
from collections.abc import Callable
from typing import Any

from build.errors import DeployError
from build.remote.command import Command
from build.remote.executor import OnLine
from build.remote.ssh.frames import Frames, Lines, Part
from build.remote.ssh.login import SHELL_TIMEOUT_S, SUDO_TIMEOUT_S, Login
from build.remote.ssh.pulse import Pulse

CHUNK_BYTES = 65536
NOISE_BYTES_MAX = 65536
END_S = 1.0
STAGES = ("", "shell", "root")
"""How far the login has come: nothing of ours ran yet, /bin/sh did, /bin/sh did as root."""


class Wire:
    """Reads a channel, from its start to its end."""

    def __init__(self, channel: Any, tag: str) -> None:
        self.channel = channel
        self.ended = threading.Event()
        """The command has ended, or at least nothing more comes from it."""
        self._status: int | None = None
        self._out, self._err = Lines(lambda _line: None), Lines(lambda _line: None)
        self._tell_end: Callable[[], None] = lambda: None
        self._noise = {(stage, stream): bytearray() for stage in STAGES for stream in ("out", "err")}
        self._changed = threading.Condition()
        self._stages = {"out": "", "err": ""}
        self._frames = {"out": Frames(tag), "err": Frames(tag)}
        self._readers = [
            threading.Thread(target=self._read, args=(receive, stream), daemon=True)
            for receive, stream in ((channel.recv, "out"), (channel.recv_stderr, "err"))
        ]
        for reader in self._readers:
            reader.start()

    @property
    def status(self) -> int:
        """How the command ended, by its own frame, else as the channel says; -1 when nobody says."""
        if self._status is not None:
            return self._status
        self.channel.status_event.wait(END_S)
        return int(self.channel.exit_status)

    def enter(self, login: Login, pulse: Pulse, command: Command) -> None:
        """Wait until our program is there, as root. Raises DeployError saying who ended the login, or holds it up."""
        for stage, bound_s, problem in (
            ("shell", SHELL_TIMEOUT_S, login.shell_problem),
            ("root", SUDO_TIMEOUT_S, login.root_problem),
        ):
            before = STAGES[STAGES.index(stage) - 1]
            if not self._wait_for(stage, bound_s, pulse, command):
                status = self.status if self.ended.is_set() else None
                if status == -1:
                    pulse.check(command, is_at_end=True)
                raise DeployError(problem(self.noise(before), status))

    def listen(self, out: OnLine, err: OnLine) -> None:
        """Name who gets the command's lines. Before it is sent."""
        self._out, self._err = Lines(out), Lines(err)

    def at_end(self, tell: Callable[[], None]) -> None:
        """Name who hears that no more lines come."""
        self._tell_end = tell
        if self.ended.is_set():
            tell()

    def noise(self, stage: str) -> str:
        """What came on either stream after one announcement and before the next, and is none of the command's."""
        if self.ended.is_set():
            for reader in self._readers:
                reader.join(END_S)
        unread = {each: frames.rest for each, frames in self._frames.items() if self._stages[each] == stage}
        heard = (bytes(self._noise[stage, each]) + unread.get(each, b"") for each in self._frames)
        return b"\n".join(heard).decode("utf-8", "replace")

    @property
    def has_ended_unsaid(self) -> bool:
        """Whether nothing of ours said how it ended."""
        return self.ended.is_set() and self._status is None

    def close(self) -> None:
        """Let go. A host that allows one session at a time gets the moment in which this one ends."""
        if self._status is not None:
            self.channel.status_event.wait(END_S)
        self.channel.close()

    def _wait_for(self, stage: str, bound_s: float, pulse: Pulse, command: Command) -> bool:
        deadline = time.monotonic() + bound_s
        with self._changed:
            while STAGES.index(self._stages["out"]) < STAGES.index(stage):
                if self.ended.is_set() or time.monotonic() > deadline:
                    return False
                pulse.check(command)
                self._changed.wait(0.2)
        return True

    def _read(self, receive: Callable[[int], bytes], stream: str) -> None:
        frames = self._frames[stream]
        while True:
            try:
                chunk = receive(CHUNK_BYTES)
            except OSError:
                chunk = b""
            for part in frames.feed(chunk) if chunk else frames.close():
                self._take(part, stream)
            if not chunk:
                break
        if stream == "out":
            self._end()

    def _take(self, part: Part, stream: str) -> None:
        if part.word == "out":
            self._out.feed(part.data)
        elif part.word == "err":
            self._err.feed(part.data)
        elif part.word == "end":
            self._status = part.status
            self._end()
        elif part.word == "noise":
            kept = self._noise[self._stages[stream], stream]
            kept += part.data[: NOISE_BYTES_MAX - len(kept)]
        else:
            with self._changed:
                self._stages[stream] = part.word
                self._changed.notify_all()

    def _end(self) -> None:
        if self.ended.is_set():
            return
        self._out.close()
        self._err.close()
        with self._changed:
            self.ended.set()
            self._changed.notify_all()
        self._tell_end()

    def send(self, data: bytes) -> None:
        """Send input. Raises OSError or EOFError when nobody takes it any more."""
        self.channel.sendall(data)

    def shut(self) -> None:
        """Send the end of the input."""
        with contextlib.suppress(OSError, EOFError):
            self.channel.shutdown_write()
