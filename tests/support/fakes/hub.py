"""A Hugging Face hub of our own: the calls that a download makes, with its headers, refusals and redirections."""

import hashlib
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support import web
from tests.support.web import served

NARROW = "Please enable access to public gated repositories in your fine-grained token settings"
LARGE_BYTES = 1000
"""The hub keeps files from some size on outside of git."""


@dataclass(slots=True)
class Repository:
    """A repository at one commit."""

    commit: str
    files: dict[str, bytes]
    branches: tuple[str, ...] = ("main",)
    is_gated: bool = False
    is_private: bool = False
    is_disabled: bool = False


@dataclass(slots=True)
class FakeHub:
    """What it holds, how it fails, and what was asked of it."""

    repositories: dict[str, Repository] = field(default_factory=dict)
    tokens: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """For each token the gated and private repositories that it opens."""
    narrow_tokens: tuple[str, ...] = ()
    """Fine-grained ones, which were not given the right to read gated repositories."""
    cut_after_bytes: list[int] = field(default_factory=list)
    """Each one ends one download from the CDN after so many bytes, as a broken connection does."""
    statuses: list[int] = field(default_factory=list)
    """Each one is the answer to one call of the hub, whatever it asked for."""
    cdn_statuses: list[int] = field(default_factory=list)
    """The same for calls of the CDN."""
    headers: dict[str, str] = field(default_factory=dict)
    """What comes with those answers."""
    listing: Any = None
    """What is told in place of a list of files; a text is told as a page."""
    keeps_files: bool = False
    """A mirror that has the bytes under its own name, and sends there those who ask for a file."""
    knows_ranges: bool = True
    changed: dict[str, bytes] = field(default_factory=dict)
    """What is sent in place of a file's content."""
    requests: list[tuple[str, str, str | None]] = field(default_factory=list)
    """Server (hub or cdn), path and authorization of each."""
    signatures: list[str] = field(default_factory=list)
    """Of each address at which the CDN was asked."""
    sent_bytes: int = 0
    """Of downloads."""
    read_bytes: int = 0
    """Of pieces that were asked for with their end."""
    sent: Counter[str] = field(default_factory=Counter)
    """All bytes of each file, however they were asked for."""
    url: str = ""
    cdn_url: str = ""
    lock: threading.Lock = field(default_factory=threading.Lock)


class Handler(web.Handler):
    """Answers from the state of its hub."""

    hub: ClassVar[FakeHub]
    role: ClassVar[str]
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        with self.hub.lock:
            self.hub.requests.append((self.role, parts.path, self.headers.get("Authorization")))
            self.hub.signatures += [parts.query] if self.role == "cdn" else []
            statuses = self.hub.statuses if self.role == "hub" else self.hub.cdn_statuses
            status = statuses.pop(0) if statuses else 200
        if status != 200:
            self.answer(status, {"error": "try later"}, self.hub.headers)
        elif self.role == "cdn" or parts.path.startswith("/files/"):
            name, _, path = unquote(parts.path).removeprefix("/files")[1:].partition("//")
            self.send_file(self.hub.repositories[name].files[path], path)
        elif parts.path.startswith("/api/models/"):
            name, _, revision = parts.path.removeprefix("/api/models/").partition("/revision/")
            self.describe(name, unquote(revision), has_blobs=parse_qs(parts.query).get("blobs") in (["true"], ["True"]))
        else:
            name, _, rest = unquote(parts.path)[1:].partition("/resolve/")
            self.resolve(name, *rest.split("/", 1))

    do_HEAD = do_GET  # noqa: N815 - the name of http.server

    def describe(self, name: str, revision: str, *, has_blobs: bool) -> None:
        repository = self.find(name, revision, is_content=False)
        if repository is None:
            return
        siblings = [
            {"rfilename": path, **(blob_of(content) if has_blobs else {})} for path, content in repository.files.items()
        ]
        told = {"id": name, "sha": repository.commit, "gated": repository.is_gated, "siblings": siblings}
        self.answer(200, told if self.hub.listing is None else self.hub.listing)

    def resolve(self, name: str, revision: str, path: str) -> None:
        repository = self.find(name, revision, is_content=True)
        if repository is None:
            return
        if path not in repository.files:
            self.answer(404, {"error": "Entry not found"}, {"X-Error-Code": "EntryNotFound"})
        elif len(content := repository.files[path]) >= LARGE_BYTES:
            place = f"{self.hub.url}/files" if self.hub.keeps_files else self.hub.cdn_url
            address = f"{place}/{name}//{path}?signature={len(self.hub.requests)}"
            linked = {"X-Linked-ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Linked-Size": str(len(content))}
            self.answer(302, {}, {"Location": address, "X-Repo-Commit": repository.commit, **linked})
        else:
            self.send_file(content, path, repository.commit)

    def find(self, name: str, revision: str, *, is_content: bool) -> Repository | None:
        """The repository, or an answer that refuses it as the hub does."""
        repository, bearer = self.hub.repositories.get(name), self.headers.get("Authorization")
        token = bearer.removeprefix("Bearer ") if bearer else None
        if token is not None and token not in self.hub.tokens:
            self.answer(401, {"error": "Invalid credentials in Authorization header"})
            return None
        opened = name in self.hub.tokens.get(token or "", ())
        if repository is None or (repository.is_private and not opened):
            # Without a token it asks for one, whether there is such a repository or not.
            self.answer(404 if token else 401, {"error": "Repository not found"}, {"X-Error-Code": "RepoNotFound"})
            return None
        if repository.is_disabled:
            self.answer(403, {"error": "disabled"}, {"X-Error-Message": "Access to this resource is disabled."})
            return None
        if is_content and repository.is_gated and token in self.hub.narrow_tokens:
            self.answer(403, {}, {"X-Error-Message": NARROW})
            return None
        if is_content and repository.is_gated and not opened:
            self.answer(403 if token else 401, {"error": "Access is restricted"}, {"X-Error-Code": "GatedRepo"})
            return None
        if revision not in (repository.commit, *repository.branches):
            self.answer(404, {"error": "Revision not found"}, {"X-Error-Code": "RevisionNotFound"})
            return None
        return repository

    def send_file(self, content: bytes, path: str, commit: str | None = None) -> None:
        content = self.hub.changed.get(path, content)
        asked = self.headers.get("Range") if self.hub.knows_ranges else None
        first, _, last = asked.removeprefix("bytes=").partition("-") if asked else ("0", "", "")
        body = content[int(first) : int(last) + 1 if last else None]
        with self.hub.lock:
            has_end = bool((self.headers.get("Range") or "-").partition("-")[2])
            is_cut = self.role == "cdn" and not has_end and self.hub.cut_after_bytes
            cut = self.hub.cut_after_bytes.pop(0) if is_cut else None
            sent = len(body) if cut is None else min(cut, len(body))
            self.hub.sent[path] += sent
            if has_end:
                self.hub.read_bytes += sent
            else:
                self.hub.sent_bytes += sent
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        if commit:
            self.send_header("X-Repo-Commit", commit)
        if asked:
            self.send_header("Content-Range", f"bytes {first}-{int(first) + len(body) - 1}/{len(content)}")
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(body if cut is None else body[:cut])
        self.close_connection = self.close_connection or cut is not None


def blob_of(content: bytes) -> dict[str, Any]:
    """What `?blobs=true` adds."""
    blob = {"size": len(content), "blobId": hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()}  # noqa: S324
    if len(content) < LARGE_BYTES:
        return blob
    large = {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 135}
    return {**blob, "blobId": "0" * 40, "lfs": large}


@contextmanager
def fake_hub() -> Iterator[FakeHub]:
    """Serve a hub, and the other address where it sends those who want a large file."""
    hub = FakeHub()
    with served(Handler, hub=hub, role="hub") as hub.url, served(Handler, hub=hub, role="cdn") as hub.cdn_url:
        yield hub
