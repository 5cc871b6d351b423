"""What a host is compiled with, decided from its facts; each way in which it cannot be, once."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from build.engine.toolchain import (
    Toolchain,
    ToolchainFacts,
    choose_toolchain,
    facts_command,
    install_command,
    needs_packages,
)
from build.errors import DeployError
from build.pins import load_pins
from build.prepare import PINS as FILE

PINS = load_pins(FILE)
GIB = 2**30
READY = ("ccache", "git", "libnuma-dev", "libtcmalloc-minimal4", "python3-dev", "python3-venv")


def facts(**changed: Any) -> ToolchainFacts:
    whole: dict[str, Any] = {
        "system": "Ubuntu 24.04.3 LTS",
        "is_root": True,
        "has_apt": True,
        "cores": tuple(range(32)),
        "available_bytes": 120 * GIB,
        "features": ("bf16", "i8mm", "sve2"),
        "installed": READY,
        "compilers": {"g++": "13.3.0"},
        "offered": {"g++": "4:13.2.0-7ubuntu1", "g++-13": "13.3.0-6ubuntu2~24.04", "g++-14": "14.2.0-4ubuntu2~24.04"},
    }
    return ToolchainFacts.model_validate({**whole, **changed})


def choose(*, may_install: bool = True, **changed: Any) -> Toolchain:
    return choose_toolchain(facts(**changed), PINS, name="main", may_install=may_install)


def test_ubuntu_gets_the_compiler_that_knows_sve2() -> None:
    chosen = choose(installed=READY[:3])
    assert (chosen.cxx, chosen.cc, chosen.version) == ("g++-14", "gcc-14", "14.2.0")
    assert chosen.packages == ("libtcmalloc-minimal4", "python3-dev", "python3-venv", "g++-14")
    assert str(install_command(chosen.packages)) == (
        "env DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=300 install --yes --no-install-recommends "
        "libtcmalloc-minimal4 python3-dev python3-venv g++-14"
    )


@pytest.mark.parametrize(
    ("compilers", "offered", "chosen", "packages"),
    [
        ({"g++": "14.2.0"}, {"g++-15": "15.1.0-1"}, "g++", ()),
        ({"g++": "12.2.0", "g++-14": "14.2.0", "g++-15": "15.0.1"}, {}, "g++-15", ()),
        ({"g++": "13.3.0"}, {}, "g++", ()),
        ({"g++": "12.3.0"}, {"g++-12": "12.3.0-1"}, "g++", ()),
        ({}, {"g++": "4:14.2.0-1", "g++-14": "14-20240412-0ubuntu1"}, "g++-14", ("g++-14",)),
    ],
)
def test_the_newest_is_taken_and_what_is_there_and_new_enough_is_not_replaced(
    compilers: dict[str, str], offered: dict[str, str], chosen: str, packages: tuple[str, ...]
) -> None:
    decided = choose(compilers=compilers, offered=offered)
    assert (decided.cxx, decided.packages) == (chosen, packages)


@pytest.mark.parametrize(
    ("available_gib", "cores", "jobs"), [(120, 32, 32), (20, 32, 9), (4, 32, 1), (120, 4, 4), (5.9, 32, 1)]
)
def test_jobs_fit_into_memory_and_cores(available_gib: float, cores: int, jobs: int) -> None:
    chosen = choose(available_bytes=int(available_gib * GIB), cores=tuple(range(8, 8 + cores)))
    assert chosen.jobs == jobs
    assert chosen.cores == tuple(range(8, 8 + jobs))


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"available_bytes": 3 * GIB},
            "main: too little free memory to compile, got 3.0 GiB where 4.0 GiB are needed for one job. Stop some "
            "engines (`fab stop`), or install the wheels of another host (--wheels).",
        ),
        (
            {
                "system": "Debian GNU/Linux 12 (bookworm)",
                "compilers": {"g++": "12.2.0"},
                "offered": {"g++": "4:12.2.0-3", "g++-12": "12.2.0-14+deb12u1"},
            },
            "main: Debian GNU/Linux 12 (bookworm) has no compiler that is new enough for BF16 code, got g++ 12.2.0 "
            "where g++ 12.3 is needed. Use an image of the family ubuntu-2404-lts-arm64, install a newer g++, or "
            "install the wheels of another host (--wheels).",
        ),
        (
            {"features": ("asimd", "bf16")},
            "main: its processor lacks what the build is for, got no i8mm, sve2. Use an Axion machine (C4A or N4A).",
        ),
        (
            {"is_root": False, "installed": READY[1:]},
            "main: packages needed to compile are missing, got no ccache, g++-14. "
            "Run `apt-get install ccache g++-14` there as root.",
        ),
    ],
)
def test_what_is_in_the_way_is_said(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(DeployError) as caught:
        choose(**changed)
    assert caught.value.problems == (said,)


def test_with_a_mirror_nothing_is_installed_from_the_distribution() -> None:
    with pytest.raises(DeployError, match="packages needed to compile are missing, got no git, g\\+\\+-14"):
        choose(may_install=False, installed=("ccache", *READY[2:]))


def test_everything_that_is_wrong_is_said_at_once() -> None:
    with pytest.raises(DeployError) as caught:
        choose(compilers={}, offered={}, features=(), available_bytes=0, installed=(), has_apt=False)
    assert len(caught.value.problems) == 4


def test_fresh_lists_are_read_only_where_something_is_missing() -> None:
    assert not needs_packages(facts(), PINS)
    assert needs_packages(facts(installed=READY[1:]), PINS)
    assert needs_packages(facts(compilers={"g++": "12.2.0"}), PINS)


def test_packages_that_apt_names_by_guessing_are_not_offers(tmp_path: Path) -> None:
    # To apt an unknown name is a regular expression, and "g++-13" is found within "clang-13".
    listed = "".join(f"{name}:\n  Installed: (none)\n  Candidate: 1:16.0.6-15\n" for name in ("g++-12", "clang-16"))
    program = tmp_path / "apt-cache"
    program.write_text(f"#!/bin/sh\ncat <<'E'\n{listed}E\n")
    program.chmod(0o755)
    command = facts_command(python=sys.executable)
    environment = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    done = subprocess.run(command.argv, input=command.stdin, env=environment, capture_output=True, check=True)
    assert ToolchainFacts.model_validate_json(done.stdout).offered == {"g++-12": "1:16.0.6-15"}
