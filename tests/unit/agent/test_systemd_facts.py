"""What a host under systemd says of its processes, in the words that the rest of the toolkit has for supervisord."""

from pathlib import Path

import pytest

from agent import processes, wait_ready
from agent.protocol import Process
from tests.support.fakes.systemctl import Systemctl

ACTIVE = {"ActiveState": "active", "SubState": "running", "MainPID": "7", "InvocationID": "i"}


def unit(name: str, **state: str) -> dict[str, str]:
    return {"Id": name, **ACTIVE, **state}


@pytest.fixture(params=["a release", "nothing", "a name that is gone", "a directory", "a release without units"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """What runs does not depend on what `current` is."""
    (tmp_path / "releases" / "r1" / "systemd").mkdir(parents=True)
    (tmp_path / "releases" / "r2").mkdir(parents=True)
    found = {"a release": "releases/r1", "a name that is gone": "releases/r0", "a release without units": "releases/r2"}
    if request.param in found:
        (tmp_path / "current").symlink_to(found[request.param])
    elif request.param == "a directory":
        (tmp_path / "current").mkdir()
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
    assert processes.runner_state(root, "systemd") == {
        "gateway": Process("RUNNING", 7, "i"),
        "a": Process("STARTING", 8, "i"),
        "b": Process("BACKOFF", 0, "i"),
        "c-1": Process("FATAL", 0, "i"),
        "d": Process("STOPPING", 7, "i"),
    }
    assert systemctl.calls == [
        "show --property=Id,ActiveState,SubState,MainPID,InvocationID "
        "axion.target gateway.socket gateway.service gateway-handover.service vllm@*.service"
    ]


def test_a_gateway_whose_socket_alone_is_there_holds_its_addresses(root: Path, systemctl: Systemctl) -> None:
    gone = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0", "InvocationID": ""}
    systemctl.show(unit("axion.target"), unit("gateway.socket"), unit("gateway.service", **gone))
    assert processes.runner_state(root, "systemd") == {"gateway": Process("STARTING", 0)}


def test_where_nothing_is_active_nothing_runs(root: Path, systemctl: Systemctl) -> None:
    gone = {"ActiveState": "inactive", "SubState": "dead", "MainPID": "0", "InvocationID": ""}
    systemctl.show(*(unit(name, **gone) for name in ("axion.target", "gateway.socket", "gateway.service")))
    assert processes.runner_state(root, "systemd") is None
    systemctl.fail("show")
    assert processes.runner_state(root, "systemd") is None


def test_an_engine_that_systemd_gave_up_on_is_lost_at_once(root: Path, systemctl: Systemctl) -> None:
    runner = wait_ready.Runner(root, "systemd")
    systemctl.show(
        unit("gateway.service", InvocationID="g1"),
        unit("vllm@a.service", ActiveState="failed", InvocationID="a1"),
        unit("vllm@b.service", ActiveState="inactive", InvocationID=""),
    )
    assert runner.hopeless() == {"a"}


def test_an_engine_that_is_started_again_and_again_is_lost(root: Path, systemctl: Systemctl) -> None:
    runner = wait_ready.Runner(root, "systemd")
    lost = []
    for start in ("", "1", "1", "2", "3", "4"):
        systemctl.show(unit("vllm@a.service", ActiveState="activating", InvocationID=start))
        lost.append(runner.hopeless())
    assert lost == [set(), set(), set(), set(), set(), {"a"}]


def test_of_a_host_under_supervisord_systemd_is_not_asked(tmp_path: Path, systemctl: Systemctl) -> None:
    assert processes.runner_state(tmp_path, "supervisor") is None
    assert wait_ready.Runner(tmp_path, "supervisor").hopeless() == set()
    assert systemctl.calls == []
