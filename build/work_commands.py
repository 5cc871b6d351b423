"""Long work as data, and the commands that begin it on a host, look for it and follow it: nothing here runs."""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from build.command import Command
from build.onhost import bundle
from build.target import Target

# Files and folders are made in passing.
QUIET = frozenset({"rm", "mkdir", "dd", "mv", "ln"})
BEGIN_S = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSecretManager:
    """A credential that the host reads itself, as its service account."""

    secret: str
    """projects/<project>/secrets/<id>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCaller:
    """A credential that this task knows; it travels over stdin and is kept in memory only."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Steps in order, each only when the one before succeeded."""

    name: str
    what: str
    steps: tuple[Command, ...]
    timeout_s: float
    key: str = ""
    """What makes it the same work again. Give it where steps depend on the moment, as on free memory."""
    credentials: Mapping[str, FromSecretManager | FromCaller] = field(default_factory=lambda: MappingProxyType({}))
    """Files below $CREDENTIALS_DIRECTORY, under systemd only."""

    @property
    def bound_s(self) -> float:
        """How long it may take in all: no less than its steps may take, which come one after another."""
        return max(self.timeout_s, sum(step.timeout_s for step in self.steps) + BEGIN_S)

    @property
    def identity(self) -> str:
        return self.key or hashlib.sha256(json.dumps(self.as_data()).encode()).hexdigest()[:16]

    def as_data(self) -> list[dict[str, Any]]:
        return [
            {
                "argv": list(step.argv),
                "what": step.what,
                "is_quiet": is_quiet(step),
                "cwd": step.cwd,
                "env": dict(step.env),
                "stdin": None if step.stdin is None else base64.b64encode(step.stdin).decode(),
                "timeout_s": step.timeout_s,
            }
            for step in self.steps
        ]


def unit_of(name: str) -> str:
    return f"axion-work-{name}.service"


def directory_of(target: Target, name: str) -> str:
    """Where it keeps its steps, log and result: root's own, unlike state/, part of which belongs to engines."""
    return f"{target.root}/work/{name}"


def is_quiet(step: Command) -> bool:
    return step.argv[0] in QUIET


def look_command(target: Target, name: str) -> Command:
    """Ask whether it runs, or ran to its end."""
    return _order(target, name, "look", f"look for {name} at work", 60.0)


def follow_command(target: Target, work: Work, *, offset: int, timeout_s: float) -> Command:
    """Print what is told of it from a place in its log on; the last line is how it ended."""
    return _order(target, work.name, "follow", work.what, timeout_s, key=work.identity, offset=offset)


def start_commands(target: Target, work: Work) -> tuple[Command, ...]:
    """Begin it anew. Its steps and the program that does them lie on the host: it needs nobody from then on."""
    directory = directory_of(target, work.name)
    document = json.dumps({"key": work.identity, "steps": work.as_data()})
    files = {"work.py": program(), "next.json": document.encode()}
    sources = {
        name: {"secret": source.secret} if isinstance(source, FromSecretManager) else {}
        for name, source in work.credentials.items()
    }
    values = {name: source.value for name, source in work.credentials.items() if isinstance(source, FromCaller)}
    order = {"do": "start", "dir": directory, "unit": unit_of(work.name), "credentials": sources}
    return (
        Command(argv=("mkdir", "-p", "-m", "0700", "--", f"{target.root}/work", directory), what="make room for work"),
        Command(argv=("tar", "-x", "-C", directory), what=f"describe: {work.what}", stdin=_packed(files)),
        Command(
            argv=(target.python, "-I", f"{directory}/work.py", json.dumps({**order, "timeout_s": work.bound_s})),
            what=f"begin: {work.what}",
            stdin=json.dumps(values).encode(),
            timeout_s=300,
        ),
    )


def forget_command(target: Target, name: str) -> Command:
    return _order(target, name, "forget", "put the finished work away", 60.0)


def program() -> bytes:
    """What runs the steps, looks and follows."""
    return bundle("work.py", "durable.py", "proxies.py", "room.py", "secrets.py", "work_log.py")


def _order(target: Target, name: str, verb: str, what: str, timeout_s: float, **more: Any) -> Command:
    order = {"do": verb, "dir": directory_of(target, name), "unit": unit_of(name), **more}
    argv = (target.python, "-I", "-", json.dumps(order))
    return Command(argv=argv, what=what, stdin=program(), timeout_s=timeout_s)


def _packed(files: Mapping[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o600
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()
