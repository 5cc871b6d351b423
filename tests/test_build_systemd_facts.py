"""What a host under systemd says of its processes, in the words that the rest of the toolkit has for supervisord."""

from pathlib import Path

import pytest

from build.onhost import gate, probe
from tests.fakes.systemctl import Systemctl

ACTIVE = {"ActiveState": "active", "SubState": "running", "MainPID": "7"}


def unit(name: str, **state: str) -> dict[str, str]:
    return {"Id": name, **ACTIVE, **state}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "current" / "systemd").mkdir(parents=True)
    return tmp_path


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    made = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return made


def test_units_are_told_as_processes(root: Path, systemctl: Systemctl) -> None:
    systemctl.show(
        unit("axion.target"),
        unit("gateway.socket"),
        unit("gateway.service"),
        unit("vllm@a.service", ActiveState="activating", SubState="start", MainPID="8"),
        unit("vllm@b.service", ActiveState="activating", SubState="auto-restart", MainPID="0"),
        unit("vllm@c-1.service", ActiveState="failed", SubState="failed", MainPID="0"),
        unit("vllm@d.service", ActiveState="deactivating", SubState="stop-sigterm"),
    )
    assert probe.runner_state(root) == {
        "gateway": {"state": "RUNNING", "pid": 7},
        "a": {"state": "STARTING", "pid": 8},
        "b": {"state": "BACKOFF", "pid": 0},
        "c-1": {"state": "FATAL", "pid": 0},
        "d": {"state": "STOPPING", "pid": 7},
    }
    assert systemctl.calls == [
        "show --property=Id,ActiveState,SubState,MainPID axion.target gateway.socket gateway.service vllm@*.service"
    ]


def test_a_gateway_whose_socket_alone_is_there_holds_its_addresses(root: Path, systemctl: Systemctl) -> None:
    gone = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0"}
    systemctl.show(unit("axion.target"), unit("gateway.socket"), unit("gateway.service", **gone))
    assert probe.runner_state(root) == {"gateway": {"state": "STARTING", "pid": 0}}


def test_where_nothing_is_active_nothing_runs(root: Path, systemctl: Systemctl) -> None:
    gone = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0"}
    systemctl.show(*(unit(name, **gone) for name in ("axion.target", "gateway.socket", "gateway.service")))
    assert probe.runner_state(root) is None
    systemctl.fail("show")
    assert probe.runner_state(root) is None


def test_an_engine_that_systemd_gave_up_on_is_lost_at_once(root: Path, systemctl: Systemctl) -> None:
    runner = gate.Runner(root)
    systemctl.show(
        {"Id": "gateway.service", "ActiveState": "active", "InvocationID": "g1"},
        {"Id": "vllm@a.service", "ActiveState": "failed", "InvocationID": "a1"},
        {"Id": "vllm@b.service", "ActiveState": "inactive", "InvocationID": ""},
    )
    assert runner.hopeless() == {"a"}


def test_an_engine_that_is_started_again_and_again_is_lost(root: Path, systemctl: Systemctl) -> None:
    runner = gate.Runner(root)
    lost = []
    for start in ("", "1", "1", "2", "3", "4"):
        systemctl.show({"Id": "vllm@a.service", "ActiveState": "activating", "InvocationID": start})
        lost.append(runner.hopeless())
    assert lost == [set(), set(), set(), set(), set(), {"a"}]


def test_without_units_in_the_release_systemd_is_not_asked(tmp_path: Path, systemctl: Systemctl) -> None:
    assert probe.runner_state(tmp_path) is None
    assert gate.Runner(tmp_path).hopeless() == set()
    assert systemctl.calls == []
