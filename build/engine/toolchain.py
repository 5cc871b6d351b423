"""Decide how a host compiles: with which compiler, on which cores, how many jobs at a time. From its facts alone."""

from pydantic import BaseModel, ConfigDict

from agent.protocol import System
from build.engine.compilers import usable
from build.pins import Pins
from deployment.quantities import GIB, shown_bytes

# What one job of the largest files takes (vLLM's attention, oneDNN), and what stays with everything else on the host.
JOB_BYTES, RESERVED_BYTES = 2 * GIB, 2 * GIB


class Toolchain(BaseModel):
    """What will be compiled with."""

    model_config = ConfigDict(frozen=True)

    cxx: str
    version: str
    jobs: int
    cores: tuple[int, ...]
    """Where compilers may run. Not all when memory is short: the Arm Compute Library takes every core it sees."""

    @property
    def cc(self) -> str:
        return self.cxx.replace("g++", "gcc")

    @property
    def variables(self) -> dict[str, str]:
        """What build tools read about it."""
        return {"CC": self.cc, "CXX": self.cxx, "MAX_JOBS": str(self.jobs)}


def choose_toolchain(system: System, minimum: str) -> Toolchain:
    """Take the newest compiler that is there; at least one of `minimum` is, since packages come before builds."""
    cxx = usable(system.compilers, minimum)[-1]
    jobs = max(1, _jobs(system))
    return Toolchain(cxx=cxx, version=system.compilers[cxx], jobs=jobs, cores=system.cores[:jobs])


def memory_problem(system: System, *, name: str) -> str | None:
    """Say that not even one job fits into what is free now."""
    if _jobs(system) >= 1:
        return None
    return (
        f"{name}: too little free memory to compile, got {shown_bytes(system.available_bytes)} where "
        f"{shown_bytes(RESERVED_BYTES + JOB_BYTES)} are needed for one job. "
        "Stop some engines (`fab stop`), or take the engine from a wheel (--engine wheel)."
    )


def build_minimum(pins: Pins, origin: str, machine: str) -> str:
    """The oldest compiler for what is built: vLLM itself, or our kernels beside its wheel."""
    return pins.compiler.gcc_min if origin == "compiled" else pins.compiler.runtime_min(machine)


def _jobs(system: System) -> int:
    return int(min(len(system.cores), (system.available_bytes - RESERVED_BYTES) // JOB_BYTES))
