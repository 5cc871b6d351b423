"""The line that closes `make test`, and the gate that fails when it counts anything."""

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.support.fresh import Ran, counted
from tests.support.requirements.left_out import REPORTS

REPOSITORY = Path(__file__).parents[3]
TESTS = """
import pytest
def test_a(): pass
@pytest.mark.parametrize("n", range(3))
def test_b(n): pytest.skip("frob: not found. Install it.")
def test_c(): pytest.skip("gcloud: not found.")
@pytest.mark.xfail
def test_d(): assert False
"""


def reported(folder: Path, text: str) -> Path:
    """Run these tests, and return the folder with the report."""
    (folder / "test_some.py").write_text(text)
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"--junit-xml={folder}/reports/some.xml"]
    subprocess.run([*command, "test_some.py"], cwd=folder, capture_output=True, check=True, timeout=60)
    return folder / "reports"


def closing(reports: Path, *flags: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "tests.support.requirements.left_out", "--reports", str(reports), *flags]
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False, timeout=60)
    return done.returncode, done.stdout + done.stderr


def test_one_line_counts_what_was_left_out_and_the_gate_fails_on_it(tmp_path: Path) -> None:
    reports = reported(tmp_path, TESTS)
    said = "Left out: 4 of 6 tests. 3 because frob: not found. Install it.; 1 because gcloud: not found.\n"
    assert closing(reports) == (0, said)
    assert closing(reports, "--none") == (1, said)


def test_nothing_left_out_is_said_too(tmp_path: Path) -> None:
    reports = reported(tmp_path, "def test_a(): pass")
    assert closing(reports, "--none") == (0, "Left out: none of 1 tests.\n")


def test_no_report_is_not_the_same_as_nothing_left_out(tmp_path: Path) -> None:
    status, said = closing(tmp_path, "--none")
    assert (status, said) == (1, f"{tmp_path}: no report of a run, got none. Run `make test`.\n")


def test_a_program_that_goes_missing_is_counted(tmp_path: Path) -> None:
    """A real test of this suite, without the program that it needs."""
    which = "tests/unit/infra/test_startup.py::test_shellcheck_finds_nothing_wrong"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", which, f"--junit-xml={tmp_path}/a.xml"]
    bare = {**os.environ, "PATH": str(tmp_path)}
    subprocess.run(command, cwd=REPOSITORY, env=bare, capture_output=True, check=True, timeout=120)
    assert closing(tmp_path, "--none") == (1, "Left out: 1 of 1 tests. 1 because shellcheck is not installed\n")


def test_the_gate_asks_for_nothing_left_out_and_installs_only_what_the_readme_requires() -> None:
    gate = (REPOSITORY / ".ci" / "run").read_text()
    assert "set -euxo pipefail" in gate
    assert [line.removeprefix("time ") for line in gate.splitlines() if re.match(r"(time )?make ", line)] == [
        "make needs-gate",
        "make test",
        "make nothing-left-out",
        "make kernels-cpp",
        "make bench-kernels",
    ]
    assert re.findall(r"apt-get install .*", gate) == ["apt-get install -y -qq --no-install-recommends make git"]


def test_a_fresh_machine_counts_what_pytest_counted() -> None:
    output = (
        "= 3 passed in 0.1s\n"
        "============ 1880 passed, 3 skipped, 194 deselected in 612.30s (0:10:12) ============\n"
        "==== short test summary info ====\n"
        "Left out: 3 of 1883 tests. 3 because gcloud: not found.\n"
    )
    found = counted(iter(output.splitlines()))
    assert found == (
        "1880 passed, 3 skipped, 194 deselected in 612.30s (0:10:12)",
        "Left out: 3 of 1883 tests. 3 because gcloud: not found.",
    )
    assert not Ran(command="make test", status=0, took_s=700, counted=found).is_good
    assert Ran(command="make test", status=0, took_s=700, counted=("Left out: none of 9 tests.",)).is_good
    assert not Ran(command="make test", status=0, took_s=700, counted=()).is_good
    assert not Ran(command="make demo", status=2, took_s=1, counted=()).is_good
    assert Ran(command="make demo", status=0, took_s=300, counted=()).is_good


def test_the_reports_are_where_make_has_them_written() -> None:
    assert REPORTS == REPOSITORY / "out" / "reports"
    assert "--junit-xml=out/reports/$@.xml" in (REPOSITORY / "Makefile").read_text()
