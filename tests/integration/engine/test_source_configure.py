"""The real sources of vLLM and the real torch, configured for Arm by the commands of a source build.

On this machine for another: a cross compiler and a toolchain file stand for the host. What CMake says is the evidence.
"""

import os
import sysconfig
from dataclasses import replace
from pathlib import Path

import pytest

from build.engine.commands import BuildDirectory, begin_commands, start_commands
from build.engine.source_build import compile_commands, fetch_commands
from build.engine.source_plan import SourceBuild
from build.engine.sources import Sources
from build.engine.toolchain import Toolchain
from build.engine.torch_source import TorchSource
from build.pins import PINS, load_pins
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, check
from tests.support.arm.host import REPOSITORY
from tests.support.arm.machine import cpuinfo
from tests.support.fakes.source_trees import write_trees

pytestmark = pytest.mark.engine

OUTPUT = REPOSITORY / "out" / "source"
COMPILER = "aarch64-linux-gnu-g++-12"
# The interpreter is this machine's, and CMake asks no interpreter of another one where its headers are.
TOOLCHAIN = f"""set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(Python_INCLUDE_DIR {sysconfig.get_path("include")})
"""
TORCH = ("torch", "torch.libs", "torchgen", "functorch")


class Configured:
    """A build directory with everything that a compilation begins with."""

    def __init__(self, path: Path, engine_python: str) -> None:
        self.path = path
        self.plan = SourceBuild(
            pins=load_pins(PINS),
            build=BuildDirectory.of(str(path), "configure"),
            machine="aarch64",
            torch=TorchSource(requirement="torch", index_args=(), said="torch"),
            toolchain=Toolchain(cxx=COMPILER, version="12.2.0", jobs=1, cores=tuple(os.sched_getaffinity(0))),
            sources=Sources(),
            constraints_text="",
            kernels=[],
        )
        self.venv = Path(str(self.plan.build.venv))
        *pip, _ = begin_commands(self.plan.pins, self.plan.build, self.plan.torch, constraints_text="", index_args=())
        self.run(*start_commands(self.plan.build, python=engine_python), *pip)
        self._link_torch(Path(engine_python).parents[1])
        write_trees(Path(str(self.plan.source("acl"))).parent)
        self.run(*(command for command in fetch_commands(self.plan) if command.argv[0] != "git"))
        self._act_as_arm()

    def run(self, *commands: Command) -> None:
        for command in commands:
            check(LocalExecutor(), self.cached(command))

    def cached(self, command: Command) -> Command:
        return replace(command, env={**command.env, "PIP_CACHE_DIR": str(OUTPUT / "pip")})

    def _link_torch(self, engine: Path) -> None:
        """What `pip install --no-deps` unpacks, from the environment that the other tests serve with."""
        (there,), (here,) = (sorted((venv / "lib").glob("python3.*/site-packages")) for venv in (engine, self.venv))
        for name in TORCH:
            if (there / name).exists():
                (here / name).symlink_to(there / name)
        version = f"{self.plan.pins.torch.version}+cpu"
        (here / f"torch-{version}.dist-info").mkdir()
        (here / f"torch-{version}.dist-info" / "METADATA").write_text(f"Name: torch\nVersion: {version}\n")

    def _act_as_arm(self) -> None:
        """In front of the system's programs: the host's processor, and a compiler cache that keeps nothing."""
        (self.venv / "cpuinfo").write_text(cpuinfo(1))
        for name, text in (
            ("ccache", '#!/bin/sh\nexec "$@"\n'),
            ("cat", f"#!/bin/sh\nexec /bin/cat '{self.venv}/cpuinfo'\n"),
        ):
            (self.venv / "bin" / name).write_text(text)
            (self.venv / "bin" / name).chmod(0o755)
        (self.venv / "arm.cmake").write_text(TOOLCHAIN)

    def compile(self) -> Result:
        (command,) = compile_commands(self.plan)
        cross = {"CMAKE_TOOLCHAIN_FILE": str(self.venv / "arm.cmake")}
        return LocalExecutor().run(replace(command, env={**command.env, **cross}))


@pytest.fixture(scope="module")
def configured(tmp_path_factory: pytest.TempPathFactory, engine_python: str) -> Configured:
    return Configured(tmp_path_factory.mktemp("source"), engine_python)


def test_the_real_sources_configure_to_the_end_and_fetch_nothing(
    configured: Configured, capsys: pytest.CaptureFixture[str]
) -> None:
    """Up to the first target: on this machine setup.py also asks for one that only x86-64 has, and ninja refuses."""
    result = configured.compile()
    said = [line.strip() for line in result.stdout.splitlines()]
    cmake = [line for line in said if line.startswith(("-- ", "CMake Error", "ninja: "))]
    with capsys.disabled():
        print("\n" + "\n".join(cmake[-8:]))
    sources = configured.plan.build.path / "src"
    for wanted in (
        "-- BF16 extension detected",
        "-- I8MM extension detected",
        f"-- Using ACL from specified source directory: {sources}/acl",
        "-- Arm Compute Library (ACL) built successfully.",
        f"-- Using oneDNN from specified source directory: {sources}/onednn",
        f"-- Arm Compute Library: {sources}/acl/build/libarm_compute.a",
        "-- CPU extension compile flags: -fopenmp;-DVLLM_CPU_EXTENSION;-march=armv8.2-a+bf16+dotprod+fp16+i8mm",
    ):
        assert wanted in cmake
    assert not [line for line in said if "Downloading" in line or line.startswith("CMake Error")]
    assert cmake[-2].startswith("-- Build files have been written to: ")
    assert cmake[-1] == "ninja: error: unknown target '_C_AVX512'"
    assert not list(Path(str(sources / "deps")).glob("*-src"))


def test_without_what_torch_needs_the_configuration_ends_as_users_saw_it(configured: Configured) -> None:
    """The last test: it takes the module away."""
    Path(str(configured.plan.tools), "typing_extensions.py").unlink()
    result = configured.compile()
    assert result.status == 1
    assert "Failed to locate torch path" in result.stderr
    assert "ModuleNotFoundError: No module named 'typing_extensions'" in result.stderr
