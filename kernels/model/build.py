"""Build what the modelled benchmark runs, and say with which tools."""

import re
import shutil
from pathlib import Path

from kernels.model.model import DISASSEMBLER, OBJECTS, QEMU, SCHEDULER, output_of

COMPILER = "clang++-19"
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


def missing_packages() -> list[str]:
    """Debian 12's packages of the programs that are not there."""
    return sorted({package for program, package in PACKAGES.items() if shutil.which(program) is None})


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
    plugin = folder / "libtrace.so"
    output_of(["cc", "-shared", "-fPIC", "-O2", str(source / "model/trace.c"), "-o", str(plugin)])
    return folder / "bench", plugin
