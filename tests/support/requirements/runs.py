"""What each run cannot do without, and what is in its way here: all of it at once, before anything begins."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from deployment.errors import ended_once
from tests.support.requirements import apt, needs
from tests.support.requirements.tools import GCLOUD, PULUMI, REPOSITORY, Tool, ToolError, bring, require

GIB = 2**30
SUITE = "bookworm"
ENVIRONMENT_GIB = 9  # while it is made; build/deploy/preflight.py has the figure of a deployment
X86_64 = ("Linux", "x86_64")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One thing that can be run here, and what it cannot do without."""

    needs: tuple[needs.Need, ...]
    is_root_only: bool = False
    is_x86_only: bool = False
    has_debian_roots: bool = False
    """Debian 12's files, made from this computer's sources of it and overlaid."""
    disk_gib: int = 1
    """Besides the engine environment."""
    has_engine: bool = False
    tools: tuple[Tool, ...] = ()
    is_tool_optional: bool = False
    """Without its tools it runs, and says at its end how many tests that left out."""


TOOLS = (PULUMI, GCLOUD)
HOSTS = Run(
    needs=needs.HOSTS,
    is_root_only=True,
    is_x86_only=True,
    has_debian_roots=True,
    has_engine=True,
    disk_gib=8,
    tools=TOOLS,
)
TEST = Run(needs=needs.TEST, is_x86_only=True, has_engine=True, tools=TOOLS, is_tool_optional=True)
RUNS = {
    "demo": Run(needs=needs.DEMO, has_engine=True),
    "check": replace(TEST, has_engine=False),
    "test": TEST,
    "gate": replace(TEST, needs=(*needs.TEST, *needs.KERNELS), disk_gib=2),
    "kernels": Run(needs=needs.KERNELS),
    "clients": Run(needs=needs.CLIENTS),
    "hosts": HOSTS,
    "rehearsal": replace(HOSTS, needs=needs.REHEARSAL),
    # Wheels as published and as installed, torch a second time, and the host's own copy of all of it.
    "rehearsal-arm": replace(HOSTS, disk_gib=14, tools=()),
    "rehearsal-source": replace(HOSTS, disk_gib=20, tools=()),
    "rehearsal-cloud": Run(needs=needs.SETUP, tools=TOOLS),
    "fresh": replace(HOSTS, needs=needs.FRESH, has_engine=False, disk_gib=14, tools=()),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Computer:
    """What of this computer decides whether something can run on it."""

    system: str
    machine: str
    uid: int
    free_bytes: int
    has_overlays: bool
    has_debian: bool
    has_environment: bool

    @classmethod
    def this(cls) -> "Computer":
        filesystems = Path("/proc/filesystems")
        return cls(
            system=platform.system(),
            machine=platform.machine(),
            uid=os.geteuid(),
            free_bytes=shutil.disk_usage(REPOSITORY).free,
            has_overlays=filesystems.is_file() and "overlay" in filesystems.read_text(encoding="utf-8"),
            has_debian=has_sources_of(SUITE),
            has_environment=any((REPOSITORY / "out" / "local" / "builds").glob("*/manifest.json")),
        )


def has_sources_of(suite: str) -> bool:
    """Whether apt knows where packages of a release are."""
    try:
        command = ["apt-get", "indextargets", "--format", "$(CODENAME)", "Created-By: Packages"]
        listed = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60).stdout
    except (OSError, subprocess.SubprocessError):
        return False
    return suite in listed.split()


def obstacles(runs: Sequence[Run], computer: Computer) -> Iterator[str]:
    """What no package changes."""
    if any(run.is_x86_only for run in runs) and (computer.system, computer.machine) != X86_64:
        yield f"machine: Linux on x86-64 is needed, got {computer.system} on {computer.machine}. Use another one."
    if any(run.is_root_only for run in runs) and computer.uid != 0:
        yield f"user: hosts, networks and disks are made by root, got uid {computer.uid}. Run it by sudo."
    if any(run.has_debian_roots for run in runs):
        if not computer.has_overlays:
            yield "kernel: no overlay file system, got a kernel without it. Run `modprobe overlay`."
        if not computer.has_debian:
            yield f"apt: no source of Debian {SUITE} is configured, got none. Run this on Debian 12."
    needed = max((run.disk_gib for run in runs), default=0)
    if any(run.has_engine for run in runs) and not computer.has_environment:
        needed += ENVIRONMENT_GIB
    if computer.free_bytes < needed * GIB:
        free = f"{computer.free_bytes / GIB:.1f} GiB"
        yield f"disk: {needed} GiB are needed for {REPOSITORY}, got {free}. Free some, or remove out/."


def missing_tools(runs: Sequence[Run], bring: Callable[[Tool], object]) -> tuple[list[str], list[str]]:
    """Try to have each tool; returns what is in the way, and what only leaves tests out."""
    problems: list[str] = []
    notes: list[str] = []
    for tool in dict.fromkeys(tool for run in runs for tool in run.tools):
        try:
            bring(tool)
        except ToolError as error:
            is_optional = all(run.is_tool_optional for run in runs if tool in run.tools)
            (notes if is_optional else problems).append(str(error))
    return problems, notes


def prepare(runs: Sequence[Run]) -> list[str]:
    """Bring everything; returns all that is in the way."""
    absent = needs.missing(need for run in runs for need in run.needs)
    rights, wanted = apt.Rights.here(), needs.packages(absent)
    problems = list(obstacles(runs, Computer.this()))
    if absent and (refusal := apt.refusal(wanted, rights)):
        problems.append(refusal)
    # Where something else is in the way, nothing is downloaded first.
    without, notes = missing_tools(runs, require if problems else bring)
    problems += without
    if absent and not problems:
        problems += apt.install(wanted, rights) or [
            f"{each.package}: installed, and there is no {each.name}, got none. Install what brings it."
            for each in needs.missing(absent)
        ]
    for note in notes:
        print(f"{ended_once(note)} Until then tests of it are left out.", file=sys.stderr)
    return [ended_once(problem) for problem in problems]
