"""`make rehearse` as a person types it, and as one interrupts it: what it prints, and that it leaves nothing."""

import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machines import cgroups
from tests.support.pulumi_stack import find_cli
from tests.support.rehearsal.leftovers import leftovers

pytestmark = pytest.mark.hosts
REPOSITORY = Path(__file__).parents[3]
WHOLE_S = 900.0


@pytest.fixture
def folder() -> Iterator[Path]:
    """Where it makes its own; not under tmp_path: the path of a Unix socket may have 107 characters."""
    with tempfile.TemporaryDirectory(prefix="axion-") as made:
        yield Path(made)


@pytest.fixture
def rehearsal(folder: Path) -> "subprocess.Popen[str]":
    if find_cli() is None:
        pytest.skip("pulumi: not found, so nothing was rehearsed.")
    return subprocess.Popen(
        ("env", "--default-signal=INT", sys.executable, "-m", "tests.support.rehearse", "--stand-in"),
        cwd=REPOSITORY, env={**os.environ, "TMPDIR": str(folder)},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip


def left(process: "subprocess.Popen[str]", folder: Path) -> list[str]:
    groups = [path for each in cgroups.CANDIDATES for path in each.glob(f"axion-rehearsal-{process.pid}-*")]
    return [*map(str, groups), *leftovers(folder), *map(str, folder.iterdir())]


def test_a_host_is_brought_up_serves_stops_itself_and_is_gone(rehearsal: "subprocess.Popen[str]", folder: Path) -> None:
    said, _ = rehearsal.communicate(timeout=WHOLE_S)
    assert rehearsal.returncode == 0, said
    asked = said.partition("# Build and deploy")[2]
    for expected in ("serves alpha, beta at", "Nothing to do", "RUNNING", "TERMINATED", "23 deleted", "in all"):
        assert expected in asked
    assert left(rehearsal, folder) == []


def test_an_interrupted_rehearsal_leaves_nothing(rehearsal: "subprocess.Popen[str]", folder: Path) -> None:
    assert rehearsal.stdout is not None
    for line in rehearsal.stdout:
        if line.startswith("# Build and deploy"):
            break
    rehearsal.send_signal(signal.SIGINT)
    said, _ = rehearsal.communicate(timeout=120)
    assert rehearsal.returncode == 130, said
    assert left(rehearsal, folder) == []
