"""What a host is and what it runs, typed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict

from build.command import Command
from build.errors import ConnectionLostError, DeployError
from build.executor import Executor, check
from build.minimum import LOOK, refuse_unfit
from build.needs import things_to_look_for
from build.onhost import COMPLETENESS, bundle
from build.system import System


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Checkpoint(Frozen):
    """A checkpoint directory that exists."""

    problems: tuple[str, ...] = ()
    """What it lacks; nothing of a whole one."""
    texts: dict[str, str] = {}
    """config.json and its like, of a whole one."""
    digest: str = ""
    """Of its tensors' names, types and shapes."""
    fingerprint: str


class ProcessState(Frozen):
    """What the process runner says of one process."""

    state: str
    pid: int


class RunningEngine(Frozen):
    """What the launcher of a running engine recorded."""

    unit_digest: str
    pid: int


class GatewayState(Frozen):
    """What the running gateway says of itself."""

    unit_digest: str | None
    config_digest: str | None
    models: dict[str, dict[str, Any]]


class Facts(Frozen):
    """One look at a host."""

    machine: str
    python: str
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    is_mount: bool = True
    """Whether something is mounted just where everything of ours lies."""
    system: System
    current: str | None
    """Name of the release that `current` points to."""
    confirmed: str | None
    """Name of the last release whose models all answered."""
    answered: tuple[str, ...] = ()
    """Names of all releases whose models have all answered once."""
    releases: dict[str, dict[str, Any] | None]
    files: dict[str, str]
    """Digest of each file of the current release."""
    builds: tuple[str, ...]
    unfinished_builds: dict[str, int] = {}
    """Bytes of each engine environment that is not sealed, by its digest."""
    engines: dict[str, RunningEngine]
    """What each living launcher says that it runs."""
    runner: dict[str, ProcessState] | None
    gateway: GatewayState | None
    checkpoints: dict[str, Checkpoint | None]
    refused_addresses: dict[str, str]
    """Why no server could listen now, such as EADDRINUSE, of each address where none could."""
    own_addresses: tuple[str, ...] = ()
    """Where our own gateway listens, whatever its release says."""

    @property
    def running(self) -> Mapping[str, str]:
        """Unit digest of each engine that runs."""
        return {name: engine.unit_digest for name, engine in self.engines.items()}

    @property
    def edited_files(self) -> tuple[str, ...]:
        """Paths of the current release that are no longer as they were rendered."""
        wanted = self.release(self.current).get("files", {})
        return tuple(
            sorted(path for path in wanted.keys() | self.files.keys() if wanted.get(path) != self.files.get(path))
        )

    def release(self, name: str | None) -> Mapping[str, Any]:
        """Describe a release; empty for one that is not there."""
        return self.releases.get(name or "") or {}


def probe_command(
    root: str, checkpoints: Mapping[str, str], listen: Sequence[str], *, python: str = "python3"
) -> Command:
    """Ask a host for its facts."""
    system = {**things_to_look_for(), "sh": [LOOK]}
    wanted = json.dumps({"root": root, "checkpoints": dict(checkpoints), "listen": list(listen), "system": system})
    return Command(
        argv=(python, "-I", "-", wanted),
        what="look at the host",
        stdin=bundle("probe.py", *COMPLETENESS, "checkpoints.py", "system.py", "durable.py", "seal.py", "addresses.py"),
        timeout_s=300,
    )


def gather(executor: Executor, command: Command, *, name: str = "this computer") -> Facts:
    """Run a probe and parse what it printed. Raises DeployError; of a host that cannot serve, with all reasons."""
    try:
        return Facts.model_validate_json(check(executor, command).stdout)
    except ConnectionLostError:
        raise
    except (DeployError, ValueError):
        refuse_unfit(executor, command.argv[0], name)
        raise
