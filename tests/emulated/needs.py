"""What a rehearsal on an emulated host needs of this computer, looked for before anything begins."""

import os
import platform
import shutil
from pathlib import Path

from build.errors import DeployError
from deployment.quantities import GIB, shown_bytes
from tests.arm.host import OUTPUT
from tests.arm.root import sources

PROGRAMS = {
    "mmdebstrap": "mmdebstrap",
    "arch-test": "arch-test",
    "systemd-nspawn": "systemd-container",
    "ssh": "openssh-client",
    "aarch64-linux-gnu-g++-12": "g++-12-aarch64-linux-gnu",
    "clang-19": "clang-19",
    "ld.lld-19": "lld-19",
    "readelf": "binutils",
}
HANDLER = Path("/usr/lib/binfmt.d/qemu-aarch64.conf")
# Wheels as published and as installed, torch once more as its stand-in, the host's own copy of all of it.
DISK_BYTES, MEMORY_BYTES = 12 * GIB, 8 * GIB


def missing() -> list[str]:
    """Say everything at once, each with what to do."""
    if platform.machine() != "x86_64" or platform.system() != "Linux":
        got = f"{platform.system()} on {platform.machine()}"
        return [f"machine: an Arm host is emulated on Linux on x86_64, got {got}. On Arm deploy to this computer."]
    found = []
    if os.geteuid() != 0:
        found.append(f"user: a host's files need root to be made and booted, got uid {os.geteuid()}. Run it by sudo.")
    absent = sorted(package for program, package in PROGRAMS.items() if shutil.which(program) is None)
    absent += [] if HANDLER.is_file() else ["qemu-user-static"]
    if absent:
        listed = " ".join(absent)
        found.append(f"programs: some are missing, got none of {', '.join(absent)}. Run `apt-get install {listed}`.")
    if "overlay" not in Path("/proc/filesystems").read_text():
        found.append("kernel: no overlay file system, got a kernel without it. Run `modprobe overlay`.")
    try:
        sources()
    except DeployError as error:
        found += error.problems
    return [*found, *_room()]


def _room() -> list[str]:
    OUTPUT.mkdir(parents=True, exist_ok=True)
    free, memory = shutil.disk_usage(OUTPUT).free, os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    found = []
    if free < DISK_BYTES:
        what = f"disk: {shown_bytes(DISK_BYTES)} are needed below out/, got {shown_bytes(free)}"
        found.append(f"{what}. Free some.")
    if memory < MEMORY_BYTES:
        what = f"memory: {shown_bytes(MEMORY_BYTES)} are needed, got {shown_bytes(memory)}"
        found.append(f"{what}. Use a larger machine.")
    return found
