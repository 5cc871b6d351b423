"""Who holds a stack's lock, and whether its holder still lives.

Pulumi's file and bucket backends write one JSON file a lock, below `.pulumi/locks/organization/<project>/<stack>/`.
A killed `pulumi` leaves its own behind, and every later run refuses to start.
"""

import json
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import unquote, urlsplit

from build.cloud.gcloud import Gcloud
from build.cloud.pulumi_cli import Pulumi
from build.errors import DeployError
from build.remote.target import expanded
from deployment.document import read_text
from deployment.problems import shown
from deployment.stack.name import StackName

# Clocks of the kernel and of the lock's author differ by less than this on one machine.
CLOCK_SLACK_S = 2.0
PID_END = 2**31  # of pid_t
SIDECAR = ".attrs"
"""What the file backend writes beside each file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Lock:
    """One lock, as its owner wrote it."""

    place: str
    pid: int
    username: str
    hostname: str
    timestamp: datetime

    @property
    def owner(self) -> str:
        return f"{self.username}@{self.hostname}, process {self.pid}, since {self.timestamp:%Y-%m-%d %H:%M:%S} UTC"


def parse_lock(text: str, place: str) -> Lock:
    """Read a lock. Raises DeployError for what is none."""
    try:
        data = json.loads(text)
        pid, username, hostname, timestamp = (data[key] for key in ("pid", "username", "hostname", "timestamp"))
    except (ValueError, RecursionError, KeyError, TypeError):
        what = "no JSON object with pid, username, hostname and timestamp"
        raise DeployError(f"{place}: not a lock of Pulumi's: {what}. Look at it by hand.") from None
    try:
        since = datetime.fromisoformat(str(timestamp))
    except ValueError:
        since = None
    if since is None or not isinstance(pid, int) or not 0 < pid < PID_END:
        what = f"no process and time, got {shown(pid)} and {shown(timestamp)}"
        raise DeployError(f"{place}: not a lock of Pulumi's: {what}. Look at it by hand.")
    return Lock(place=place, pid=pid, username=str(username), hostname=str(hostname), timestamp=since)


def read_locks(pulumi: Pulumi, gcloud: Gcloud) -> list[Lock]:
    """Find the stack's locks. Raises DeployError for a backend whose locks are elsewhere."""
    backend = pulumi.backend()
    inside = f".pulumi/locks/organization/{pulumi.project}/{StackName(pulumi.stack).short}"
    if backend.startswith("file://"):
        folder = local_backend(backend, pulumi.directory) / inside
        return [parse_lock(read_text(path), str(path)) for path in sorted(folder.glob("*.json"))]
    if backend.startswith("gs://"):
        pattern = f"{backend.partition('?')[0].rstrip('/')}/{inside}/*.json"
        listed = gcloud.ask_or_none("list the stack's locks", "storage", "objects", "list", pattern) or ()
        places = [f"gs://{each['bucket']}/{each['name']}" for each in listed]
        return [parse_lock(json.dumps(gcloud.ask("read a lock", "storage", "cat", place)), place) for place in places]
    raise DeployError(
        f"{backend}: its locks cannot be read from here: a backend that is neither file:// nor gs://. Make sure "
        f"that nobody runs Pulumi on {pulumi.stack}, then run `pulumi cancel --stack {pulumi.stack}`."
    )


def local_backend(url: str, directory: Path) -> Path:
    """The folder of a file backend. `file://~` is the home directory, and a relative path starts where Pulumi runs."""
    parts = urlsplit(url)
    path = expanded(unquote(f"{parts.netloc}{parts.path}"))
    return path if path.is_absolute() else directory / path


def started_at(pid: int) -> float | None:
    """When a process began, in seconds since 1970; None when there is none. Without /proc, a living one is old."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # it lives, and is somebody else's
    try:
        stat = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
        booted = next(
            int(line.split()[1]) for line in Path("/proc/stat").read_text().splitlines() if line.startswith("btime ")
        )
    except OSError:
        return 0.0
    state, *fields = stat.rpartition(")")[2].split()
    if state == "Z":
        return None  # it ended, and only its exit status is left
    return booted + int(fields[18]) / os.sysconf("SC_CLK_TCK")


def why_kept(
    lock: Lock,
    *,
    foreign_host: str | None,
    here: str | None = None,
    began: Callable[[int], float | None] = started_at,
) -> str | None:
    """Say why a lock may not be released; None when its owner is gone.

    A process that began after the lock was written has only inherited the number.
    """
    here = here or socket.gethostname()
    if lock.hostname != here:
        if foreign_host == lock.hostname:
            return None
        return (
            f"{lock.place}: held from another computer, got {lock.owner}. Make sure that process {lock.pid} "
            f"has ended on {lock.hostname}, then add `--foreign-host {lock.hostname}`."
        )
    start = began(lock.pid)
    if start is None or start > lock.timestamp.timestamp() + CLOCK_SLACK_S:
        return None
    return f"{lock.place}: held by a process that runs, got {lock.owner}. Wait until it ends, or end it yourself."


def release(lock: Lock, gcloud: Gcloud) -> None:
    """Remove exactly this lock: one that somebody took in the meantime stays."""
    if lock.place.startswith("gs://"):
        gcloud.ask_or_none("release the lock", "storage", "rm", lock.place)
        return
    for name in (lock.place, lock.place + SIDECAR):
        Path(name).unlink(missing_ok=True)
