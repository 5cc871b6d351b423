"""Facts of a host in good order that serves one release of two models; tests bend them one way at a time."""

from typing import Any

from build.facts import Facts

RELEASE = "20260131T120000-aaaaaaaa"
FILES = {
    "engines/alpha.env": "e1",
    "engines/alpha.yaml": "y1",
    "engines/beta.env": "e2",
    "engines/beta.yaml": "y2",
    "gateway.json": "g1",
    "lib/gateway/app.py": "c1",
}
DESCRIPTION: dict[str, Any] = {
    "digest": "d1",
    "build": "b1",
    "units": {"alpha": "u1", "beta": "u2", "gateway": "ug"},
    "gateway_config_digest": "g1",
    "files": FILES,
    "listen": ["127.0.0.1:8080"],
}
SEEN = {name: {"state": "ready", "in_flight": 0, "requests_total": 3} for name in ("alpha", "beta")}


def facts(**changes: Any) -> Facts:
    """Everything runs as deployed, unless a change says otherwise."""
    whole: dict[str, Any] = {
        "machine": "aarch64",
        "python": "3.12.3",
        "cores": 32,
        "memory_bytes": 128 * 2**30,
        "disk_free_bytes": 100 * 2**30,
        "tools": {"g++": True, "libnuma.so.1": True, "Python.h": True, "venv": True},
        "current": RELEASE,
        "confirmed": RELEASE,
        "releases": {RELEASE: DESCRIPTION},
        "files": FILES,
        "builds": ["b1"],
        "engines": {"alpha": {"unit_digest": "u1", "pid": 11}, "beta": {"unit_digest": "u2", "pid": 12}},
        "runner": {name: {"state": "RUNNING", "pid": 1} for name in ("alpha", "beta", "gateway")},
        "gateway": {"unit_digest": "ug", "config_digest": "g1", "models": SEEN},
        "checkpoints": {},
        "free_addresses": [],
    }
    return Facts.model_validate({**whole, **changes})


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
        "free_addresses": ["127.0.0.1:8080"],
    }
    return facts(**{**nothing, **changes})
