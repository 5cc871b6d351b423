"""What a plan says of packages that have to be installed first."""

from build.cli import output
from build.deploy.diff import Desired, decide
from tests.support.hosts import DESCRIPTION, RELEASE, facts, system
from tests.unit.build.cli.test_output import prepared


def test_packages_that_the_system_lacks_are_the_first_step() -> None:
    bare = facts(system=system(without=["ensurepip", "g++"]))
    there = prepared(decide(Desired.described(RELEASE, DESCRIPTION), bare), facts=bare, is_installing=True)
    assert output.steps(there) == ["install packages that bring venv, g++ 12.0 or newer"]
    told = output.planned_change(there)
    assert (told.changes, told.packages) == (True, ["python3-venv", "g++"])


def test_a_newer_compiler_that_is_only_wished_for_is_told_as_well() -> None:
    older = facts(system=system(compilers={"g++": "12.2.0"}))
    there = prepared(decide(Desired.described(RELEASE, DESCRIPTION), older), facts=older, is_installing=True)
    assert output.steps(there) == ["install a newer compiler for our kernels, if the distribution has one"]
