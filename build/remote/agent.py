"""The agent as commands: one archive of agent/, under its digest, which a host has or is given with the command.

A host has it once a release was brought there (agent/archive.py). Where it does not, or not this one, the same command
is run again with the archive before its input: that one lives in memory and leaves nothing behind.
"""

import functools
import hashlib
import io
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from agent import ARCHIVE_DIGITS
from build.remote.command import Command, Result

SOURCES = Path(__file__).resolve().parents[2] / "agent"
ABSENT = 79
"""How a command ends whose archive is not on the host, or not whole: its name says what it holds."""
SIZE_AT = 5
"""Where in argv the size of an archive stands that comes with the command: none at first."""
START = f"""\
import hashlib, os, runpy, sys
path, size = sys.argv[1], int(sys.argv[2])
if size:
    archive = os.memfd_create("agent")
    while size:
        part = os.read(0, min(size, 65536))
        if not part:
            sys.exit({ABSENT})
        size -= len(part)
        os.write(archive, part)
    path = "/proc/%d/fd/%d" % (os.getpid(), archive)
else:
    try:
        with open(path, "rb") as there:
            digest = hashlib.sha256(there.read()).hexdigest()[:{ARCHIVE_DIGITS}]
    except OSError:
        digest = None
    if digest != os.path.basename(path).split(".")[0]:
        sys.exit({ABSENT})
sys.argv = [path] + sys.argv[3:]
runpy.run_path(path, run_name="__main__")
"""
MAIN = "from agent.__main__ import main\n\nmain()\n"


@functools.cache
def archive() -> bytes:
    """Return the archive: the same bytes for the same sources."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as members:
        members.writestr(zipfile.ZipInfo("__main__.py"), MAIN, zipfile.ZIP_DEFLATED)
        for path in sorted(SOURCES.glob("*.py")):
            members.writestr(zipfile.ZipInfo(f"agent/{path.name}"), path.read_bytes(), zipfile.ZIP_DEFLATED)
    return packed.getvalue()


@functools.cache
def archive_name() -> str:
    return f"{hashlib.sha256(archive()).hexdigest()[:ARCHIVE_DIGITS]}.pyz"


def source(name: str) -> str:
    """Return the text of one module, for what runs alone."""
    return (SOURCES / name).read_text(encoding="utf-8")


@dataclass(frozen=True, slots=True)
class Agent:
    """The agent of one host, or of one engine environment there."""

    python: str
    root: str

    def command(
        self, verb: str, *arguments: str, what: str, stdin: bytes | None = None, timeout_s: float = 60.0,
        is_isolated: bool = True,
    ) -> Command:  # fmt: skip
        """Have it do something. An interpreter that is not isolated sees PYTHONPATH."""
        start = (self.python, "-I" if is_isolated else "-P", "-c", START, f"{self.root}/agent/{archive_name()}", "0")
        return Command(argv=(*start, verb, *arguments), what=what, stdin=stdin, timeout_s=timeout_s, is_agents=True)


def carrying(command: Command) -> Command:
    """Send the archive along, before the command's own input, where it is the agent's."""
    if not command.is_agents:
        return command
    argv = (*command.argv[:SIZE_AT], str(len(archive())), *command.argv[SIZE_AT + 1 :])
    return replace(command, argv=argv, stdin=archive() + (command.stdin or b""))


class Carriage:
    """Whether one host has the archive, found out by its first command."""

    def __init__(self) -> None:
        self._is_absent = False

    def run(self, run: Callable[[Command], Result], command: Command) -> Result:
        """Run a command, again with the archive where the host has none."""
        if command.is_agents and not self._is_absent:
            result = run(command)
            if result.status != ABSENT:
                return result
            self._is_absent = True
        return run(carrying(command))
