"""What a host is and what it runs, typed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from build.engine.needs import things_to_look_for
from build.errors import ConnectionLostError, DeployError, NoConnectionError
from build.remote.command import Command
from build.remote.executor import Executor, check
from build.remote.minimum import LOOK, refuse_unfit
from build.remote.system import System
from build.remote.target import Target


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)


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


class Trouble(Frozen):
    """Something that is wrong with a unit of ours."""

    unit: str
    kind: Literal["failed", "masked", "disabled", "edited", "extended"]
    what: str
    """A sentence without its full stop."""


class Room(Frozen):
    """A file system that something is written to."""

    place: str
    mount: str
    bytes: int
    free_bytes: int
    inodes: int
    """0 where it does not count them."""
    free_inodes: int


class Facts(Frozen):
    """One look at a host."""

    machine: str
    python: str
    cores: int
    memory_bytes: int
    disk_free_bytes: int
    """Where everything of ours lies."""
    disks: tuple[Room, ...] = ()
    """Each file system that a deployment writes to; the first is that one."""
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
    served_addresses: tuple[str, ...] = ()
    """Where a gateway of ours listens, whatever release it is of."""
    troubles: tuple[Trouble, ...] = ()
    no_links: tuple[str, ...] = ()
    """Those of `current` and `confirmed` that are something else than a link."""
    real_root: str = ""
    """What the host's directory is once every link is followed."""
    closed: str | None = None
    """A directory on the way to it, or itself, that only some may enter."""
    checkpoints: dict[str, Checkpoint | None]
    refused_addresses: dict[str, str]
    """Why no server could listen now, such as EADDRINUSE, of each address where none could."""

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

    @property
    def ordered(self) -> tuple[str, ...]:
        """Names of the releases, oldest first, by the host's own count. Names begin with somebody's clock.

        Releases from before there was a count come first, by name.
        """
        return tuple(sorted(self.releases, key=lambda name: (self._sequence(name), name)))

    @property
    def next_sequence(self) -> int:
        """The number of the release that is made next. The newest ones are never pruned, so none is given twice."""
        return max(map(self._sequence, self.releases), default=0) + 1

    def _sequence(self, name: str) -> int:
        number = self.release(name).get("sequence")
        return number if isinstance(number, int) else 0

    def release(self, name: str | None) -> Mapping[str, Any]:
        """Describe a release; empty for one that is not there."""
        return self.releases.get(name or "") or {}


def probe_command(target: Target, checkpoints: Mapping[str, str], listen: Sequence[str]) -> Command:
    """Ask a host for its facts."""
    system = {**things_to_look_for(), "sh": [LOOK]}
    asked = {"checkpoints": dict(checkpoints), "listen": list(listen), "system": system}
    wanted = json.dumps({"root": target.root, "runner": target.runner, **asked})
    return target.agent.command("probe", wanted, what="look at the host", timeout_s=300)


def gather(executor: Executor, command: Command, *, name: str = "this computer") -> Facts:
    """Run a probe and parse what it printed. Raises DeployError; of a host that cannot serve, with all reasons."""
    try:
        return Facts.model_validate_json(check(executor, command).stdout)
    except (ConnectionLostError, NoConnectionError):
        raise
    except (DeployError, ValueError):
        refuse_unfit(executor, command.argv[0], name)
        raise
