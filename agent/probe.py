"""Print what a host is and what it runs in one document, so that planning takes a single round trip. Reads only."""

import errno
import hashlib
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from agent.certificate import CertificateError, load
from agent.checkpoints import judge
from agent.gateway import ask
from agent.listeners import refusal
from agent.message import DamagedError, MessageError
from agent.processes import configured, runner_state, served_addresses
from agent.protocol import (
    ProbeOrder,
    ProbeResult,
    ReleaseDescription,
    ReleaseOutline,
    RunningEngine,
    TlsFiles,
    UnreadRelease,
)
from agent.room import TEMPORARY, rooms
from agent.seal import is_sealed
from agent.system import look
from agent.units import troubles

NO_FILE = (errno.EISDIR, errno.ELOOP, errno.ENOENT)
"""How a release.json cannot be read that is none: a directory, or a link to nothing."""


def memory_bytes() -> int:
    """Physical memory, or less where a control group limits this process."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


def target_of(link: Path) -> str | None:
    """The last part of what a symbolic link points to."""
    try:
        return link.readlink().name
    except OSError:
        return None


def is_alive(record: RunningEngine) -> bool:
    """Whether the launcher that wrote a record still runs.

    A number and a start time name a process, in this boot or another. The boot's own name does not do: a service with
    a /proc of its own inside a container reads the machine's, everybody else there reads the container's.
    """
    try:
        process = Path(f"/proc/{record.pid}")
        started = process.joinpath("stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        is_same = record.start_ticks in (None, int(started))
        return is_same and "launch" in process.joinpath("cmdline").read_text()
    except (OSError, ValueError, IndexError):
        return False


def running(root: Path) -> dict[str, RunningEngine]:
    """What every engine with a living launcher runs."""
    records = {path.stem: RunningEngine.of_file(path) for path in (root / "run").glob("*.json")}
    return {name: record for name, record in records.items() if record and is_alive(record)}


def releases(root: Path) -> tuple[dict[str, ReleaseDescription], dict[str, UnreadRelease]]:
    """Every finished release by name, and those whose description is not understood.

    A release is uploaded under another name and renamed when complete.
    """
    found: dict[str, ReleaseDescription] = {}
    unread: dict[str, UnreadRelease] = {}
    paths = (folder / "release.json" for folder in sorted((root / "releases").glob("[!.]*")))
    for path in (each for each in paths if os.path.lexists(each)):
        try:
            found[path.parent.name] = ReleaseDescription.from_json(path.read_bytes())
        except (OSError, MessageError) as error:
            is_damaged = isinstance(error, DamagedError) or getattr(error, "errno", None) in NO_FILE
            unread[path.parent.name] = UnreadRelease(str(error), ReleaseOutline.of_file(path), is_damaged)
    return found, unread


def digests(release: Path) -> dict[str, str]:
    """SHA-256 of every file of a release but its own description."""
    if not release.is_dir():
        return {}
    found = (path.relative_to(release) for path in release.rglob("*") if path.is_file())
    ours = (
        path for path in found if path.parts[0] not in ("build", "release.json") and "__pycache__" not in path.parts
    )
    return {str(path): hashlib.sha256((release / path).read_bytes()).hexdigest() for path in ours}


def unfinished_builds(root: Path) -> dict[str, int]:
    """Bytes of each engine environment that nobody has finished: whoever begins it again clears it first."""
    found = [path for path in (root / "builds").glob("*") if path.is_dir() and not is_sealed(path)]
    return {
        path.name: sum(size_of(Path(top, name)) for top, _, names in os.walk(path) for name in names) for path in found
    }


def size_of(file: Path) -> int:
    """Bytes on the disk; none where it is gone, for a build that runs removes as well."""
    try:
        return file.lstat().st_blocks * 512
    except OSError:
        return 0


def no_links(root: Path) -> tuple[str, ...]:
    """What should be a link to a release, and is something else."""
    found = ((name, root / name) for name in ("current", "confirmed"))
    return tuple(name for name, path in found if path.exists() and not path.is_symlink())


def closed(root: Path) -> str | None:
    """The first directory on the way to the root, or it, that only some may enter."""
    way = Path(os.path.realpath(root))
    there = (path for path in (*reversed(way.parents), way) if path.is_dir())
    return next((str(path) for path in there if not path.stat().st_mode & 0o001), None)


def plainest(addresses: Sequence[str]) -> str:
    """Where a gateway is asked on its host: where nobody speaks TLS, as far as it listens there."""
    return next((each for each in addresses if each.startswith("127.")), addresses[0])


def tls_problems(files: TlsFiles | None) -> tuple[str, ...]:
    """Why no client would take a certificate, or nobody can show it."""
    if files is None:
        return ()
    try:
        problem = load(Path(files.certificate), Path(files.key)).problem(time.time())
    except CertificateError as error:
        return error.problems
    return () if problem is None else (problem,)


def main() -> None:
    order = ProbeOrder.from_json(sys.argv[1])
    root = Path(order.root)
    current = target_of(root / "current")
    processes = runner_state(root, order.runner)
    served = served_addresses(processes, order.runner)
    disks = rooms((str(root), TEMPORARY, "/etc/systemd/system", "/var"))
    described, unread = releases(root)
    addresses = served or configured(root)
    result = ProbeResult(
        machine=platform.machine(),
        python=".".join(str(part) for part in sys.version_info[:3]),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=memory_bytes(),
        disk_free_bytes=disks[0].free_bytes,
        disks=disks,
        is_mount=os.path.ismount(root),
        system=look(order.system),
        current=current,
        confirmed=target_of(root / "confirmed"),
        answered=tuple(sorted(path.name for path in (root / "answered").glob("*"))),
        releases=described,
        unread=unread,
        files=digests(root / "releases" / current) if current else {},
        builds=tuple(sorted(path.name for path in (root / "builds").glob("*") if is_sealed(path))),
        unfinished_builds=unfinished_builds(root),
        engines=running(root),
        runner=processes,
        gateway=ask(plainest(addresses)) if addresses else None,
        served_addresses=served,
        troubles=troubles(root, order.runner, processes),
        no_links=no_links(root),
        real_root=os.path.realpath(root),
        closed=closed(root),
        checkpoints={name: judge(name, path) for name, path in order.checkpoints.items()},
        refused_addresses={address: why for address in order.listen if (why := refusal(address))},
        tls_problems=tls_problems(order.tls),
    )
    print(result.to_json())
