"""The wheel axion_kernels: its sources as they travel to a host, and the commands that compile them there."""

import hashlib
import io
import tarfile
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath

from agent.system import SYSTEM_PATH
from build.engine.commands import BuildDirectory, pip_install
from build.engine.toolchain import Toolchain
from build.pins import Origin, Pins, environment_digest
from build.remote.command import Command
from build.remote.target import REPOSITORY
from deployment.render.release import RenderedFile

SOURCES = REPOSITORY / "kernels"
# What its setup.py and CMake read. Tests, benches and documents do not travel, and do not change a build's name.
PARTS = ("CMakeLists.txt", "pyproject.toml", "setup.py", "cmake", "include", "src", "torch", "cores", "python")
COMPILE_TIMEOUT_S = 3600.0


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


def kernel_commands(
    build: BuildDirectory, wheels: PurePosixPath, *, files: list[RenderedFile], env: Mapping[str, str]
) -> tuple[Command, ...]:
    """Unpack the sources and compile them against the torch of the environment."""
    sources = build.path / "src" / "kernels"
    return (
        Command(argv=("mkdir", "-p", "--", str(sources)), what="make room for the kernels"),
        Command(argv=("tar", "-x", "-C", str(sources)), what="upload the kernels", stdin=archive(files), timeout_s=300),
        Command(
            argv=wheel_argv(build, wheels, sources),
            what="compile axion_kernels",
            env={**env, "AXION_BUILD_DIR": str(build.path / "src" / "kernels-build"), "CMAKE_ARGS": "-G Ninja"},
            cwd=str(build.path),
            timeout_s=COMPILE_TIMEOUT_S,
        ),
    )


def beside_a_wheel(
    pins: Pins, build: BuildDirectory, toolchain: Toolchain, index_args: tuple[str, ...]
) -> tuple[Command, ...]:
    """Compile the kernels and install them where vLLM itself came as a wheel."""
    tools, wheels = build.path / "tools", build.path / "wheels"
    found = {"PATH": f"{tools}/bin:{build.venv}/bin:{SYSTEM_PATH}", "PYTHONPATH": str(tools), "PYTHONNOUSERSITE": "1"}
    env = {**found, **toolchain.variables}
    return (
        pip_install(
            build,
            *index_args,
            *("--no-deps", "--only-binary", ":all:", "--target", str(tools), *pins.vllm.build_requires),
            what="install what the kernels are built with",
        ),
        *kernel_commands(build, wheels, files=kernel_files(), env=env),
        pip_install(
            build,
            *("--no-index", "--find-links", f"{wheels}/", "--no-deps", "axion-kernels"),
            what="install axion_kernels",
        ),
        Command(
            argv=("rm", "-rf", "--", str(build.path / "src"), str(tools)),
            what="clear what only the compilation needed",
            timeout_s=300,
        ),
    )


def wheel_argv(build: BuildDirectory, wheels: PurePosixPath, sources: PurePosixPath) -> tuple[str, ...]:
    """Make a wheel from a directory with what is installed, and fetch nothing for it.

    Not isolated (-I): the tools to build with are found through PYTHONPATH. -P keeps the current directory out.
    """
    return (
        *(str(build.python), "-P", "-m", "pip", "wheel", "--disable-pip-version-check", "--no-input", "--verbose"),
        *("--no-build-isolation", "--no-deps", "--no-index", "--wheel-dir", str(wheels), str(sources)),
    )


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
