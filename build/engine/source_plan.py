"""One compilation of vLLM as data: what goes into it, where it happens, in which environment its tools run."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from agent.system import SYSTEM_PATH
from build.engine.commands import BuildDirectory
from build.engine.sources import Sources
from build.engine.toolchain import Toolchain
from build.engine.torch_source import TorchSource
from build.pins import Pins
from deployment.render.release import RenderedFile

TUNE_SINCE = 13
"""The first gcc that knows neoverse-v2 by name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceBuild:
    """One compilation: what, where, with what."""

    pins: Pins
    build: BuildDirectory
    machine: str
    torch: TorchSource
    toolchain: Toolchain
    sources: Sources
    constraints_text: str
    kernels: list[RenderedFile]

    @property
    def wheels(self) -> PurePosixPath:
        return self.build.path / "wheels"

    @property
    def tools(self) -> PurePosixPath:
        return self.build.path / "tools"

    def source(self, name: str) -> PurePosixPath:
        return self.build.path / "src" / name


def tool_environment(plan: SourceBuild) -> dict[str, str]:
    """What finds the build tools, and nothing of the user's own."""
    return {
        "PATH": f"{plan.tools}/bin:{plan.build.venv}/bin:{SYSTEM_PATH}",
        "PYTHONPATH": str(plan.tools),
        "PYTHONNOUSERSITE": "1",
        # vLLM's Rust front end is optional and not used; with a cargo its build would fetch from the internet.
        "CARGO": "/bin/false",
    }


def compiler_environment(plan: SourceBuild) -> dict[str, str]:
    return {
        **plan.toolchain.variables,
        "CCACHE_DIR": str(ccache(plan)),
        "CCACHE_MAXSIZE": "10G",
        # CMake reads these itself, so that the Arm Compute Library's own configuration run sees them too.
        "CMAKE_C_COMPILER_LAUNCHER": "ccache",
        "CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
    }


def compile_environment(plan: SourceBuild) -> dict[str, str]:
    """What vLLM's setup.py and CMake files read (0.32.0: setup.py, cmake/cpu_extension.cmake)."""
    # Not -mcpu: it contradicts the -march that vLLM's CMake sets.
    tuned = int(plan.toolchain.version.partition(".")[0]) >= TUNE_SINCE and plan.machine == "aarch64"
    return {
        **tool_environment(plan),
        **compiler_environment(plan),
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_VERSION_OVERRIDE": f"{plan.pins.vllm.version}+cpu",
        "VLLM_DISABLE_SCCACHE": "1",
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_ARGS": "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
        "FETCHCONTENT_BASE_DIR": str(plan.source("deps")),
        "FETCHCONTENT_SOURCE_DIR_ONEDNN": str(plan.source("onednn")),
        # Built inside its own tree, which therefore is a copy that may be written to.
        "ACL_ROOT_DIR": str(plan.source("acl")),
        **({"CXXFLAGS": "-mtune=neoverse-v2"} if tuned else {}),
    }


def facts_of(plan: SourceBuild) -> Mapping[str, str | int]:
    return {
        "recipe": "source",
        "torch_source": plan.torch.said,
        "compiler": f"{plan.toolchain.cxx} {plan.toolchain.version}",
        "jobs": plan.toolchain.jobs,
        "flags": compile_environment(plan).get("CXXFLAGS", ""),
        "sdist": plan.pins.vllm.sdist_sha256,
        "acl_tag": plan.pins.acl.tag,
    }


def ccache(plan: SourceBuild) -> PurePosixPath:
    """Outlives the build directory, which an interrupted build loses."""
    return plan.build.path.parent.parent / "work" / "ccache"
