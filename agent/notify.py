"""Tell systemd how far an engine is (sd_notify(3)), from outside the engine and without a library."""

import contextlib
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agent.unix_http import UnixConnection, call

PROBE_TIMEOUT_S = 1.0
SEND_TIMEOUT_S = 2.0
STATUS_EVERY_S = 10.0
EXTENSION_S = 60
"""How long systemd waits for our next word; a launcher that hangs is noticed after this."""


def is_healthy(address: Path) -> bool:
    """Ask /health over the engine's socket; blocks for at most a few times PROBE_TIMEOUT_S."""
    return call(UnixConnection(address, PROBE_TIMEOUT_S), "GET", "/health")[0] == 200


def send(message: str) -> None:
    """Send one datagram to $NOTIFY_SOCKET; a no-op when nobody listens, as under supervisord.

    Blocks for at most SEND_TIMEOUT_S and never fails: a manager that is busy must not stop what it manages.
    """
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram,
    ):
        datagram.settimeout(SEND_TIMEOUT_S)
        # A leading @ stands for the NUL byte of an abstract address.
        datagram.connect("\0" + address[1:] if address.startswith("@") else address)
        datagram.sendall(message.encode())


def watchdog_period_s(environment: Mapping[str, str], pid: int) -> float | None:
    """How often systemd wants to hear from this very process; None when it does not."""
    if environment.get("WATCHDOG_PID", str(pid)) != str(pid):
        return None
    microseconds = environment.get("WATCHDOG_USEC", "")
    return int(microseconds) / 1e6 if microseconds.isdecimal() and int(microseconds) else None


@dataclass(slots=True, kw_only=True)
class Readiness:
    """Announces one engine: asks for more time while it loads, says READY once, then leaves it to the watchdog."""

    address: Path
    load_timeout_s: float
    """After this the extensions stop, and systemd fails the start."""
    is_healthy: Callable[[Path], bool] = is_healthy
    watch: Callable[[], None] = lambda: None
    """Called instead, once the engine is ready."""
    started: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    next_status_s: float = 0.0

    def tick(self) -> None:
        """Probe and report; the launcher calls it about once a second."""
        if self.is_ready:
            self.watch()
            return
        loading_s = time.monotonic() - self.started
        if self.is_healthy(self.address):
            self.is_ready = True
            send(f"READY=1\nSTATUS=ready after {loading_s:.0f} s")
            return
        if loading_s >= self.next_status_s and loading_s < self.load_timeout_s:
            self.next_status_s = loading_s + STATUS_EVERY_S
            send(f"STATUS=loading for {loading_s:.0f} s\nEXTEND_TIMEOUT_USEC={EXTENSION_S * 1_000_000}")
