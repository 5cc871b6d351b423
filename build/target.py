"""Where a deployment goes: names and paths of one host."""

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Literal

# What programs need to run at all. Whatever else a shell holds, keys and tokens among it, is not for engines.
KEPT_VARIABLES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ", "USER")
REPOSITORY = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """A host as the toolkit sees it; `root` holds everything that it puts there."""

    name: str
    root: str
    runner: Literal["supervisor", "systemd"]
    """What keeps processes running: `supervisor` here, `systemd` on a VM."""
    python: str
    """The interpreter that environments are made from."""
    environment: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """All that the process runner, and so every engine, gets of the caller's environment."""

    @property
    def current(self) -> str:
        return f"{self.root}/current"

    def release(self, name: str) -> str:
        return f"{self.root}/releases/{name}"

    def checkpoint(self, model: str, revision: str) -> str:
        return f"{self.root}/models/{model}/{revision}"


def local_target(root: Path | None = None) -> Target:
    """This computer, under out/local or AXION_LOCAL_ROOT.

    The interpreter is the one that the operator's environment was made from.
    """
    chosen = root or Path(os.environ.get("AXION_LOCAL_ROOT", REPOSITORY / "out" / "local"))
    base = Path(sys.base_prefix) / "bin" / f"python{sys.version_info.major}.{sys.version_info.minor}"
    kept = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return Target(
        environment=kept,
        name="this computer",
        root=str(chosen.resolve()),
        runner="supervisor",
        python=str(base if base.exists() else sys.executable),
    )
