"""One thing to run on a host, as data: functions that decide return commands, the executor runs them."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from build.errors import DeployError
from deployment.errors import why

PAGES = {"gcloud": "https://cloud.google.com/sdk/docs/install", "pulumi": "https://www.pulumi.com/docs/install"}
"""Where to get programs of others that a task starts."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """An argument list and its bounds. Never a shell line: nothing in it is expanded or split."""

    argv: tuple[str, ...]
    what: str
    """What it does, in the words a person watching the deployment should read."""
    cwd: str | None = None
    env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Added to the host's environment."""
    stdin: bytes | None = None
    timeout_s: float = 60.0
    is_agents: bool = False
    """Whether it starts the agent, whose archive the host may lack (build/remote/agent.py)."""

    def __str__(self) -> str:
        return f"agent {shlex.join(self.argv[6:])}" if self.is_agents else shlex.join(self.argv)


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """What a command printed and how it ended."""

    status: int
    stdout: str
    stderr: str

    @property
    def succeeded(self) -> bool:
        return self.status == 0


def absent(name: str) -> str:
    """Say that a program is not there, and what to do."""
    step = f"Install it: {PAGES[name]}" if name in PAGES else "Run `fab doctor`"
    return f"{name} is not {'there' if '/' in name else 'on PATH'}. {step}."


def not_started(what: str, name: str, error: OSError) -> DeployError:
    """Say why a program that was to do something did not start."""
    if isinstance(error, FileNotFoundError) and error.filename == name:
        return DeployError(f"{what}: {absent(name)}")
    where = "" if error.filename in (None, name) else f"{error.filename}: "
    return DeployError(f"{what}: {name} cannot start: {where}{why(error)}. Run `fab doctor`.")
