"""Print what a host has to compile with, as one JSON document.

Input: {"packages": [...], "compilers": ["g++-14", ...]}. Reads only; what cannot be read counts as not there.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

# Each control group's limit and use, as version 2 and version 1 name them.
LIMITS = (
    ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
    ("/sys/fs/cgroup/memory/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.usage_in_bytes"),
)


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


def installed(packages: "list[str]") -> "list[str]":
    printed = output("dpkg-query", "--show", "--showformat=${Package} ${Status}\\n", *packages)
    return sorted({line.split()[0] for line in printed.splitlines() if line.endswith(" ok installed")})


def offered(packages: "list[str]") -> "dict[str, str]":
    """The version of each package that apt would install. A name unknown to apt is a pattern, which finds others."""
    found, name = {}, ""
    for line in output("apt-cache", "policy", *packages).splitlines():
        if not line.startswith(" "):
            name = line.rstrip(":")
        elif line.strip().startswith("Candidate:") and "(none)" not in line:
            found[name] = line.split()[1]
    return {name: version for name, version in found.items() if name in packages}


def compilers(names: "list[str]") -> "dict[str, str]":
    """The version of each C++ compiler that is there together with its C sibling."""
    there = [name for name in names if shutil.which(name) and shutil.which(name.replace("g++", "gcc"))]
    return {name: output(name, "-dumpfullversion").strip() for name in there}


def features() -> "list[str]":
    """What the processor can do, as the kernel lists it."""
    for line in read("/proc/cpuinfo").splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("Features", "flags"):
            return sorted(value.split())
    return []


def system() -> str:
    match = re.search(r'^PRETTY_NAME="?([^"\n]*)', read("/etc/os-release"), re.MULTILINE)
    return match.group(1) if match else "an unknown system"


def main() -> None:
    wanted = json.loads(sys.argv[1])
    print(
        json.dumps(
            {
                "system": system(),
                "is_root": os.geteuid() == 0,
                "has_apt": shutil.which("apt-get") is not None,
                "cores": sorted(os.sched_getaffinity(0)),
                "available_bytes": available_bytes(),
                "features": features(),
                "installed": installed(wanted["packages"]),
                "compilers": compilers(wanted["compilers"]),
                "offered": offered(wanted["compilers"]),
            }
        )
    )


if __name__ == "__main__":
    main()
