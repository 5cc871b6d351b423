"""One request at a time to a server of this host, on an address or on a Unix socket."""

import http.client
import json
import socket
from pathlib import Path
from typing import Any


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self.path))


class TcpConnection(http.client.HTTPConnection):
    """HTTP to host:port. What is no address is one where nobody answers."""

    def __init__(self, address: str, timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self.address = address

    def connect(self) -> None:
        host, _, port = self.address.rpartition(":")
        try:
            self.sock = socket.create_connection((host.strip("[]"), int(port)), self.timeout)
        except (ValueError, OverflowError):
            raise OSError(f"{self.address}: no address") from None


def call(
    connection: http.client.HTTPConnection, method: str, path: str, body: Any = None, key: "str | None" = None
) -> tuple[int, bytes]:
    """One request; status 0 when nobody answers."""
    headers = {"Content-Type": b"application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}".encode()
    try:
        connection.request(method, path, json.dumps(body) if body else None, headers)
        response = connection.getresponse()
        return response.status, response.read()
    except (OSError, http.client.HTTPException) as error:
        return 0, str(error).encode(errors="replace")
    finally:
        connection.close()
