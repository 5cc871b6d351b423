"""What a host's system brings, asked for as the thing itself: a package has another name on each distribution.

Reads only; what cannot be read counts as not there.
"""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

from agent.protocol import System, SystemQuestions

# Each control group's limit and use, as version 2 and version 1 name them.
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)

# Where builds look for programs as well, whatever this user's PATH says besides.
SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def output(*command: str) -> str:
    """What a command prints, or nothing where it does not exist or fails."""
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=60, check=False, env={**os.environ, "LC_ALL": "C"}
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout


def read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""


def available_bytes() -> int:
    """Memory that a compiler may take without anything being swapped or killed."""
    match = re.search(r"^MemAvailable:\s+(\d+) kB", read("/proc/meminfo"), re.MULTILINE)
    available = int(match.group(1)) * 1024 if match else 0
    for limit, used in LIMITS:
        if read(limit).isdigit() and read(used).isdigit():
            available = min(available, max(int(read(limit)) - int(read(used)), 0))
    return available


def libraries() -> set[str]:
    """Every shared library that the loader finds by its name. Read, not loaded: an allocator takes over when it is."""
    cached = re.findall(r"^\s+(\S+) \(", output("/sbin/ldconfig", "--print-cache"), re.MULTILINE)
    named = (Path(place) for place in os.environ.get("LD_LIBRARY_PATH", "").split(":") if place)
    return {*cached, *(path.name for place in named if place.is_dir() for path in place.iterdir())}


def has_header(name: str) -> bool:
    places = (sysconfig.get_path("include"), "/usr/local/include", "/usr/include")
    return any(Path(place, name).is_file() for place in places)


def compilers(names: tuple[str, ...]) -> dict[str, str]:
    """The version of each C++ compiler that is there together with its C sibling."""
    found = {name: (program(name), program(name.replace("g++", "gcc"))) for name in names}
    return {name: output(cxx, "-dumpfullversion").strip() for name, (cxx, cc) in found.items() if cxx and cc}


def program(name: str) -> str | None:
    return shutil.which(name, path=SYSTEM_PATH)


def features() -> tuple[str, ...]:
    """What the processor can do, as the kernel lists it."""
    for line in read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("Features", "flags"):
            return tuple(sorted(value.split()))
    return ()


def distribution() -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.MULTILINE)
    return match.group(1) if match else "an unknown system"


def has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def look(asked: SystemQuestions) -> System:
    """Answer all of it."""
    found = {
        *filter(has_module, asked.modules),
        *libraries().intersection(asked.libraries),
        *filter(has_header, asked.headers),
        *filter(program, asked.programs),
    }
    return System(
        distribution=distribution(),
        said=output("sh", "-c", asked.script, "sh", sys.executable),
        is_root=os.geteuid() == 0,
        has_apt=shutil.which("apt-get") is not None,
        cores=tuple(sorted(os.sched_getaffinity(0))),
        available_bytes=available_bytes(),
        features=features(),
        found=tuple(sorted(found)),
        compilers=compilers(asked.compilers),
    )
