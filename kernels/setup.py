"""Compile the extension with CMake while setuptools makes the wheel. The metadata is in pyproject.toml."""

import importlib.util
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

SOURCE = Path(__file__).resolve().parent
# Compiled output stays out of the sources, and stays: a second build compiles only what changed.
OUTPUT = Path(os.environ.get("AXION_BUILD_DIR", SOURCE.parent / "out" / "kernels" / "wheel-build"))
TARGETS = ("axion_torch", "axion_cores")

ELF_MACHINES = {62: "x86_64", 183: "aarch64"}  # e_machine, elf.h


def torch_directory() -> Path:
    """The torch package to compile against."""
    if named := os.environ.get("AXION_TORCH_DIR"):
        return Path(named).resolve()
    found = importlib.util.find_spec("torch")  # not imported: that takes seconds, and another machine's cannot be
    if found is None or found.origin is None:
        raise SystemExit(
            "kernels: torch: not installed here, got nothing. "
            "Build in the engine environment, with --no-build-isolation."
        )
    return Path(found.origin).parent


def torch_version(torch: Path) -> str:
    """The release without its local part: +cpu and +cu130 have the same headers."""
    match = re.search(r"^__version__ = '([^'+]+)", (torch / "version.py").read_text(), re.MULTILINE)
    assert match is not None, f"{torch}/version.py: no __version__"
    return match.group(1)


class BuildWithExtension(build_py):
    """Put the compiled library beside the Python files."""

    def run(self) -> None:
        super().run()
        torch = torch_directory()
        package = Path(self.build_lib).resolve() / "axion_kernels"
        cmake = OUTPUT / "cmake"
        options = [
            "-DAXION_TORCH=ON",
            "-DAXION_TESTS=OFF",
            "-DAXION_STRICT=OFF",
            "-DCMAKE_BUILD_TYPE=Release",
            f"-DAXION_TORCH_DIR={torch}",
        ]
        extra = shlex.split(os.environ.get("CMAKE_ARGS", ""))
        jobs = os.environ.get("MAX_JOBS", str(os.cpu_count() or 1))
        subprocess.run(["cmake", "-S", SOURCE, "-B", cmake, *options, *extra], check=True)
        subprocess.run(["cmake", "--build", cmake, "--parallel", jobs, "--target", *TARGETS], check=True)
        subprocess.run(["cmake", "--install", cmake, "--strip", "--prefix", package.parent], check=True)
        (package / "build.json").write_text(json.dumps({"torch": torch_version(torch)}) + "\n")


def machine_of(library: Path) -> str:
    """The machine that an ELF file is for, as platform tags spell it: a cross-build's is not this one."""
    with library.open("rb") as file:
        header = file.read(20)
    return ELF_MACHINES[int.from_bytes(header[18:20], "little")]


class PlatformWheel(bdist_wheel):
    """Any Python 3, one platform: the library is bound to torch, not to the interpreter."""

    def get_tag(self) -> tuple[str, str, str]:
        library = Path(self.get_finalized_command("build").build_lib) / "axion_kernels" / "libaxion_torch.so"
        return "py3", "none", f"linux_{machine_of(library)}"


class PlatformDistribution(Distribution):
    """Has compiled code, although setuptools compiles none of it."""

    def has_ext_modules(self) -> bool:
        return True


OUTPUT.mkdir(parents=True, exist_ok=True)
setup(
    distclass=PlatformDistribution,
    cmdclass={"build_py": BuildWithExtension, "bdist_wheel": PlatformWheel},
    options={
        "build": {"build_base": str(OUTPUT / "setuptools")},
        "egg_info": {"egg_base": str(OUTPUT)},
    },
)
