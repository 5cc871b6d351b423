"""HTTP servers of tests: a handler that says nothing on its own account, and a server for the length of a block."""

import json
import socket
import socketserver
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any


class Handler(BaseHTTPRequestHandler):
    """What handlers of tests have in common. Its class attributes are set by `bound`."""

    def body(self) -> bytes:
        """What came with the request."""
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status: int, body: Any = b"", headers: Mapping[str, str] = MappingProxyType({})) -> None:
        """Send a text or bytes as they are, and everything else as JSON."""
        text = body if isinstance(body, str | bytes) else json.dumps(body)
        data = text.encode() if isinstance(text, str) else text
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def address_string(self) -> str:
        """Of a Unix socket's client there is none."""
        return "a test"

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002, the library's name
        """Say nothing: what came is remembered by whoever needs it."""


class Server(ThreadingHTTPServer):
    """A thread for each connection, none of which keeps the process alive."""

    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up waiting, or was killed, is what many tests want; all else is shown."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


def free_port() -> int:
    """A port of loopback that nobody has just now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def bound(handler: type[Handler], **attributes: Any) -> type[Handler]:
    """A handler that belongs to one server."""
    return type(handler.__name__, (handler,), attributes)


def start(server: socketserver.BaseServer) -> None:
    """Serve from a thread of its own."""
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()


def stop(server: socketserver.BaseServer) -> None:
    """End what was started."""
    server.shutdown()
    server.server_close()


@contextmanager
def served(handler: type[Handler], **attributes: Any) -> Iterator[str]:
    """The address of a server on loopback, for the length of a block."""
    server = Server(("127.0.0.1", 0), bound(handler, **attributes))
    start(server)
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        stop(server)
