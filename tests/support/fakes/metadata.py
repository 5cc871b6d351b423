"""A metadata server, and the two of Google's addresses that a host calls with the token it gets there."""

import hashlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

from tests.support import web

ROOT = "/computeMetadata/v1"
WAIT_S = 600.0
"""How long a question waits for a change at most, whatever it asks for."""


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
    asked: int = 0
    """How often it was asked for a value."""
    changed: threading.Event = field(default_factory=threading.Event)
    """Set when a value changed that somebody may wait for."""

    def change(self, path: str, value: str) -> None:
        """Change a value, and answer whoever waits for that."""
        self.values[path] = value
        self.changed.set()

    def get(self, key: str) -> str | None:
        self.asked += 1
        value = self.values.get(key)
        if key in self.replaced_once_asked:
            self.values[key] = self.replaced_once_asked.pop(key)
        return value

    def wait(self, key: str, known: str | None, timeout_s: float) -> str | None:
        if known in (None, tag(self.values.get(key))):
            self.changed.wait(timeout=20)
        return self.get(key)

    def publish(self, key: str, value: str) -> int:
        if self.refuse_writes:
            self.refuse_writes -= 1
            return 503
        self.written[key] = value
        return 200


def tag(value: str | None) -> str:
    """Google tags each value, so that waiting can start from the one that is known."""
    return hashlib.sha256((value or "").encode()).hexdigest()[:16]


class Handler(web.Handler):
    """Google's rules of asking, whoever knows the values: a header that no browser sends, and no forwarding."""

    protocol_version = "HTTP/1.1"
    metadata: ClassVar[Any]
    """Answers `get`, `wait` and `publish`."""

    def do_GET(self) -> None:
        key, query = self._asked()
        if not self._is_allowed():
            return
        if query.get("wait_for_change") == "true":
            value = self.metadata.wait(key, query.get("last_etag"), float(query.get("timeout_sec", WAIT_S)))
        else:
            value = self.metadata.get(key)
        self._tell(404 if value is None else 200, value or "")

    def do_PUT(self) -> None:
        key, _ = self._asked()
        text = self.body().decode()
        if self._is_allowed():
            self._tell(self.metadata.publish(key, text))

    def _asked(self) -> tuple[str, dict[str, str]]:
        parts = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        return parts.path.removeprefix(ROOT).lstrip("/"), query

    def _is_allowed(self) -> bool:
        is_allowed = self.headers.get("Metadata-Flavor") == "Google" and "X-Forwarded-For" not in self.headers
        if not is_allowed:
            self._tell(403)
        return is_allowed

    def _tell(self, status: int, text: str = "") -> None:
        self.answer(status, text, {"Metadata-Flavor": "Google", "ETag": tag(text)})


class WithGoogle(Handler):
    """And what a host tells Google's own addresses."""

    def do_POST(self) -> None:
        self.metadata.posted.append((self.path, self.headers.get("Authorization", ""), self.body().decode()))
        self.answer(self.metadata.post_status, '{"name": "operation-1"}')


@contextmanager
def metadata_server() -> Iterator[MetadataServer]:
    """Serve on a free port until the block ends."""
    state = MetadataServer()
    with web.served(WithGoogle, metadata=state) as state.url:
        try:
            yield state
        finally:
            state.changed.set()
