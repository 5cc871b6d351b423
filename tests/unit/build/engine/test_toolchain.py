"""What a host is compiled with, decided from its facts."""

from typing import Any

import pytest

from build.engine.compilers import choose_compiler, runtime_compiler
from build.engine.toolchain import Toolchain, choose_toolchain
from tests.support.hosts import facts, system

GIB = 2**30


def choose(**changed: Any) -> Toolchain:
    return choose_toolchain(facts(system=system(**changed)).system, "12.3")


@pytest.mark.parametrize(
    ("installed", "offered", "chosen"),
    [
        ({"g++": "14.2.0"}, {"g++-15": "15.1.0-1"}, "g++"),
        ({"g++": "12.2.0", "g++-14": "14.2.0", "g++-15": "15.0.1"}, {}, "g++-15"),
        ({"g++": "13.3.0"}, {}, "g++"),
        ({"g++": "13.3.0"}, {"g++-14": "14.2.0-4ubuntu2~24.04"}, "g++-14"),
        ({"g++": "12.3.0"}, {"g++-12": "12.3.0-1"}, "g++"),
        ({}, {"g++": "4:14.2.0-1", "g++-14": "14-20240412-0ubuntu1"}, "g++-14"),
        ({"g++": "12.2.0"}, {"g++": "4:12.2.0-3", "g++-12": "12.2.0-14+deb12u1"}, None),
    ],
)
def test_the_newest_is_taken_and_what_is_there_and_new_enough_is_not_replaced(
    installed: dict[str, str], offered: dict[str, str], chosen: str | None
) -> None:
    assert choose_compiler(installed, offered, minimum="12.3", wanted="14.0") == chosen


@pytest.mark.parametrize(
    ("installed", "named"),
    [
        ({"g++": "12.2.0"}, None),
        ({"g++": "12.2.0", "g++-14": "14.2.0"}, None),
        ({"g++": "11.4.0", "g++-12": "12.3.0"}, "g++-12"),
        ({"g++-14": "14.2.0", "g++-13": "13.3.0"}, "g++-14"),
        ({"g++": "11.4.0"}, None),
        ({}, None),
    ],
)
def test_torch_is_pointed_at_a_compiler_only_where_gxx_itself_will_not_do(
    installed: dict[str, str], named: str | None
) -> None:
    assert runtime_compiler(installed, "12.0") == named


@pytest.mark.parametrize(
    ("available_gib", "cores", "jobs"), [(120, 32, 32), (20, 32, 9), (4, 32, 1), (120, 4, 4), (5.9, 32, 1), (1, 8, 1)]
)
def test_jobs_fit_into_memory_and_cores(available_gib: float, cores: int, jobs: int) -> None:
    chosen = choose(available_bytes=int(available_gib * GIB), cores=list(range(8, 8 + cores)))
    assert chosen.jobs == jobs
    assert chosen.cores == tuple(range(8, 8 + jobs))


def test_build_tools_read_which_compiler_it_is_and_how_many_jobs_there_are() -> None:
    chosen = choose(compilers={"g++": "12.2.0", "g++-14": "14.2.0"}, cores=[0, 1])
    assert chosen.variables == {"CC": "gcc-14", "CXX": "g++-14", "MAX_JOBS": "2"}
