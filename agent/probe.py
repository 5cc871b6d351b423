"""Print what a host is and what it runs, as one JSON document, so that planning takes a single round trip.

Input: {"root": str, "checkpoints": {model: directory}, "listen": ["host:port", ...], "system": what
system.py asks, "runner": "systemd" or "supervisor"}.
Reads only; a file that is missing or broken is reported as null, never as a failure.
"""

import hashlib
import json
import os
import platform
import sys
from contextlib import closing
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

from agent.checkpoints import judge
from agent.listeners import refusal
from agent.message import data_of
from agent.processes import configured, runner_state, served_addresses
from agent.room import TEMPORARY, rooms
from agent.seal import is_sealed
from agent.system import look
from agent.units import troubles


def memory_bytes() -> int:
    """Physical memory, or less where a control group limits this process."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        return min(total, int(limit)) if limit.isdigit() else total
    except OSError:
        return total


def read_json(path: Path) -> "dict[str, Any] | None":
    """What a file says, if it is a JSON object."""
    try:
        value = json.loads(path.read_text())
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def target_of(link: Path) -> "str | None":
    """The last part of what a symbolic link points to."""
    try:
        return link.readlink().name
    except OSError:
        return None


def is_alive(record: "dict[str, Any]") -> bool:
    """Whether the launcher that wrote a record still runs.

    A number and a start time name a process, in this boot or another. The boot's own name does not do: a service with
    a /proc of its own inside a container reads the machine's, everybody else there reads the container's.
    """
    try:
        process = Path(f"/proc/{int(record['pid'])}")
        started = process.joinpath("stat").read_text(errors="replace").rpartition(")")[2].split()[19]
        is_same = record.get("start_ticks", int(started)) == int(started)
        return is_same and "launch" in process.joinpath("cmdline").read_text()
    except (OSError, KeyError, TypeError, ValueError, IndexError):
        return False


def running(root: Path) -> "dict[str, Any]":
    """What every engine with a living launcher runs."""
    records = {path.stem: read_json(path) for path in (root / "run").glob("*.json")}
    alive = {name: record for name, record in records.items() if record and is_alive(record)}
    return {
        name: {"unit_digest": str(record["unit_digest"]), "pid": int(record["pid"])}
        for name, record in alive.items()
        if "unit_digest" in record
    }


def releases(root: Path) -> "dict[str, Any]":
    """Every finished release, by name. A release is uploaded under another name and renamed when complete."""
    found = sorted(path for path in (root / "releases").glob("[!.]*") if (path / "release.json").is_file())
    return {path.name: read_json(path / "release.json") for path in found}


def digests(release: Path) -> "dict[str, str]":
    """SHA-256 of every file of a release but its own description."""
    if not release.is_dir():
        return {}
    found = (path.relative_to(release) for path in release.rglob("*") if path.is_file())
    ours = (
        path for path in found if path.parts[0] not in ("build", "release.json") and "__pycache__" not in path.parts
    )
    return {str(path): hashlib.sha256((release / path).read_bytes()).hexdigest() for path in ours}


def unfinished_builds(root: Path) -> "dict[str, int]":
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


def gateway_state(addresses: "list[str]") -> Any:
    """Which release's code and configuration the running gateway says it serves; null when it does not answer."""
    for address in addresses:
        host, _, port = address.rpartition(":")
        try:
            with closing(HTTPConnection(host.strip("[]"), int(port), timeout=5)) as connection:
                connection.request("GET", "/stats")
                stats = json.loads(connection.getresponse().read())
            models = {name: dict(model) for name, model in stats["models"].items()}
            return {"unit_digest": stats["unit_digest"], "config_digest": stats["config_digest"], "models": models}
        except (OSError, HTTPException, OverflowError, ValueError, LookupError, TypeError, AttributeError):
            continue
    return None


def no_links(root: Path) -> "list[str]":
    """What should be a link to a release, and is something else."""
    return [name for name in ("current", "confirmed") if (root / name).exists() and not (root / name).is_symlink()]


def closed(root: Path) -> "str | None":
    """The first directory on the way to the root, or it, that only some may enter."""
    way = Path(os.path.realpath(root))
    there = (path for path in (*reversed(way.parents), way) if path.is_dir())
    return next((str(path) for path in there if not path.stat().st_mode & 0o001), None)


def printable(document: "dict[str, Any]") -> str:
    """A document as JSON. Names on a disk are bytes: what of them is no UTF-8 no reader of JSON has to take."""
    text = json.dumps(document, ensure_ascii=False).encode(errors="replace")
    return json.dumps(json.loads(text))


def main() -> None:
    wanted = json.loads(sys.argv[1])
    root = Path(wanted["root"])
    current, runner = target_of(root / "current"), wanted["runner"]
    processes = runner_state(root, runner)
    served = served_addresses(processes, runner)
    disks = rooms([str(root), TEMPORARY, "/etc/systemd/system", "/var"])
    print(
        printable(
            {
                "machine": platform.machine(),
                "python": ".".join(str(part) for part in sys.version_info[:3]),
                "cores": len(os.sched_getaffinity(0)),
                "memory_bytes": memory_bytes(),
                "disk_free_bytes": disks[0]["free_bytes"],
                "disks": disks,
                "is_mount": os.path.ismount(root),
                "system": look(wanted["system"]),
                "current": current,
                "confirmed": target_of(root / "confirmed"),
                "answered": sorted(path.name for path in (root / "answered").glob("*")),
                "releases": releases(root),
                "files": digests(root / "releases" / current) if current else {},
                "builds": sorted(path.name for path in (root / "builds").glob("*") if is_sealed(path)),
                "unfinished_builds": unfinished_builds(root),
                "engines": running(root),
                "runner": processes,
                "gateway": gateway_state((served or configured(root))[:1]),
                "served_addresses": served,
                "troubles": troubles(root, runner, processes),
                "no_links": no_links(root),
                "real_root": os.path.realpath(root),
                "closed": closed(root),
                "checkpoints": {name: data_of(judge(name, path)) for name, path in wanted["checkpoints"].items()},
                "refused_addresses": {address: why for address in wanted["listen"] if (why := refusal(address))},
            }
        )
    )
