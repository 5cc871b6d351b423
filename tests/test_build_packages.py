"""What a host is asked for, and how it gets what it lacks before anything needs it."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from build import packages
from build.activation import Host
from build.command import Command, Result
from build.errors import DeployError
from build.executor import LocalExecutor, OnLine
from build.needs import EVERYTHING, Building, Needs, needs_of, things_to_look_for
from build.packages import (
    chosen_packages,
    install_command,
    install_packages,
    missing_problem,
    offers_command,
    refuse_lacking,
)
from build.pins import load_pins
from build.prepare import PINS as FILE
from build.progress import Reporter
from build.system import System
from build.target import Target
from tests.deployments import deployment, model
from tests.hosts import THINGS, system

PINS = load_pins(FILE)
EAGER = deployment({"alpha": model(engine={"enforce_eager": True})})
COMPILED = deployment({"alpha": model(), "beta": model(engine={"enforce_eager": True})})
UBUNTU = {"g++": "4:13.2.0-7ubuntu1", "g++-13": "13.3.0-6ubuntu2~24.04", "g++-14": "14.2.0-4ubuntu2~24.04"}
DEBIAN = {"g++": "4:12.2.0-3", "g++-12": "12.2.0-14+deb12u1"}
FRESH = system(without=[*THINGS, "g++"])


def asked(building: Building | None, *, machine: str = "aarch64", served: Any = EAGER) -> Needs:
    return needs_of(served, PINS, machine=machine, building=building)


def host_system(given: dict[str, Any] | None = None, **changes: Any) -> System:
    return System.model_validate({**(given or system()), **changes})


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
    assert missing_problem(needs, host_system(), name="main") is None
    lacks = host_system(without_root(["ccache", "g++", "libtcmalloc_minimal.so.4"]))
    assert missing_problem(needs, lacks, name="main") == (
        "main: the system lacks what the engine needs, got no ccache, libtcmalloc_minimal.so.4, g++ 12.3 or newer. "
        "Run `apt-get install ccache libtcmalloc-minimal4 g++` there as root."
    )
    elsewhere = host_system({**without_root(["git"]), "has_apt": False})
    assert missing_problem(needs, elsewhere, name="main") == (
        "main: the system lacks what the engine needs, got no git. "
        "Install them; on Debian and Ubuntu: `apt-get install git`."
    )


def without_root(things: list[str]) -> dict[str, Any]:
    return system(without=things, is_root=False)


@pytest.mark.parametrize(
    ("building", "offered", "chosen"),
    [
        ("compiled", UBUNTU, "libnuma1 python3-dev python3-venv ccache git libnuma-dev libtcmalloc-minimal4 g++-14"),
        ("wheel", UBUNTU, "libnuma1 python3-dev python3-venv g++-14"),
        ("wheel", DEBIAN, "libnuma1 python3-dev python3-venv g++-12"),
        ("stored", DEBIAN, "libnuma1 python3-dev python3-venv g++-12"),
    ],
)
def test_a_fresh_host_gets_the_best_compiler_that_its_distribution_has(
    building: Building, offered: dict[str, str], chosen: str
) -> None:
    told = chosen_packages(asked(building), host_system(FRESH), offered, name="main", pins=PINS)
    assert " ".join(told) == chosen


def test_a_newer_compiler_is_taken_for_kernels_where_one_is_on_offer_and_no_reason_to_stop_where_none_is() -> None:
    needs, there = asked("wheel"), host_system(compilers={"g++": "12.2.0"})
    assert needs.is_open(there)
    assert chosen_packages(needs, there, UBUNTU, name="main", pins=PINS) == ("g++-14",)
    assert chosen_packages(needs, there, DEBIAN, name="main", pins=PINS) == ()


def test_a_distribution_whose_compilers_are_too_old_is_refused_with_the_ways_out() -> None:
    debian = host_system({**FRESH, "distribution": "Debian GNU/Linux 12 (bookworm)"})
    with pytest.raises(DeployError) as caught:
        chosen_packages(asked("compiled"), debian, DEBIAN, name="main", pins=PINS)
    assert str(caught.value) == (
        "main: Debian GNU/Linux 12 (bookworm) has no compiler that is new enough, got g++ 12.2.0 where g++ 12.3 is "
        "needed. Use an image of the family ubuntu-2404-lts-arm64, or install a newer g++; or take the engine from a "
        "wheel (--engine wheel), or the wheels of another host (--wheels)."
    )


class Apt(LocalExecutor):
    """A host of which apt is asked; what it installs is there afterwards."""

    def __init__(self, *, locked: int = 0, said: str = "") -> None:
        self.ran: list[str] = []
        self.locked, self.said = locked, said

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        self.ran.append(str(command))
        if command.what == "read the distribution's package lists":
            if self.said:
                return Result(status=100, stdout="", stderr=self.said)
            if self.locked:
                self.locked -= 1
                held = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 312 (apt-get)\n"
                return Result(status=100, stdout="", stderr=held)
        return Result(status=0, stdout=json.dumps(DEBIAN) if "offers" in command.what else "", stderr="")


def on(apt: Apt, root: Path) -> Host:
    return Host(Target(name="main", root=str(root), runner="supervisor", python=sys.executable), apt, Reporter())


def test_packages_are_installed_after_what_a_power_cut_left_and_after_other_readers_of_the_lists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "LISTS_RETRY_S", 0.0)
    apt = Apt(locked=2)
    install_packages(on(apt, tmp_path), asked("wheel"), host_system(FRESH), PINS)
    update = "env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 update"
    assert apt.ran[:3] == [update] * 3
    assert apt.ran[4:] == [
        "dpkg --configure -a",
        "env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "
        "libnuma1 python3-dev python3-venv g++-12",
    ]


def test_packages_that_do_not_bring_what_they_should_are_named(tmp_path: Path) -> None:
    host = on(Apt(), tmp_path)
    refuse_lacking(host, asked("wheel"), host_system())
    with pytest.raises(DeployError) as caught:
        refuse_lacking(host, asked("wheel"), host_system(system(without=["ensurepip"])))
    assert str(caught.value) == (
        "main: the packages are installed and bring not all of it, got no venv. "
        "Look there with `apt-cache policy python3-venv`, and install what brings it."
    )


def test_a_distribution_that_cannot_be_reached_is_told_and_nothing_is_installed(tmp_path: Path) -> None:
    apt = Apt(said="E: Failed to fetch http://ports.example/noble/InRelease\n")
    with pytest.raises(DeployError) as caught:
        install_packages(on(apt, tmp_path), asked("wheel"), host_system(FRESH), PINS)
    assert str(caught.value) == (
        "main: the distribution's package lists cannot be read, got E: Failed to fetch "
        "http://ports.example/noble/InRelease. Let the host reach its package mirror, or install what is missing "
        "there by hand."
    )
    assert len(apt.ran) == 1


def test_packages_that_apt_names_by_guessing_are_not_offers(tmp_path: Path) -> None:
    # To apt an unknown name is a regular expression, and "g++-13" is found within "clang-13".
    listed = "".join(f"{name}:\n  Installed: (none)\n  Candidate: 1:16.0.6-15\n" for name in ("g++-12", "clang-16"))
    program = tmp_path / "apt-cache"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{listed}E\n")
    program.chmod(0o755)
    command = offers_command(python=sys.executable)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command.argv, input=command.stdin, env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == {"g++-12": "1:16.0.6-15"}


def test_no_command_of_apt_asks_a_person_anything() -> None:
    assert re.search("noninteractive.*--yes", str(install_command(("a",))))


def test_everything_that_can_be_needed_is_looked_for_in_one_look() -> None:
    listed = {name for names in things_to_look_for().values() for name in names}
    assert {need.name for need in EVERYTHING} <= listed
    assert {"g++", "g++-12", "g++-17"} <= listed
