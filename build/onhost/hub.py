"""Read a model repository of a Hugging Face hub, or of a mirror of it, with the standard library alone.

What is downloaded is what the commit holds: large files are known by their SHA-256, the others by git's own digest.
"""

import hashlib
import http.client
import json
import os
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import quote, urlsplit

CHUNK_BYTES = 1 << 20
TIMEOUT_S = 60.0
TRIES = 8
"""In a row without a byte in between."""
PAUSE_MAX_S = 30.0
HOW_TO_AUTHORIZE = (
    "`pulumi config set --secret axion:hubToken` and `pulumi up` for a host of a stack, HF_TOKEN for this computer"
)


class PullError(Exception):
    """A sentence for a person: where: what, got X. Do Y."""


class PassingError(Exception):
    """A failure that may be gone at the next try."""


PASSING = (
    *(PassingError, urllib.error.URLError, http.client.HTTPException),
    *(ConnectionError, TimeoutError, ssl.SSLError),
)
"""What another try may cure. A full disk is not among them."""


@dataclass(frozen=True)
class HubFile:
    """One file as the hub describes it."""

    path: str
    size: int
    sha256: str | None
    """None for small files: git keeps those itself."""
    git_sha1: str | None

    def matches(self, found: "Digests") -> bool:
        if found.size != self.size:
            return False
        return found.sha256 == self.sha256 if self.sha256 else self.git_sha1 in (None, found.git_sha1)


@dataclass(frozen=True)
class Digests:
    """What a file on disk is."""

    size: int
    sha256: str
    git_sha1: str


def digests_of(path: Path) -> Digests:
    """Read a file once, and see that it is on the disk itself: a rename must not overtake its content."""
    size = path.stat().st_size
    sha256, git = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            sha256.update(chunk)
            git.update(chunk)
        os.fsync(file.fileno())
    return Digests(size, sha256.hexdigest(), git.hexdigest())


class WithoutToken(urllib.request.HTTPRedirectHandler):
    """Follows a redirection to where the bytes are; the token is for the hub only."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: http.client.HTTPMessage,
        newurl: str,
    ) -> urllib.request.Request | None:
        follow = super().redirect_request(req, fp, code, msg, headers, newurl)
        if follow is not None and urlsplit(newurl)[:2] != urlsplit(req.full_url)[:2]:
            follow.remove_header("Authorization")
        return follow


class Hub:
    """A hub, as one who has a token or has none."""

    def __init__(self, endpoint: str, token: str | None, *, pause_s: float = 0.5) -> None:
        self.endpoint, self._token, self._pause_s = endpoint.rstrip("/"), token, pause_s
        self._opener = urllib.request.build_opener(WithoutToken())

    def listing(self, repository: str, revision: str) -> tuple[str, list[HubFile]]:
        """Return the commit that a revision is, and its files."""
        address = f"{self.endpoint}/api/models/{repository}/revision/{quote(revision, safe='')}?blobs=true"

        def read() -> Any:
            with self._open(address, repository, revision) as answer:
                return json.loads(answer.read())

        data = self._retried(read, f"{repository}: its list of files")
        files = [_file(each) for each in data["siblings"]]
        for file in files:
            if not file.path or file.path.startswith("/") or ".." in file.path.split("/") or "\\" in file.path:
                raise PullError(f"{repository}: a file outside of the repository, got {file.path!r}. Do not use it.")
        return data["sha"], files

    def download(self, repository: str, commit: str, file: HubFile, part: Path, tell: Callable[[int], None]) -> None:
        """Bring `part` to the file's full length, from the length that it has. `tell` hears of each piece's bytes."""
        address = f"{self.endpoint}/{repository}/resolve/{commit}/{quote(file.path)}"
        part.touch()

        def fetch() -> None:
            start = part.stat().st_size
            if start < file.size:
                with self._open(address, repository, commit, {"Range": f"bytes={start}-"} if start else {}) as answer:
                    _append(answer, part, start, tell)
            if part.stat().st_size < file.size:
                raise PassingError("the connection ended early")

        self._retried(fetch, f"{repository}: {file.path}", lambda: part.stat().st_size)

    def _open(
        self, address: str, repository: str, revision: str, headers: Mapping[str, str] | None = None
    ) -> http.client.HTTPResponse:
        request = urllib.request.Request(address, headers=dict(headers or {}))  # noqa: S310 - http only for mirrors
        request.add_header("User-Agent", "axion-deploy")
        if self._token:
            request.add_header("Authorization", f"Bearer {self._token}")
        try:
            answer: http.client.HTTPResponse = self._opener.open(request, timeout=TIMEOUT_S)
            return answer
        except urllib.error.HTTPError as error:
            if error.code in (408, 429) or error.code >= 500:
                raise PassingError(f"{error.code} {error.reason}") from None
            raise PullError(self._refused(error, repository, revision)) from None

    def _retried(self, act: Callable[[], Any], what: str, progress: Callable[[], int] = lambda: 0) -> Any:
        """Try again while it is the network that fails, and for as long as bytes keep coming."""
        failures, last = 0, progress()
        while True:
            try:
                return act()
            except PASSING as error:
                failures = 1 if progress() > last else failures + 1
                last = progress()
                if failures >= TRIES:
                    raise PullError(
                        f"{what} cannot be downloaded from {self.endpoint}, got {error} {TRIES} times. "
                        "Run the same command again: it goes on where it stopped."
                    ) from None
                time.sleep(min(self._pause_s * 2 ** (failures - 1), PAUSE_MAX_S))

    def _refused(self, error: urllib.error.HTTPError, repository: str, revision: str) -> str:
        """Say why the hub refuses. Without a token it does not tell a private repository from one that is not there."""
        code, got = error.headers.get("X-Error-Code", ""), f"got {error.code}"
        page = f"{self.endpoint}/{repository}"
        if code == "RevisionNotFound":
            return f"{repository}: no such revision, got {revision}. Take a commit from {page}/commits/main."
        if code == "GatedRepo" or (error.code == 403 and code != "RepoNotFound"):
            if self._token:
                return f"{repository}: gated, {got} with this token. Accept the terms at {page} with its account."
            terms = f"Accept the terms at {page}, then give a token: {HOW_TO_AUTHORIZE}."
            return f"{repository}: gated, {got} without a token. {terms}"
        if error.code == 401 and self._token and code != "RepoNotFound":
            return f"{repository}: the token is refused, {got}. Make a new one ({HOW_TO_AUTHORIZE})."
        if code == "EntryNotFound":
            return f"{repository}: a file of its own list is missing, {got}. Try again later."
        if error.code in (401, 404):
            hidden = "" if self._token else f" If it is private, give a token: {HOW_TO_AUTHORIZE}."
            return f"{repository}: no such repository, {got}. Correct weights.hub in the models file.{hidden}"
        return f"{repository}: refused by {self.endpoint}, {got} {error.reason}. Look at {page}."


def _append(answer: http.client.HTTPResponse, part: Path, start: int, tell: Callable[[int], None]) -> None:
    is_whole = start > 0 and answer.status != http.client.PARTIAL_CONTENT
    if is_whole:  # a server that knows no ranges sends all of it again
        tell(-start)
    with part.open("wb" if is_whole else "ab") as file:
        while chunk := answer.read(CHUNK_BYTES):
            file.write(chunk)
            tell(len(chunk))


def _file(entry: Mapping[str, Any]) -> HubFile:
    large: Mapping[str, Any] = entry.get("lfs") or {}
    size = int(large["size"] if large else entry["size"])
    return HubFile(str(entry["rfilename"]), size, large.get("sha256"), None if large else entry.get("blobId"))
