"""Whatever is killed or hangs on a host comes back by itself, whole, and without anybody's help. `make test-hosts`."""

import contextlib
import os
import signal
import time
from collections.abc import Iterator

import pytest

from tests.support.host_deployment import HostDeployment, host_deployment
from tests.support.share import eventually

pytestmark = pytest.mark.hosts

WATCHDOG_S = 10


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HostDeployment]:
    with host_deployment("recovery", tmp_path_factory.mktemp("d")) as deployed:
        for model in deployed.models.values():
            model["watchdog_s"] = WATCHDOG_S
        deployed.deploy()
        yield deployed


def test_an_engine_that_hangs_is_restarted_by_its_watchdog(
    host: HostDeployment, capsys: pytest.CaptureFixture[str]
) -> None:
    before = host.invocations()
    _guard, _keeper, api, *_rest = host.of_unit("vllm@alpha.service")
    time.sleep(1)
    os.kill(api.pid, signal.SIGSTOP)
    began = time.monotonic()
    eventually(lambda: host.unit("vllm@alpha.service")["InvocationID"] != before["alpha"], "it is restarted", 120)
    restarted_s = time.monotonic() - began
    eventually(lambda: host.ask("alpha", timeout_s=60)[0] == 200, "it answers again", 60)
    answered_s = time.monotonic() - began
    with capsys.disabled():
        print(f"\nSIGSTOP: started again after {restarted_s:.1f} s, answers after {answered_s:.1f} s")
    assert not api.is_alive
    assert restarted_s < 2 * WATCHDOG_S + 15
    after = host.invocations()
    assert {name for name in after if after[name] != before[name]} == {"alpha"}


@pytest.mark.parametrize("victim", ["guard", "keeper", "api", "all"])
def test_an_engine_comes_back_whole_whichever_of_its_processes_is_killed(host: HostDeployment, victim: str) -> None:
    before, old = host.invocations(), host.of_unit("vllm@beta.service")
    named = dict(zip(("guard", "keeper", "api", "core", "worker"), old, strict=True))
    for process in old if victim == "all" else [named[victim]]:
        with contextlib.suppress(ProcessLookupError):  # its launcher was faster
            os.kill(process.pid, signal.SIGKILL)
    eventually(lambda: host.record("beta").get("pid") is not None and not named["guard"].is_alive, "it ended", 30)
    eventually(lambda: host.unit("vllm@beta.service")["SubState"] == "running", "it is started again", 60)
    eventually(host.answers, "it answers", 60)
    assert [process for process in old if process.is_alive] == []
    assert len(host.of_unit("vllm@beta.service")) == 5
    after = host.invocations()
    assert {name for name in after if after[name] != before[name]} == {"beta"}


def test_a_killed_gateway_comes_back_and_its_socket_never_refuses(host: HostDeployment) -> None:
    (gateway,) = host.of_unit("gateway.service")
    os.kill(gateway.pid, signal.SIGKILL)
    began = time.monotonic()
    assert host.ask("gamma", timeout_s=30) == (200, "gamma gamma gamma ")
    assert time.monotonic() - began < 15
    assert host.unit("gateway.service")["NRestarts"] != "0"
    assert "Nothing to do: " in host.deploy().said


def test_a_gateway_that_hangs_is_restarted(host: HostDeployment) -> None:
    (gateway,) = host.of_unit("gateway.service")
    os.kill(gateway.pid, signal.SIGSTOP)
    eventually(lambda: host.ask("gamma", timeout_s=30)[0] == 200, "it serves again", 90)
    assert not gateway.is_alive


def test_after_a_reboot_everything_serves_without_a_deployment(host: HostDeployment) -> None:
    release = host.link("current")
    host.machine.reboot()
    eventually(host.answers, "every model answers", 60)
    assert host.link("current") == release
    assert host.serves_current()
    assert "Nothing to do: " in host.deploy().said
