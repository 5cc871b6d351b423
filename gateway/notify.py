"""Tell systemd how far an engine is (sd_notify(3)), from outside the engine and without a library."""

import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

PROBE_TIMEOUT_S = 1.0
STATUS_EVERY_S = 10.0
EXTENSION_S = 60
"""How long systemd waits for our next word; a launcher that hangs is noticed after this."""


def is_healthy(address: Path) -> bool:
    """Ask /health over the engine's socket; blocks for at most a few times PROBE_TIMEOUT_S."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(PROBE_TIMEOUT_S)
        try:
            connection.connect(os.fspath(address))
            connection.sendall(b"GET /health HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n")
            return connection.recv(64).split(b" ")[1:2] == [b"200"]
        except OSError:
            return False


def send(message: str) -> None:
    """Send one datagram to $NOTIFY_SOCKET; a no-op when nobody listens, as under supervisord."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as datagram:
        # A leading @ stands for the NUL byte of an abstract address.
        datagram.connect("\0" + address[1:] if address.startswith("@") else address)
        datagram.sendall(message.encode())


@dataclass(slots=True, kw_only=True)
class Readiness:
    """Announces one engine: asks for more time while it loads, says READY once, then is silent."""

    address: Path
    load_timeout_s: float
    """After this the extensions stop, and systemd fails the start."""
    is_healthy: Callable[[Path], bool] = is_healthy
    started: float = field(default_factory=time.monotonic)
    is_ready: bool = False
    next_status_s: float = 0.0

    def tick(self) -> None:
        """Probe and report; the launcher calls it about once a second."""
        if self.is_ready:
            return
        loading_s = time.monotonic() - self.started
        if self.is_healthy(self.address):
            self.is_ready = True
            send(f"READY=1\nSTATUS=ready after {loading_s:.0f} s")
            return
        if loading_s >= self.next_status_s and loading_s < self.load_timeout_s:
            self.next_status_s = loading_s + STATUS_EVERY_S
            send(f"STATUS=loading for {loading_s:.0f} s\nEXTEND_TIMEOUT_USEC={EXTENSION_S * 1_000_000}")
