"""What the doctor says of a host, from its facts."""

from typing import Any

import pytest

from build.deploy.doctor import host_checks
from build.pins import PINS as FILE
from build.pins import load_pins
from tests.support.hosts import empty_facts, facts, system

GIB = 2**30
PINS = load_pins(FILE)


def check(name: str, **changes: Any) -> tuple[str, str]:
    """Verdict and finding of one check."""
    (found,) = (each for each in host_checks(facts(**changes), PINS) if each.name == name)
    return found.verdict, found.finding


def test_a_healthy_host_passes_every_check() -> None:
    assert [each.verdict for each in host_checks(facts(), PINS)] == ["pass"] * 6
    assert [each.name for each in host_checks(facts(), PINS)] == [
        "Python", "system packages", "compiler", "machine", "disk", "process runner",
    ]  # fmt: skip
    assert {each.verdict for each in host_checks(empty_facts(), PINS)} == {"pass"}


@pytest.mark.parametrize(
    ("version", "verdict"),
    [("3.10.14", "fail"), ("3.11.0", "pass"), ("3.14.9", "pass"), ("3.15.0", "fail"), ("2.7.18", "fail")],
)
def test_python_is_one_that_the_pinned_vllm_supports(version: str, verdict: str) -> None:
    judged, finding = check("Python", python=version)
    assert judged == verdict
    assert finding.startswith(version)
    assert ("3.11 to 3.14" in finding) is (verdict == "fail")


@pytest.mark.parametrize(
    ("thing", "said", "verdict", "package"),
    [
        ("libnuma.so.1", "libnuma.so.1", "fail", "libnuma1"),
        ("ensurepip", "venv", "fail", "python3-venv"),
        ("g++", "g++", "warn", "g++"),
        ("Python.h", "Python.h", "warn", "python3-dev"),
        ("git", "git", "warn", "git"),
    ],
)
def test_where_the_deployment_may_not_install_what_every_engine_needs_fails_and_the_rest_warns(
    thing: str, said: str, verdict: str, package: str
) -> None:
    judged, finding = check(said, system=system(without=[thing], is_root=False))
    assert judged == verdict
    assert finding.endswith(f"`apt-get install {package}`")


def test_every_missing_thing_is_named_and_nothing_passes_in_its_place() -> None:
    missing = system(without=["libnuma.so.1", "ensurepip", "g++", "Python.h"], has_apt=False)
    names = [each.name for each in host_checks(facts(system=missing), PINS)]
    assert names[1:5] == ["venv", "libnuma.so.1", "Python.h", "g++"]
    assert "system packages" not in names


def test_what_a_deployment_installs_by_itself_is_no_finding() -> None:
    judged, finding = check("system packages", system=system(without=["ensurepip", "git"]))
    assert (judged, finding) == ("pass", "no venv, git; a deployment that needs them installs them")


@pytest.mark.parametrize(
    ("version", "verdict", "said"),
    [
        ("13.3.0", "pass", "g++ 13.3.0"),
        ("12.2.0", "warn", "g++ 12.2.0 compiles our kernels and not vLLM, which needs 12.3; a deployment looks for a"),
        ("11.4.0", "warn", "g++ 11.4.0 compiles neither our kernels nor vLLM, which needs 12.3; a deployment looks"),
    ],
)
def test_a_compiler_is_judged_by_what_is_compiled_with_it(version: str, verdict: str, said: str) -> None:
    judged, finding = check("compiler", system=system(compilers={"g++": version}))
    assert (judged, finding.startswith(said)) == (verdict, True), finding


@pytest.mark.parametrize(("memory", "verdict"), [(8 * GIB, "pass"), (8 * GIB - 1, "warn")])
def test_little_memory_is_a_warning(memory: int, verdict: str) -> None:
    judged, finding = check("machine", memory_bytes=memory)
    assert judged == verdict
    assert finding.startswith("8.0 GiB, 32 cores, aarch64")


@pytest.mark.parametrize(
    ("free", "builds", "verdict"),
    [(9 * GIB, [], "pass"), (9 * GIB - 1, ["b1"], "warn"), (9 * GIB - 1, [], "fail")],
)
def test_little_disk_matters_while_there_is_no_environment_yet(free: int, builds: list[str], verdict: str) -> None:
    assert check("disk", disk_free_bytes=free, builds=builds)[0] == verdict


def test_a_full_disk_is_a_failure_wherever_it_is() -> None:
    plenty = {"bytes": 10**12, "free_bytes": 10**11, "inodes": 10**7, "free_inodes": 10**6}
    disks = [{"place": place, "mount": place, **plenty} for place in ("/opt/axion", "/tmp")]
    disks[1]["free_inodes"] = 2
    found = "full, so nothing can be deployed: /tmp: 2 of 10000000 inodes (one for each file) free"
    assert check("disk", disks=disks) == ("fail", found)


def test_processes_that_keep_ending_are_named_with_where_to_read() -> None:
    states = {"alpha": "BACKOFF", "beta": "FATAL", "gateway": "RUNNING", "gamma": "STARTING"}
    runner = {name: {"state": state, "pid": 1} for name, state in states.items()}
    assert check("process runner", runner=runner) == ("fail", "alpha, beta keep ending. Read `fab logs alpha`")
    assert check("process runner", runner=None) == ("pass", "not running; a deployment starts it")
    assert check("process runner") == ("pass", "3 processes")
