"""Where a deployment goes: names and paths of one host."""

import os
import posixpath
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

from agent.protocol import RunnerKind
from build.remote.agent import Agent
from deployment.errors import ConfigError
from deployment.stack.host_root import local_root

# What programs need to run at all. Whatever else a shell holds, keys and tokens among it, is not for engines.
KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "USER")
REMOTE_PYTHON = "/usr/bin/python3"
USER = "axion"
"""Who engines and gateway run as on a host of their own."""
REPOSITORY = Path(__file__).resolve().parents[2]
DEMO_STORE = REPOSITORY / "out" / "demo"
"""Where the demonstration's models are made."""


def project_directory() -> Path:
    """Where Pulumi.yaml and the stacks' files are: AXION_PROJECT, else the checkout."""
    return Path(os.environ.get("AXION_PROJECT") or REPOSITORY)


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A host as the toolkit sees it; `root` holds everything that it puts there."""

    name: str
    root: str
    runner: RunnerKind
    """What keeps processes running: `supervisor` here, `systemd` on a VM."""
    python: str
    """The interpreter that environments are made from."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """All that the process runner, and so every engine, gets of the caller's environment."""
    user: str | None = None
    """Who engines and gateway run as on a host of their own; None for the caller."""
    hub_token_secret: str | None = None
    """The secret of its cloud that holds the hub's token: its name, never its value."""
    boot_log: str | None = None
    """The command that shows why `root` is no mount, on a host where it has to be one; None where a directory does."""
    clients: tuple[str, ...] = ()
    """The ranges from which the gateway may be reached, besides the host itself."""
    keys: str | None = None
    """What holds the keys that clients must send: a secret, or a file of the host. None: no key is asked for."""
    stack: str | None = None
    """What the inventory calls the hosts together; None for this computer."""
    address: str | None = None
    """Where others reach what listens on all of its addresses."""
    models: str | None = None
    """The models file that the stack or the inventory names for it, relative to the project's directory."""

    @property
    def is_here(self) -> bool:
        """Whether it is this computer, whose files are also those that a person sees."""
        return self.user is None

    @property
    def agent(self) -> Agent:
        """Run by the system's interpreter."""
        return Agent(self.python, self.root)

    @property
    def current(self) -> str:
        return f"{self.root}/current"

    def release(self, name: str) -> str:
        return f"{self.root}/releases/{name}"

    def checkpoint(self, model: str, revision: str) -> str:
        return f"{self.root}/models/{model}/{revision}"


def path_on(target: Target, path: str, models_file: Path) -> str:
    """Say where a path of the models file is on a host."""
    if target.is_here:
        return str((models_file.resolve().parent / path).resolve())
    return posixpath.normpath(posixpath.join(target.root, "models", path))


def expanded(given: str) -> Path:
    """A path, with whose home its ~ means. That of a user whom nobody knows stays, and is then not found."""
    try:
        return Path(given).expanduser()
    except RuntimeError:
        return Path(given)


def _chosen_root() -> Path:
    given = os.environ.get("AXION_LOCAL_ROOT")
    if not given:
        return REPOSITORY / "out" / "local"
    try:
        return Path(local_root(str(Path(given).resolve()), holds=(str(REPOSITORY), str(Path.home()))))
    except ValueError as error:
        raise ConfigError(
            [
                f"AXION_LOCAL_ROOT: {error}, got {given!r}. Give a directory of its own, such as out/local of the "
                "checkout."
            ]
        ) from None


def local_target(root: Path | None = None) -> Target:
    """This computer, under out/local or AXION_LOCAL_ROOT. Raises ConfigError where that is somebody else's.

    The interpreter is the one that the operator's environment was made from.
    """
    chosen = root or _chosen_root()
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return Target(
        environment=kept,
        name="this computer",
        root=str(chosen.resolve()),
        runner="supervisor",
        python=str(base if base.exists() else sys.executable),
    )
