"""A network of one host's own: nothing leaves it, and only who enters it on purpose can reach in.

A socket belongs to the network in which it was made, for good. So a thread of this process enters, makes its socket,
and comes back: the metadata server listens inside a host while it runs outside.
"""

import ctypes
import os
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.support.arm.host import run

LIBC = ctypes.CDLL(None, use_errno=True)
CLONE_NEWNET = 0x40000000  # linux/sched.h
HERE = Path("/proc/thread-self/ns/net")


class Network:
    """A network namespace, kept by a file that it is mounted on."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def make(self, addresses: Sequence[str]) -> None:
        """Make it, with these addresses of its own."""
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()
        # `ip netns add` would leave /run/netns mounted for good.
        run("unshare", f"--net={self.file}", "ip", "link", "set", "lo", "up", what="make a network")
        for address in addresses:
            self.run("ip", "address", "add", address, "dev", "lo")

    def run(self, *argv: str) -> None:
        run("nsenter", f"--net={self.file}", *argv, what=f"{argv[0]} in a network of its own")

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This thread, and no other, is in the network for as long as the block."""
        outside = os.open(HERE, os.O_RDONLY)
        try:
            inside = os.open(self.file, os.O_RDONLY)
            try:
                _enter(inside)
            finally:
                os.close(inside)
            try:
                yield
            finally:
                _enter(outside)
        finally:
            os.close(outside)

    def listen(self, address: str, port: int) -> socket.socket:
        """Listen inside; it is served from wherever the socket is."""
        with self.entered():
            return socket.create_server((address, port))

    def connect(self, port: int, timeout_s: float) -> socket.socket:
        """Connect to a server of the host. Raises OSError where nobody listens."""
        with self.entered():
            return socket.create_connection(("127.0.0.1", port), timeout=timeout_s)

    def remove(self) -> None:
        """Forget it; it ends with the last process in it. Idempotent."""
        while os.path.ismount(self.file):  # Path.is_mount is for directories only
            subprocess.run(["umount", str(self.file)], check=True)
        self.file.unlink(missing_ok=True)


def _enter(network: int) -> None:
    if LIBC.setns(network, CLONE_NEWNET) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
