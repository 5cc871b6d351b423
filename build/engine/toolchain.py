"""Decide what to compile with: compiler, packages, and how many jobs fit into memory. From the host's facts alone."""

import json
import re
from collections.abc import Iterator

from pydantic import BaseModel, ConfigDict

from build.command import Command
from build.errors import DeployError
from build.onhost import script
from build.pins import Pins
from deployment.quantities import GIB, shown_bytes

# Of Debian and Ubuntu. libtcmalloc-minimal4 before vLLM is compiled: its setup.py copies the library into the wheel.
PACKAGES = ("ccache", "git", "libnuma-dev", "libtcmalloc-minimal4", "python3-dev", "python3-venv")
COMPILERS = ("g++", *(f"g++-{major}" for major in range(12, 18)))
# What one job of the largest files takes (vLLM's attention, oneDNN), and what stays with everything else on the host.
JOB_BYTES, RESERVED_BYTES = 2 * GIB, 2 * GIB
# Without the first two at build time, vLLM leaves its fast attention and int8 kernels out and says nothing.
FEATURES = ("bf16", "i8mm", "sve2")
APT = ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-o", "DPkg::Lock::Timeout=300")


class ToolchainFacts(BaseModel):
    """What build/onhost/toolchain.py tells."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    system: str
    is_root: bool
    has_apt: bool
    cores: tuple[int, ...]
    available_bytes: int
    features: tuple[str, ...]
    installed: tuple[str, ...]
    compilers: dict[str, str]
    offered: dict[str, str]


class Toolchain(BaseModel):
    """What will be compiled with."""

    model_config = ConfigDict(frozen=True)

    cxx: str
    version: str
    packages: tuple[str, ...]
    """To install first; empty when everything is there."""
    jobs: int
    cores: tuple[int, ...]
    """Where compilers may run. Not all when memory is short: the Arm Compute Library takes every core it sees."""

    @property
    def cc(self) -> str:
        return self.cxx.replace("g++", "gcc")


def facts_command(*, python: str) -> Command:
    wanted = json.dumps({"packages": PACKAGES, "compilers": COMPILERS})
    return Command(
        argv=(python, "-I", "-", wanted), what="look for a compiler", stdin=script("toolchain.py"), timeout_s=120
    )


def needs_packages(facts: ToolchainFacts, pins: Pins) -> bool:
    """Whether something has to be installed, so that apt's lists have to be fresh before anything is decided."""
    return bool(set(PACKAGES) - set(facts.installed)) or not _installed_compilers(facts, pins)


def update_command() -> Command:
    return Command(argv=(*APT, "update"), what="read the distribution's package lists", timeout_s=300)


def install_command(packages: tuple[str, ...]) -> Command:
    argv = (*APT, "install", "--yes", "--no-install-recommends", *packages)
    return Command(argv=argv, what=f"install {', '.join(packages)}", timeout_s=900)


def choose_toolchain(facts: ToolchainFacts, pins: Pins, *, name: str, may_install: bool) -> Toolchain:
    """Decide, or raise DeployError with everything that is in the way. `name` is how to call the host."""
    chosen = _compiler(facts, pins)
    problems = [*_feature_problems(facts, name)]
    if chosen is None:
        problems.append(_no_compiler(facts, pins, name))
    lacking = sorted(set(PACKAGES) - set(facts.installed))
    if chosen is not None and chosen not in facts.compilers:
        lacking.append(chosen)
    if lacking and not (may_install and facts.is_root and facts.has_apt):
        problems.append(
            f"{name}: packages needed to compile are missing, got no {', '.join(lacking)}. "
            f"Run `apt-get install {' '.join(lacking)}` there as root."
        )
    jobs = min(len(facts.cores), (facts.available_bytes - RESERVED_BYTES) // JOB_BYTES)
    if jobs < 1:
        problems.append(
            f"{name}: too little free memory to compile, got {shown_bytes(facts.available_bytes)} where "
            f"{shown_bytes(RESERVED_BYTES + JOB_BYTES)} are needed for one job. "
            "Stop some engines (`fab stop`), or install the wheels of another host (--wheels)."
        )
    if problems:
        raise DeployError(*problems)
    assert chosen is not None
    version = facts.compilers.get(chosen) or _upstream(facts.offered[chosen])
    return Toolchain(cxx=chosen, version=version, packages=tuple(lacking), jobs=jobs, cores=facts.cores[:jobs])


def _compiler(facts: ToolchainFacts, pins: Pins) -> str | None:
    """The newest one: what is installed if it is as new as wanted, else what the distribution offers as well."""
    installed = _installed_compilers(facts, pins)
    wanted = [name for name in installed if _is_at_least(facts.compilers[name], pins.compiler.gcc_wanted)]
    if wanted:
        return wanted[-1]
    offered = _good({name: _upstream(version) for name, version in facts.offered.items() if name != "g++"}, pins)
    return max(
        (*installed, *offered),
        key=lambda name: (_parts(facts.compilers.get(name) or _upstream(facts.offered[name])), name in installed),
        default=None,
    )


def _installed_compilers(facts: ToolchainFacts, pins: Pins) -> list[str]:
    return _good(facts.compilers, pins)


def _good(versions: dict[str, str], pins: Pins) -> list[str]:
    """Those that are new enough, oldest first."""
    good = [name for name, version in versions.items() if _is_at_least(version, pins.compiler.gcc_min)]
    return sorted(good, key=lambda name: _parts(versions[name]))


def _is_at_least(version: str, minimum: str) -> bool:
    return _parts(version) >= _parts(minimum)


def _parts(version: str) -> tuple[int, ...]:
    found = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return (*found, *(0,) * (3 - len(found)))


def _upstream(version: str) -> str:
    """The compiler's own version in that of a package: 12.2.0 of `4:12.2.0-14+deb12u1`."""
    return re.sub(r"^\d+:|[-+~].*$", "", version)


def _feature_problems(facts: ToolchainFacts, name: str) -> Iterator[str]:
    missing = [feature for feature in FEATURES if feature not in facts.features]
    if missing:
        yield (
            f"{name}: its processor lacks what the build is for, got no {', '.join(missing)}. "
            "Use an Axion machine (C4A or N4A)."
        )


def _no_compiler(facts: ToolchainFacts, pins: Pins, name: str) -> str:
    seen = {**{name: _upstream(version) for name, version in facts.offered.items()}, **facts.compilers}
    newest = max(seen, key=lambda compiler: _parts(seen[compiler]), default=None)
    got = f"{newest} {seen[newest]}" if newest else "none at all"
    return (
        f"{name}: {facts.system} has no compiler that is new enough for BF16 code, got {got} where g++ "
        f"{pins.compiler.gcc_min} is needed. Use an image of the family ubuntu-2404-lts-arm64, install a newer g++, "
        "or install the wheels of another host (--wheels)."
    )
