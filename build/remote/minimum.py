"""Whether a host can serve at all, asked in a way that every Unix answers: its Python may be too old, or not there."""

import re

from build.check import Check
from build.errors import DeployError
from build.remote.command import Command
from build.remote.executor import Executor
from build.remote.target import REMOTE_PYTHON
from deployment.stack.minimum import PYTHON_MAX, PYTHON_MIN, HostSystem, cgroup_warning, system_problems

MARK = "axion.system."
# One line each, so that nothing else which a login prints is taken for one. POSIX sh alone.
LOOK = f"""\
LC_ALL=C; export LC_ALL
say() {{ printf '{MARK}%s %s\\n' "$1" "$2"; }}
say distribution "$(. /etc/os-release 2>/dev/null; printf %s "$PRETTY_NAME")"
say interpreter "$1"
say python "$("$1" -c 'import platform; print(platform.python_version())' 2>/dev/null)"
say systemd "$(test -d /run/systemd/system && systemctl --version 2>/dev/null | sed -n '1s/^systemd //p')"
say glibc "$(getconf GNU_LIBC_VERSION 2>/dev/null | sed 's/^glibc //')"
say cgroups "$(stat -f -c %T /sys/fs/cgroup 2>/dev/null)"
"""
TIMEOUT_S = 30.0


def is_python_supported(version: str) -> bool:
    found = tuple(int(part) for part in version.split(".")[:2])
    return PYTHON_MIN <= found <= PYTHON_MAX


def look_command(python: str) -> Command:
    """Ask a host what it is."""
    argv = ("sh", "-c", LOOK, "sh", python)
    return Command(argv=argv, what="look at the system", timeout_s=TIMEOUT_S)


def parse(said: str) -> HostSystem:
    """Read what `look_command` printed."""
    found = dict(re.findall(rf"^{re.escape(MARK)}(\w+) (.*?)\s*$", said, re.MULTILINE))
    return HostSystem(**{name: found.get(name, "") for name in HostSystem.__dataclass_fields__})


def problems_of(name: str, said: str) -> list[str]:
    """Judge what a host printed; nothing where it printed nothing. This computer needs no systemd."""
    system = parse(said)
    return list(system_problems(name, system, has_units=system.interpreter == REMOTE_PYTHON)) if MARK in said else []


def refuse_unfit(executor: Executor, python: str, name: str) -> None:
    """Raise DeployError with everything that a host lacks, after a first contact failed; do nothing where it is fit."""
    if found := problems_of(name, executor.run(look_command(python)).stdout):
        raise DeployError(*found)


def checks_of(name: str, said: str) -> list[Check]:
    """What the doctor says of it."""
    system = parse(said)
    fit = f"{system.distribution}, systemd {system.systemd or 'none'}, glibc {system.glibc or 'none'}"
    found = [Check("system", "fail", each) for each in problems_of(name, said)]
    if not found and system.interpreter == REMOTE_PYTHON and (warning := cgroup_warning(system)):
        return [Check("system", "warn", warning)]
    return found or [Check("system", "pass", fit)]
