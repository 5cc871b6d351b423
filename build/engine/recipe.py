"""What an engine environment is made from, our kernels' sources included, and the digest that names it."""

import hashlib
import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from agent.protocol import System
from build.engine.sources import Sources
from build.pins import Origin, Pins, environment_digest
from build.remote.target import REPOSITORY
from deployment.render.release import RenderedFile

JOB = "environment"
"""The name of the job that makes one."""
SOURCES = REPOSITORY / "kernels"
# What its setup.py and CMake read. Tests, benches and documents do not travel, and do not change a build's name.
PARTS = ("CMakeLists.txt", "pyproject.toml", "setup.py", "cmake", "include", "src", "torch", "cores", "python")


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an environment is made from."""

    pins: Pins
    constraints_text: str
    digest: str
    machine: str
    origin: Origin
    system: System
    sources: Sources = field(default_factory=Sources)

    @property
    def may_install(self) -> bool:
        """Whether the deployment brings the host packages. Who names a mirror wants nothing from elsewhere."""
        return self.system.is_root and self.system.has_apt and self.sources.mirror is None


def kernel_files(sources: Path = SOURCES) -> list[RenderedFile]:
    """Read the sources that end up in the wheel."""
    found = (path for part in PARTS for path in (sources / part, *(sources / part).rglob("*")))
    return [
        RenderedFile(path=str(path.relative_to(sources)), text=path.read_text(encoding="utf-8"))
        for path in sorted(found)
        if path.is_file() and "__pycache__" not in path.parts
    ]


def kernels_digest(sources: Path = SOURCES) -> str:
    """Name the sources: it changes with any byte that is compiled or packed."""
    return hashlib.sha256(archive(kernel_files(sources))).hexdigest()


def wanted_digest(pins: Pins, constraints_text: str, *, machine: str, python: str, origin: Origin) -> str:
    """Name the environment that this checkout wants on such a host."""
    kernels = kernels_digest() if pins.has_kernels(machine) else ""
    return environment_digest(pins, constraints_text, machine=machine, python=python, origin=origin, kernels=kernels)


def archive(files: Iterable[RenderedFile]) -> bytes:
    """Pack files into an uncompressed tar, byte for byte the same for the same files."""
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for file in sorted(files, key=lambda each: each.path):
            content = file.text.encode()
            member = tarfile.TarInfo(file.path)
            member.size, member.mode = len(content), 0o644
            tar.addfile(member, io.BytesIO(content))
    return packed.getvalue()
