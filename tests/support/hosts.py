"""Facts of a host in good order that serves one release of two models; tests bend them one way at a time."""

from collections.abc import Sequence
from typing import Any

from agent.message import data_of
from agent.protocol import ReleaseDescription
from build.deploy.facts import Facts

RELEASE = "20260131T120000-aaaaaaaa"
FILES = {
    "engines/alpha.env": "e1",
    "engines/alpha.yaml": "y1",
    "engines/beta.env": "e2",
    "engines/beta.yaml": "y2",
    "gateway.json": "g1",
    "lib/gateway/app.py": "c1",
}
DESCRIPTION = ReleaseDescription(
    digest="d1",
    created_at="2026-01-31T12:00:00+00:00",
    source="a checkout",
    build="b1",
    units={"alpha": "u1", "beta": "u2", "gateway": "ug"},
    gateway_config_digest="g1",
    files=FILES,
    listen=("127.0.0.1:8080",),
)
SEEN = {name: {"state": "ready", "in_flight": 0, "requests_total": 3} for name in ("alpha", "beta")}


# What it must have for every kind of engine, by the names that are looked for.
THINGS = ("ensurepip", "libnuma.so.1", "ccache", "git", "numa.h", "libtcmalloc_minimal.so.4", "Python.h")


def system(*, without: Sequence[str] = (), **changes: Any) -> dict[str, Any]:
    """An Ubuntu on Axion with everything on it, less what is named."""
    return {
        "distribution": "Ubuntu 24.04.3 LTS",
        "said": "",
        "is_root": True,
        "has_apt": True,
        "cores": list(range(32)),
        "available_bytes": 120 * 2**30,
        "features": ["bf16", "i8mm", "sve2"],
        "found": [thing for thing in THINGS if thing not in without],
        "compilers": {} if "g++" in without else {"g++": "14.2.0"},
        **changes,
    }


def facts(**changes: Any) -> Facts:
    """Everything runs as deployed, unless a change says otherwise."""
    whole: dict[str, Any] = {
        "machine": "aarch64",
        "python": "3.12.3",
        "cores": 32,
        "memory_bytes": 128 * 2**30,
        "disk_free_bytes": 100 * 2**30,
        "disks": [],
        "is_mount": True,
        "system": system(),
        "current": RELEASE,
        "confirmed": RELEASE,
        "answered": [],
        "releases": {RELEASE: DESCRIPTION},
        "unread": {},
        "files": FILES,
        "builds": ["b1"],
        "unfinished_builds": {},
        "engines": {"alpha": {"unit_digest": "u1", "pid": 11}, "beta": {"unit_digest": "u2", "pid": 12}},
        "runner": {name: {"state": "RUNNING", "pid": 1} for name in ("alpha", "beta", "gateway")},
        "gateway": {"unit_digest": "ug", "config_digest": "g1", "models": SEEN},
        "troubles": [],
        "no_links": [],
        "real_root": "",
        "closed": None,
        "checkpoints": {},
        "refused_addresses": {"127.0.0.1:8080": "EADDRINUSE"},
        "served_addresses": ["127.0.0.1:8080"],
    }
    return Facts.from_data({"schema": Facts.SCHEMA, **data_of({**whole, **changes})})


def empty_facts(**changes: Any) -> Facts:
    """A host that nothing was ever deployed to."""
    nothing: dict[str, Any] = {
        "current": None,
        "confirmed": None,
        "releases": {},
        "files": {},
        "builds": [],
        "engines": {},
        "runner": None,
        "gateway": None,
        "refused_addresses": {},
        "served_addresses": [],
    }
    return facts(**{**nothing, **changes})
