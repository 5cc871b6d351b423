"""Whether the way to a host is still there, and the error when it is not."""

import contextlib
import threading
import time
from typing import Any

import paramiko

from build.errors import ConnectionLostError
from build.remote.command import Command

# A peer that is gone says nothing: TCP would wait for a quarter of an hour. sshd answers each beat.
BEAT_S, SILENCE_S = 5.0, 30.0
END_S = 1.0


def lost(place: str, command: Command, got: str) -> ConnectionLostError:
    """Build the error of a connection that broke."""
    return ConnectionLostError(
        f"{place}: the connection broke while it was to {command.what}: {got.rstrip('.')}. "
        "Models there keep serving. Run the same command again: it continues where this one stopped."
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
