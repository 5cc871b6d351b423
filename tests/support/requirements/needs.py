"""What is asked of a computer: programs, libraries and modules, each with the Debian package that brings it.

The thing itself is looked for, not its package: whoever brought it, it counts. The package's name is the advice.
"""

import ctypes
import importlib.util
import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from kernels.model.build import PACKAGES as MODEL_PROGRAMS

Kind = Literal["program", "library", "module", "file"]
SBIN = ("/usr/local/sbin", "/usr/sbin", "/sbin")  # not on the PATH of everybody whom they serve


@dataclass(frozen=True, slots=True)
class Need:
    """One thing that is used, and Debian's name for what brings it."""

    kind: Kind
    name: str
    package: str


def programs(packages: Mapping[str, str]) -> tuple[Need, ...]:
    """Programs by name, sources by path, with their packages."""
    return tuple(
        Need("file" if name.startswith("/") else "program", name, package) for name, package in packages.items()
    )


SETUP = (Need("module", "ensurepip", f"python3.{sys.version_info.minor}-venv"),)
ENGINE = (Need("library", "libnuma.so.1", "libnuma1"),)
# Whatever is compiled for this Python looks for its headers.
PYTHON_HEADERS = Need(
    "file", f"{sysconfig.get_path('include', 'posix_prefix')}/Python.h", f"python3.{sys.version_info.minor}-dev"
)
# On Arm our kernels are compiled for the demonstration too.
DEMO = (*SETUP, *ENGINE, *((PYTHON_HEADERS, *programs({"g++": "g++"})) if platform.machine() == "aarch64" else ()))
TEST = (
    *SETUP,
    *ENGINE,
    PYTHON_HEADERS,
    *programs(
        {
            "sshd": "openssh-server",  # tests connect to one of their own, on loopback
            "ssh": "openssh-client",
            "ssh-keygen": "openssh-client",
            "systemd-analyze": "systemd",  # judges the units
            "shellcheck": "shellcheck",  # judges the script that hosts start with
            # with which vLLM's sources are configured for Arm
            "aarch64-linux-gnu-g++-12": MODEL_PROGRAMS["aarch64-linux-gnu-g++-12"],
            "curl": "curl",  # that script runs here too, and needs the others
            "mkfs.ext4": "e2fsprogs",
            "blkid": "util-linux",
            "cmp": "diffutils",
            "chromium": "chromium",  # looks at the gateway's page
            "promtool": "prometheus",  # judges the alerts, and Prometheus itself asks a gateway
        }
    ),
)
EMULATED_KERNELS = programs({**MODEL_PROGRAMS, "g++": "g++"})
# Arm runs its own tables. Of the sanitizers clang's library is asked for by name: apt only recommends it.
NATIVE_KERNELS = programs(
    {
        **{name: MODEL_PROGRAMS[name] for name in ("clang++-19", "cmake", "ninja")},
        "/usr/lib/llvm-19/lib/clang/19/lib/linux/libclang_rt.asan-aarch64.a": "libclang-rt-19-dev",
        "g++": "g++",
    }
)
KERNELS = (
    *SETUP,
    *(NATIVE_KERNELS if platform.machine() == "aarch64" else EMULATED_KERNELS),
    *programs({"/usr/src/googletest": "googletest"}),
)
REHEARSAL = (
    *SETUP,
    *ENGINE,
    *programs(
        {
            "mmdebstrap": "mmdebstrap",
            "systemd-nspawn": "systemd-container",
            "ssh": "openssh-client",
            "ssh-keygen": "openssh-client",
            "setpriv": "util-linux",
            "mount": "mount",
            "losetup": "mount",
            "ip": "iproute2",
            "openssl": "openssl",
        }
    ),
)
# Rehearsals are among the tests with hosts, and so are emulated hosts, for which kernels are compiled here.
HOSTS = (
    *REHEARSAL,
    *programs({"qemu-aarch64-static": "qemu-user-static", "arch-test": "arch-test", "readelf": "binutils"}),
    *programs({name: MODEL_PROGRAMS[name] for name in ("clang++-19", "ld.lld-19", "aarch64-linux-gnu-g++-12")}),
    *programs({"cmake": "cmake", "ninja": "ninja-build"}),
)
CLIENTS = (*SETUP, *programs({"node": "nodejs", "npm": "npm"}))  # npm fetches the clients, node runs them
FRESH = (*SETUP, *programs({"mmdebstrap": "mmdebstrap", "systemd-nspawn": "systemd-container"}))


def is_there(need: Need) -> bool:
    """Look for it on this computer."""
    return LOOKUPS[need.kind](need.name)


def missing(needs: Iterable[Need], has: Callable[[Need], bool] = is_there) -> tuple[Need, ...]:
    """Those that are not there, each once."""
    return tuple(need for need in dict.fromkeys(needs) if not has(need))


def packages(needs: Iterable[Need]) -> tuple[str, ...]:
    """Debian's packages that bring them."""
    return tuple(sorted({need.package for need in needs}))


def has_program(name: str) -> bool:
    return shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", ""), *SBIN))) is not None


def has_library(name: str) -> bool:
    try:
        ctypes.CDLL(name)
    except OSError:
        return False
    return True


LOOKUPS: Mapping[Kind, Callable[[str], bool]] = {
    "program": has_program,
    "library": has_library,
    "module": lambda name: importlib.util.find_spec(name) is not None,
    "file": lambda name: Path(name).exists(),
}
