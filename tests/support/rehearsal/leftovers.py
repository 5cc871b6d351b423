"""Whether anything of a rehearsal is left on this computer: what the kernel says, not what the rehearsal remembers."""

import os
from pathlib import Path

from tests.support.machines import cgroups
from tests.support.processes import belonging_to
from tests.support.rehearsal.guest import GROUPS

MOUNTS = Path("/proc/self/mountinfo")
LOOPS = Path("/sys/block")


def leftovers(folder: Path) -> list[str]:
    """Processes, mounts, networks (they are mounts), loop devices, control groups and files of its hosts."""
    place = str(folder)
    found = [f"process {each.pid}: {each.command[:120]}" for each in belonging_to(folder) if each.pid != os.getpid()]
    found += [f"mount {line.split()[4]}" for line in MOUNTS.read_text().splitlines() if place in line]
    for backing in LOOPS.glob("loop*/loop/backing_file"):
        if place in (file := backing.read_text().strip()):
            found.append(f"loop device {backing.parts[-3]}: {file}")
    groups = (path for hierarchy in cgroups.CANDIDATES for path in hierarchy.glob(f"axion-{GROUPS}{os.getpid()}-*"))
    found += [f"control group {path}" for path in groups]
    hosts = folder / "hosts"
    if hosts.is_dir():
        found += [f"file {path}" for path in sorted(hosts.iterdir()) if path.name != "disks" or any(path.iterdir())]
    return found
