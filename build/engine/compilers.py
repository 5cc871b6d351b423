"""Which C++ compiler an engine is built and served with: decided from what a host has and what apt offers it."""

import re
from collections.abc import Iterable, Mapping

NAMES = ("g++", *(f"g++-{major}" for major in range(12, 18)))


def usable(versions: Mapping[str, str], minimum: str) -> list[str]:
    """Name those that are new enough, oldest first; of equal ones `g++` itself last."""
    good = [name for name, version in versions.items() if parts(version) >= parts(minimum)]
    return sorted(good, key=lambda name: (parts(versions[name]), name == "g++"))


def choose_compiler(
    installed: Mapping[str, str], offered: Mapping[str, str], *, minimum: str, wanted: str
) -> str | None:
    """Take the newest: of what is installed if that is as new as wanted, else of what the distribution offers as well.

    `offered` are versions of packages. That of `g++` itself is the name of another one.
    """
    there = usable(installed, minimum)
    if there and parts(installed[there[-1]]) >= parts(wanted):
        return there[-1]
    packages = {name: upstream(version) for name, version in offered.items() if name != "g++" and name not in installed}
    known = {**packages, **installed}
    return max(
        (*there, *usable(packages, minimum)),
        key=lambda name: (parts(known[name]), name in installed),
        default=None,
    )


def newest(installed: Mapping[str, str], offered: Mapping[str, str]) -> str:
    """Tell what there is at best, for a sentence about its being too old."""
    seen = {**{name: upstream(version) for name, version in offered.items()}, **installed}
    best = max(seen, key=lambda name: parts(seen[name]), default=None)
    return f"{best} {seen[best]}" if best else "none at all"


def runtime_compiler(installed: Mapping[str, str], minimum: str) -> str | None:
    """Name the compiler that torch must be pointed at (CXX); None where it finds `g++` and that one will do."""
    good = usable(installed, minimum)
    return None if not good or "g++" in good else good[-1]


def parts(version: str) -> tuple[int, ...]:
    found = [int(part) for part in re.findall(r"\d+", version)[:3]]
    return (*found, *(0,) * (3 - len(found)))


def upstream(version: str) -> str:
    """The compiler's own version in that of a package: 12.2.0 of `4:12.2.0-14+deb12u1`."""
    return re.sub(r"^\d+:|[-+~].*$", "", version)


def highest(versions: Iterable[str]) -> str:
    """The highest of some minimums; "0" where nothing is asked for."""
    return max(versions, key=parts, default="0")
