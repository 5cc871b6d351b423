"""Where a build takes its material from: the internet, a mirror, or the finished wheels of another host."""

import os
import re
from dataclasses import dataclass

from build.errors import DeployError

PLACE = re.compile(r"(/|file:///|https?://[^/\s]+)\S*")
STORE = re.compile(r"(/|gs://[a-z0-9][a-z0-9._-]+)\S*")


@dataclass(frozen=True, slots=True, kw_only=True)
class Mirror:
    """A directory of the host, or an address it reaches, with wheels/, sdists/ and git/<name>.git."""

    place: str

    @property
    def index_args(self) -> tuple[str, ...]:
        """Pip's arguments to look there and nowhere else."""
        found = (word for folder in ("wheels", "sdists") for word in ("--find-links", f"{self.place}/{folder}/"))
        return ("--no-index", *found)

    def repository(self, name: str) -> str:
        return f"{self.place}/git/{name}.git"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What to use instead of the internet, and instead of compiling."""

    mirror: Mirror | None = None
    wheels: str | None = None
    """A directory of the host or a bucket, where wheels of finished builds are taken from and put."""

    @property
    def index_args(self) -> tuple[str, ...]:
        return self.mirror.index_args if self.mirror is not None else ()

    def repository(self, name: str, upstream: str) -> str:
        """Where to fetch a git repository from."""
        return self.mirror.repository(name) if self.mirror is not None else upstream


def choose_sources(mirror: str | None = None, wheels: str | None = None) -> Sources:
    """Take what was asked for, else AXION_MIRROR and AXION_WHEELS, else the internet."""
    mirror, wheels = mirror or os.environ.get("AXION_MIRROR"), wheels or os.environ.get("AXION_WHEELS")
    problems = []
    if mirror and not PLACE.fullmatch(mirror):
        problems.append(
            f"--mirror: neither an absolute path on the host nor an address, got {mirror!r}. "
            "Name the directory that holds wheels/, sdists/ and git/."
        )
    if wheels and not STORE.fullmatch(wheels):
        problems.append(
            f"--wheels: neither an absolute path on the host nor a bucket, got {wheels!r}. "
            "Name a directory such as /mnt/wheels, or gs://BUCKET/FOLDER."
        )
    if problems:
        raise DeployError(*problems)
    return Sources(
        mirror=Mirror(place=mirror.rstrip("/")) if mirror else None, wheels=wheels.rstrip("/") if wheels else None
    )
