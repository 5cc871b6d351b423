"""A checkpoint's files: as a hub or another source lists them, and as they are once they lie on a disk."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

CHUNK_BYTES = 1 << 20


class PullError(Exception):
    """Sentences for a person, one each: where: what, got X. Do Y."""

    def __init__(self, *problems: str) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class UnreachableError(PullError):
    """A source that answers nothing at all."""


@dataclass(frozen=True)
class ListedFile:
    """One file as its source describes it."""

    path: str
    size: int
    sha256: str | None
    """None for small files of a hub: git keeps those itself."""
    git_sha1: str | None = None

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
