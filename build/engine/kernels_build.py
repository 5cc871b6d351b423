"""The wheel axion_kernels: the commands that compile it on a host."""

from collections.abc import Mapping
from pathlib import PurePosixPath

from agent.system import SYSTEM_PATH
from build.engine.commands import BuildDirectory, pip_install
from build.engine.recipe import archive, kernel_files
from build.engine.toolchain import Toolchain
from build.pins import Pins
from build.remote.command import Command
from deployment.render.release import RenderedFile

COMPILE_TIMEOUT_S = 3600.0


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
