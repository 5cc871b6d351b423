"""The preloaded library that puts OpenMP's threads on cores, compiled here, with the system's libgomp behind it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[3]
SOURCE = REPOSITORY / "kernels" / "cores" / "lent_cores.cpp"
TEAM = REPOSITORY / "tests" / "support" / "kernels" / "placed_team.py"
OTHER, BATCH = os.SCHED_OTHER, os.SCHED_BATCH
STEPPING, RESTING = 1, 2

pytestmark = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("library") / "libaxion_cores.so"
    command = ["g++", "-std=c++17", "-Wall", "-Wextra", "-Werror", "-fPIC", "-shared", "-o", str(made), str(SOURCE)]
    subprocess.run(command, check=True, timeout=300)
    return made


class Team:
    """A process with the library in front of libgomp."""

    def __init__(self, library: Path) -> None:
        environment = {**os.environ, "LD_PRELOAD": f"{library}:libgomp.so.1", "OMP_NUM_THREADS": "1"}
        self.process = subprocess.Popen(
            [sys.executable, str(TEAM)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )

    def __call__(self, **asked: Any) -> Any:
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(json.dumps(asked) + "\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())


@pytest.fixture
def team(library: Path) -> Iterator[Team]:
    started = Team(library)
    yield started
    started.process.communicate(timeout=60)


def test_a_region_has_as_many_threads_as_cores_and_each_sits_on_one(team: Team) -> None:
    team(use=[0, 1], own=1)
    assert team(region=0) == [[[0], OTHER], [[1], BATCH]]
    assert team() == [1]  # the guest is entered with its core


def test_before_anybody_said_where_threads_are_left_alone(team: Team) -> None:
    everywhere = sorted(os.sched_getaffinity(0))
    assert team(region=2) == [[everywhere, OTHER], [everywhere, OTHER]]


def test_with_the_cores_given_back_the_team_is_home_alone(team: Team) -> None:
    team(use=[0, 1], own=1)
    team(region=0)
    team(use=[0], own=1)
    assert team(region=0) == [[[0], OTHER]]
    assert team() == []


def test_threads_that_a_smaller_team_ended_are_placed_when_they_are_made_again(team: Team) -> None:
    """libgomp ends what a smaller team leaves over: oneDNN asks for fewer threads within a step."""
    team(use=[0, 1, 1], own=1)
    assert len(team(region=0)) == 3
    assert team(region=2) == [[[0], OTHER], [[1], BATCH]]
    assert team(region=0) == [[[0], OTHER], [[1], BATCH], [[1], BATCH]]


def test_more_threads_than_cores_are_at_home(team: Team) -> None:
    """oneDNN may ask for more as well."""
    team(use=[0], own=1)
    assert team(region=3) == [[[0], OTHER]] * 3


def test_a_guest_that_a_larger_team_keeps_goes_home_when_its_core_is_given_back(team: Team) -> None:
    team(use=[0, 1], own=1)
    team(region=0)
    team(use=[0], own=1)
    assert team(region=2) == [[[0], OTHER], [[0], BATCH]]


def test_a_guest_whose_owner_steps_goes_home_and_is_not_entered(team: Team) -> None:
    team(use=[0, 1], own=1, owner=STEPPING)
    assert team(region=0) == [[[0], OTHER], [[0], BATCH]]
    assert team() == []


def test_an_owner_that_sends_a_guest_home_finds_it_there_until_the_next_placing(team: Team) -> None:
    team(use=[0, 1], own=1)
    team(region=0)
    tasks = [int(task.name) for task in Path(f"/proc/{team.process.pid}/task").iterdir()]
    (guest,) = [task for task in tasks if os.sched_getaffinity(task) == {1}]
    os.sched_setaffinity(guest, {0})
    assert team(region=0) == [[[0], OTHER], [[0], BATCH]]
    team(use=[0, 1], own=1, owner=RESTING)
    assert team(region=0) == [[[0], OTHER], [[1], BATCH]]


def test_another_threads_regions_are_its_own(team: Team) -> None:
    team(use=[0, 1], own=1)
    assert team(elsewhere=2)[1][1] == OTHER
    assert team() == []
