"""A proxy that refuses everything and remembers what it was asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

REFUSAL = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 7\r\nConnection: close\r\n\r\nrefused"


@dataclass(slots=True)
class Proxy:
    """Where it listens, and the first line of each request; of SOCKS, the bytes."""

    port: int
    asked: list[bytes] = field(default_factory=list)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"


@contextmanager
def refusing_proxy() -> Iterator[Proxy]:
    """Listen for the length of a block, on loopback."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        proxy = Proxy(server.getsockname()[1])
        threading.Thread(target=_serve, args=(server, proxy), daemon=True).start()
        yield proxy
        server.shutdown(socket.SHUT_RDWR)


def _serve(server: socket.socket, proxy: Proxy) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:
            return
        with connection:
            connection.settimeout(5)
            proxy.asked.append(connection.recv(4096).partition(b"\r\n")[0])
            connection.sendall(REFUSAL)
