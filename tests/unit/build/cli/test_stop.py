"""The end of what runs on a host: known from what runs, whatever `current` is, and looked at afterwards."""

import sys
from pathlib import Path
from typing import Any

import pytest

from build.cli.status import _look_for_status
from build.cli.stop import _stop, refuse_leftovers
from build.deploy.state import current_problem, what_runs
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from tests.support.fakes.systemctl import Systemctl
from tests.support.hosts import DESCRIPTION, RELEASE, empty_facts, facts

HERE = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "MainPID": "7", "Result": "success"}
HERE |= {"UnitFileState": "static", "DropInPaths": "", "InvocationID": "i"}
RUNNING = ("axion.target", "gateway.socket", "gateway.service", "vllm@alpha.service")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host whose `current` points nowhere."""
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "current").symlink_to("releases/20990101T000000-gone")
    return tmp_path / "root"


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    """A systemd that runs a gateway and an engine."""
    made = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    made.show(*({"Id": name, **HERE} for name in RUNNING))
    return made


def host(root: Path) -> Host:
    target = Target(name="main", root=str(root), runner="systemd", python=sys.executable)
    return Host(target, LocalExecutor(), Reporter())


def test_a_stop_ends_what_runs_although_no_release_is_current(
    root: Path, systemctl: Systemctl, capsys: pytest.CaptureFixture[str]
) -> None:
    systemctl.obey_stops()
    _stop(host(root))
    assert "Stopped after" in capsys.readouterr().err
    stops = [call for call in systemctl.calls if call.startswith("stop ")]
    assert stops == [
        "stop gateway.socket gateway-restart.service gateway-handover.service gateway.service",
        "stop axion.target vllm@* axion.slice",
    ]
    _stop(host(root))
    assert "Nothing runs." in capsys.readouterr().err


def test_a_stop_that_left_something_running_says_what(
    root: Path, systemctl: Systemctl, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeployError) as caught:
        _stop(host(root))
    assert caught.value.problems == (
        "main: not stopped, got alpha (pid 7), gateway (pid 7) still running. Run `fab stop` again, or end that by "
        "hand.",
    )
    assert "Stopped after" not in capsys.readouterr().err


def test_status_shows_what_runs_and_that_no_release_is_current(root: Path, systemctl: Systemctl) -> None:
    found, problem = _look_for_status(host(root))
    assert what_runs(found) == ["alpha", "gateway"]
    assert problem is not None
    assert "; still running: alpha, gateway. Run `fab build-and-deploy`, or `fab rollback` to " in problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, []),
        ({"runner": {"alpha": {"state": "STOPPED", "pid": 0}, "beta": {"state": "FATAL", "pid": 0}}}, []),
        ({"runner": {"alpha": {"state": "STOPPING", "pid": 3}}}, ["alpha"]),
        ({"runner": {"beta": {"state": "BACKOFF", "pid": 0}}}, ["beta"]),
        ({"engines": {"alpha": {"unit_digest": "u1", "pid": 11}}}, ["alpha"]),
        ({"served_addresses": ["127.0.0.1:8080"]}, ["gateway"]),
    ],
)
def test_what_runs_is_known_by_its_runner_its_launcher_or_its_address(
    changes: dict[str, Any], expected: list[str]
) -> None:
    assert what_runs(empty_facts(**changes)) == expected


def test_what_is_left_is_named_with_its_process_where_that_is_known(tmp_path: Path) -> None:
    left = empty_facts(engines={"alpha": {"unit_digest": "u1", "pid": 11}}, served_addresses=["127.0.0.1:8080"])
    with pytest.raises(DeployError, match=r"^main: not stopped, got alpha \(pid 11\), gateway still running\. "):
        refuse_leftovers(host(tmp_path), left)
    refuse_leftovers(host(tmp_path), empty_facts())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"current": None}, "/opt/axion/current is missing; still running: alpha, beta, gateway. "),
        ({"current": "r9"}, "/opt/axion/current points to r9, which is not there; still running: alpha, beta, "),
        (
            {"current": None, "no_links": ["current"]},
            "/opt/axion/current is no link to a release; still running: alpha, ",
        ),
        (
            {"current": "r9", "runner": None, "engines": {}, "served_addresses": []},
            "/opt/axion/current points to r9, ",
        ),
    ],
)
def test_a_current_that_is_no_release_is_told_from_a_host_without_any(changes: dict[str, Any], said: str) -> None:
    main = Target(name="main", root="/opt/axion", runner="systemd", python="python3")
    assert (current_problem(main, facts(**changes)) or "").startswith(f"main: {said}")
    assert current_problem(main, facts()) is None
    assert current_problem(main, empty_facts()) == ("main: nothing is deployed. Run `fab build-and-deploy`.")
    assert (current_problem(main, empty_facts(releases={RELEASE: DESCRIPTION})) or "").endswith("that served last.")
