"""A metadata server, and the two of Google's addresses that a host calls with the token it gets there."""

import hashlib
import http.server
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(slots=True)
class MetadataServer:
    """What it serves, what it was told, and how it fails."""

    url: str = ""
    values: dict[str, str] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)
    posted: list[tuple[str, str, str]] = field(default_factory=list)
    """Path, authorization and body of every POST."""
    refuse_writes: int = 0
    """How many PUTs to answer with 503 first."""
    post_status: int = 200
    replaced_once_asked: dict[str, str] = field(default_factory=dict)
    """What a value becomes right after it was read, unseen by whoever waits."""
    changed: threading.Event = field(default_factory=threading.Event)
    """Set when a value changed that somebody may wait for."""

    def change(self, path: str, value: str) -> None:
        """Change a value, and answer whoever waits for that."""
        self.values[path] = value
        self.changed.set()


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers from the state of its server."""

    state: ClassVar[MetadataServer]

    def answer(self, status: int, body: str = "") -> None:
        self.send_response(status)
        self.send_header("ETag", self.tag(self.path.strip("/").partition("?")[0]))
        self.send_header("Content-Length", str(len(body.encode())))
        self.end_headers()
        self.wfile.write(body.encode())

    def tag(self, path: str) -> str:
        """Google tags each value, so that waiting can start from the one that is known."""
        return hashlib.sha256(self.state.values.get(path, "").encode()).hexdigest()[:16]

    def body(self) -> str:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()

    @property
    def is_from_a_guest(self) -> bool:
        return self.headers.get("Metadata-Flavor") == "Google"

    def do_GET(self) -> None:
        path, _, query = self.path.strip("/").partition("?")
        if not self.is_from_a_guest:
            self.answer(403)
            return
        known = [part.partition("=")[2] for part in query.split("&") if part.startswith("last_etag=")]
        if "wait_for_change=true" in query and known in ([], [self.tag(path)]):
            self.state.changed.wait(timeout=20)
        value = self.state.values.get(path)
        self.answer(404 if value is None else 200, value or "")
        if path in self.state.replaced_once_asked:
            self.state.values[path] = self.state.replaced_once_asked.pop(path)

    def do_PUT(self) -> None:
        text = self.body()
        if not self.is_from_a_guest or self.state.refuse_writes:
            self.state.refuse_writes -= 1
            self.answer(503 if self.is_from_a_guest else 403)
            return
        self.state.written[self.path.strip("/")] = text
        self.answer(200)

    def do_POST(self) -> None:
        self.state.posted.append((self.path, self.headers.get("Authorization", ""), self.body()))
        self.answer(self.state.post_status, '{"name": "operation-1"}')

    def log_message(self, *_arguments: object) -> None:
        """Say nothing."""


@contextmanager
def metadata_server() -> Iterator[MetadataServer]:
    """Serve on a free port until the block ends."""
    state = MetadataServer()
    handler = type("BoundHandler", (Handler,), {"state": state})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.url = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield state
    finally:
        state.changed.set()
        server.shutdown()
        server.server_close()


def wait_until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Poll a condition; a test that waits says what for."""
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.02)
