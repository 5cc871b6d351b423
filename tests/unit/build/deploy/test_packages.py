"""What a host is asked for, and how it gets what it lacks before anything needs it."""

from typing import Any

import pytest

from agent.message import data_of
from agent.protocol import System
from build.deploy.packages import chosen_packages
from build.engine.needs import EVERYTHING, Building, Needs, needs_of, things_to_look_for
from build.errors import DeployError
from build.pins import PINS as FILE
from build.pins import load_pins
from tests.support.deployments import deployment, model
from tests.support.hosts import THINGS, facts, system

PINS = load_pins(FILE)
EAGER = deployment({"alpha": model(engine={"enforce_eager": True})})
COMPILED = deployment({"alpha": model(), "beta": model(engine={"enforce_eager": True})})
UBUNTU = {"g++": "4:13.2.0-7ubuntu1", "g++-13": "13.3.0-6ubuntu2~24.04", "g++-14": "14.2.0-4ubuntu2~24.04"}
DEBIAN = {"g++": "4:12.2.0-3", "g++-12": "12.2.0-14+deb12u1"}
FRESH = system(without=[*THINGS, "g++"])


def asked(building: Building | None, *, machine: str = "aarch64", served: Any = EAGER) -> Needs:
    return needs_of(
        PINS,
        machine=machine,
        python="3.12.3",
        building=building,
        is_compiling_models=served.is_compiling_models,
    )


def host_system(given: dict[str, Any] | None = None, **changes: Any) -> System:
    return facts(system={**(given or system()), **changes}).system


@pytest.mark.parametrize(
    ("building", "machine", "served", "lacking"),
    [
        (None, "x86_64", EAGER, ["libnuma.so.1"]),
        ("wheel", "x86_64", EAGER, ["libnuma.so.1", "venv"]),
        ("wheel", "x86_64", COMPILED, ["libnuma.so.1", "Python.h", "venv", "g++ 1.0 or newer"]),
        (None, "aarch64", COMPILED, ["libnuma.so.1", "Python.h", "g++ 12.0 or newer"]),
        ("wheel", "aarch64", EAGER, ["libnuma.so.1", "Python.h", "venv", "g++ 12.0 or newer"]),
        ("stored", "aarch64", EAGER, ["libnuma.so.1", "Python.h", "venv", "g++ 12.0 or newer"]),
        (
            "compiled",
            "aarch64",
            EAGER,
            ["libnuma.so.1", "Python.h", "venv", "ccache", "git", "numa.h", "libtcmalloc_minimal.so.4",
             "g++ 12.3 or newer"],
        ),
    ],
)  # fmt: skip
def test_a_fresh_host_lacks_what_its_deployment_needs_and_no_more(
    building: Building | None, machine: str, served: Any, lacking: list[str]
) -> None:
    assert list(asked(building, machine=machine, served=served).lacking(host_system(FRESH))) == lacking


def test_a_host_that_has_everything_lacks_nothing_for_any_deployment() -> None:
    buildings: tuple[Building | None, ...] = (None, "wheel", "stored", "compiled")
    for building in buildings:
        assert asked(building, served=COMPILED).lacking(host_system()) == ()
        assert not asked(building).is_open(host_system())


def test_a_compiler_that_is_too_old_for_torch_on_arm_counts_as_none() -> None:
    old = host_system(compilers={"g++": "11.4.0"})
    assert asked(None, served=COMPILED).lacking(old) == ("g++ 12.0 or newer",)
    assert asked(None, machine="x86_64", served=COMPILED).lacking(old) == ()


def test_all_that_is_missing_is_one_sentence_where_the_deployment_may_not_install_it() -> None:
    needs = asked("compiled")
    assert needs.problem(host_system(), name="main") is None
    lacks = host_system(without_root(["ccache", "g++", "libtcmalloc_minimal.so.4"]))
    assert needs.problem(lacks, name="main") == (
        "main: the system lacks what the engine needs: ccache, libtcmalloc_minimal.so.4, g++ 12.3 or newer. "
        "Run `apt-get install ccache libtcmalloc-minimal4 g++` there as root. If Ubuntu 24.04.3 LTS has no such "
        "compiler: take the engine from a wheel (--engine wheel), or the wheels of another host (--wheels)."
    )
    elsewhere = host_system({**without_root(["git"]), "has_apt": False})
    assert needs.problem(elsewhere, name="main") == (
        "main: the system lacks what the engine needs: git. Install them; on Debian and Ubuntu: `apt-get install git`."
    )


def without_root(things: list[str]) -> dict[str, Any]:
    return system(without=things, is_root=False)


@pytest.mark.parametrize(
    ("building", "offered", "chosen"),
    [
        (
            "compiled",
            UBUNTU,
            "libnuma1 python3.12-dev python3.12-venv ccache git libnuma-dev libtcmalloc-minimal4 g++-14",
        ),
        ("wheel", UBUNTU, "libnuma1 python3.12-dev python3.12-venv g++-14"),
        ("wheel", DEBIAN, "libnuma1 python3.12-dev python3.12-venv g++-12"),
        ("stored", DEBIAN, "libnuma1 python3.12-dev python3.12-venv g++-12"),
    ],
)
def test_a_fresh_host_gets_the_best_compiler_that_its_distribution_has(
    building: Building, offered: dict[str, str], chosen: str
) -> None:
    told = chosen_packages(asked(building), host_system(FRESH), offered, name="main")
    assert " ".join(told) == chosen


def test_a_newer_compiler_is_taken_for_kernels_where_one_is_on_offer_and_no_reason_to_stop_where_none_is() -> None:
    needs, there = asked("wheel"), host_system(compilers={"g++": "12.2.0"})
    assert needs.is_open(there)
    assert chosen_packages(needs, there, UBUNTU, name="main") == ("g++-14",)
    assert chosen_packages(needs, there, DEBIAN, name="main") == ()


def test_a_distribution_whose_compilers_are_too_old_is_refused_with_the_ways_out() -> None:
    debian = host_system({**FRESH, "distribution": "Debian GNU/Linux 12 (bookworm)"})
    with pytest.raises(DeployError) as caught:
        chosen_packages(asked("compiled"), debian, DEBIAN, name="main")
    assert str(caught.value) == (
        "main: Debian GNU/Linux 12 (bookworm) has no compiler that is new enough, got g++ 12.2.0 where g++ 12.3 is "
        "needed. Use an image of the family ubuntu-2404-lts-arm64, or install a newer g++; or take the engine from a "
        "wheel (--engine wheel), or the wheels of another host (--wheels)."
    )


def test_everything_that_can_be_needed_is_looked_for_in_one_look() -> None:
    listed = {name for names in data_of(things_to_look_for("")).values() for name in names}
    assert {need.name for need in EVERYTHING} <= listed
    assert {"g++", "g++-12", "g++-17"} <= listed
