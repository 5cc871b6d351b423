"""Build what the modelled benchmark runs, and say with which tools."""

import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from kernels.model.model import DISASSEMBLER, OBJECTS, QEMU, SCHEDULER, ModelError, output_of

COMPILER = "clang++-19"
INSTALLER = Path(__file__).resolve().parents[1] / "packages.sh"
INSTALL_LIMIT_S = 1800.0
PACKAGES = {
    QEMU: "qemu-user",
    OBJECTS: "llvm-19",
    DISASSEMBLER: "llvm-19",
    SCHEDULER: "llvm-19",
    COMPILER: "clang-19",
    "ld.lld-19": "lld-19",
    "aarch64-linux-gnu-g++-12": "g++-12-aarch64-linux-gnu",
    "cmake": "cmake",
    "ninja": "ninja-build",
    "cc": "gcc",
}


def missing_packages(programs: Mapping[str, str]) -> list[str]:
    """Debian 12's packages of the programs that are not there."""
    return sorted({package for program, package in programs.items() if not _is_there(program)})


def _is_there(program: str) -> bool:
    """A program by its name; sources, which are packaged too, by their path."""
    return Path(program).exists() if program.startswith("/") else shutil.which(program) is not None


def install_missing(programs: Mapping[str, str]) -> None:
    """Install the packages of the programs that are not there, which only root can."""
    missing = missing_packages(programs)
    if not missing:
        return
    print(f"installing {', '.join(missing)}", file=sys.stderr, flush=True)
    command = ["bash", str(INSTALLER), *missing]
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, timeout=INSTALL_LIMIT_S)
    if done.returncode != 0:
        raise ModelError(done.stderr.strip()[-2000:])


def tool_versions() -> dict[str, str]:
    """What the figures depend on. The compiler decides the instructions, llvm-mca the cycles."""
    versions = {}
    for program in (QEMU, COMPILER, SCHEDULER):
        found = re.search(r"version (\d+\.\d+\.\d+)", output_of([program, "--version"]))
        versions[program] = found[1] if found else "unknown"
    return versions


def build(source: Path, out: Path) -> tuple[Path, Path]:
    """The folder of the programs, and the plugin."""
    folder = out / "bench"
    toolchain = source / "cmake/aarch64-clang.cmake"
    options = ["-DCMAKE_BUILD_TYPE=Release", "-DAXION_TESTS=OFF", "-DAXION_BENCH=ON"]
    output_of(
        ["cmake", "-S", str(source), "-B", str(folder), "-G", "Ninja", *options, f"-DCMAKE_TOOLCHAIN_FILE={toolchain}"]
    )
    output_of(["cmake", "--build", str(folder), "--target", "bench_programs"])
    return folder / "bench", build_plugin(source, folder)


def build_plugin(source: Path, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    plugin = folder / "libtrace.so"
    output_of(["cc", "-shared", "-fPIC", "-O2", str(source / "model/trace.c"), "-o", str(plugin)])
    return plugin
