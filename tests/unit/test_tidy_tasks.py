"""What a task costs before it does anything: the modules of this checkout that it imports, and the time of the list."""

import os
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.support.imported import REPOSITORY, imported_by

# A task's run against a host, a Google and a Pulumi that have nothing. The aim is 60: lower a number, never raise it.
MOST = {
    ("--list",): 10,
    ("status",): 51,
    ("doctor",): 49,
    ("stop",): 52,
    ("restart", "gateway"): 56,
    ("verify",): 59,
    ("plan",): 86,
    ("catalog-refresh", "--project", "p"): 45,
    ("status", "--stack", "dev"): 57,
    ("up", "--stack", "dev"): 83,
}
OF_OTHER_HOSTS = ("build.remote.ssh", "build.cloud", "build.cli.inventory", "deployment.refusals")


@pytest.fixture(scope="module")
def nothing_there(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A PATH on which gcloud and pulumi know of nothing."""
    folder = tmp_path_factory.mktemp("bin")
    for name in ("gcloud", "pulumi"):
        (folder / name).write_text("#!/bin/sh\necho '[]'\n")
        (folder / name).chmod(0o755)
    return f"{folder}:{os.environ['PATH']}"


@pytest.mark.parametrize("words", MOST, ids=" ".join)
def test_a_task_imports_little_more_than_it_needs(words: Sequence[str], nothing_there: str, tmp_path: Path) -> None:
    modules, _ = imported_by(tmp_path / "told", *words, PATH=nothing_there, AXION_LOCAL_ROOT=str(tmp_path / "root"))
    assert len(modules) <= MOST[tuple(words)], sorted(modules)


def test_a_task_on_this_computer_imports_nothing_of_other_hosts(nothing_there: str, tmp_path: Path) -> None:
    modules, _ = imported_by(tmp_path / "told", "plan", PATH=nothing_there, AXION_LOCAL_ROOT=str(tmp_path / "root"))
    assert "build.deploy.prepare" in modules
    assert [name for name in sorted(modules) if name.startswith(OF_OTHER_HOSTS)] == []


def list_time_s(folder: Path) -> float:
    """Processor time of one `fab --list` in a folder."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    fab = str(Path(sys.executable).with_name("fab"))
    subprocess.run([fab, "--list"], cwd=folder, capture_output=True, check=False, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def test_listing_our_tasks_takes_hardly_longer_than_listing_none(tmp_path: Path) -> None:
    """By turns, and the best of each: the machine may be busy with something else."""
    (tmp_path / "fabfile.py").write_text("")
    ours, none = zip(*((list_time_s(REPOSITORY), list_time_s(tmp_path)) for _ in range(8)), strict=True)
    assert min(ours) < 1.5 * min(none)
