"""When Google takes a machine back: from the stack's setting to the time that the drain of a real gateway takes."""

import asyncio
import signal
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from agent import preemption
from agent.preemption import drain_s
from tests.support.fakes.engine import FakeEngine, running
from tests.support.pulumi_program import config_of, run_program
from tests.support.share import eventually
from tests.support.simulated_host import Host, simulated_host
from tests.unit.deployment.stack.test_guardrails import problems
from tests.unit.gateway.test_process import gateway_process, write_config
from tests.unit.gateway.test_stage import CHAT

# What systemd would do with the gateway that runs here: a stop is one SIGTERM, a kill another.
SYSTEMCTL = """#!/bin/sh
echo "$@" >> {root}/commands
pid=$(cat {root}/gateway.pid 2>/dev/null)
case "$1:$*" in
show:*) kill -0 $pid 2>/dev/null && printf 'deactivating\\n\\ninactive\\n' || printf 'inactive\\n\\ninactive\\n' ;;
stop:*gateway.service*|kill:*SIGTERM*gateway.service*) kill -TERM $pid 2>/dev/null ;;
esac
exit 0
"""
FIRST = "stop --no-block gateway.socket gateway-restart.service gateway.service gateway-handover.service"
SECOND = "kill --signal=SIGTERM gateway.service gateway-handover.service"
LAST = ["stop --no-block axion.target vllm@*.service", "kill --signal=SIGKILL vllm@*.service"]


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    with simulated_host(tmp_path) as made:
        (tmp_path / "bin" / "systemctl").write_text(SYSTEMCTL.format(root=tmp_path))
        made.metadata.values["instance/preempted"] = "FALSE"
        yield made


def done(host: Host) -> list[str]:
    return [command for command in host.commands if not command.startswith("show ")]


def watch(host: Host, *more: str) -> "subprocess.Popen[str]":
    watcher = subprocess.Popen(
        host.argv("preemption.py", *more), env=host.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    # On a busy machine a program takes seconds to begin, and a signal before that ends it.
    eventually(lambda: host.metadata.asked > 1 or watcher.poll() is not None, "it waits", 10)
    assert watcher.poll() is None
    return watcher


@pytest.mark.parametrize(("notice_s", "whole_s", "cut_s"), [(0, 20, 30), (30, 50, 60), (120, 140, 150)])
def test_everything_is_over_ten_seconds_before_the_cut(notice_s: int, whole_s: int, cut_s: int) -> None:
    assert drain_s(notice_s) == whole_s == cut_s - 10


@asynccontextmanager
async def streaming(
    host: Host, tokens: int
) -> AsyncIterator[tuple[aiohttp.ClientResponse, asyncio.subprocess.Process]]:
    """A client in the middle of an answer from a gateway that would wait half a minute for it."""
    engine = FakeEngine(name="a", tokens=tokens, token_delay_s=0.05)
    config = write_config(host.root, "a", drain_s=30)
    async with running(engine, host.root / "a.sock"), gateway_process(config) as (process, session):
        (host.root / "gateway.pid").write_text(str(process.child.pid))
        async with session.post(CHAT, json={"model": "a", "stream": True}) as answer:
            yield answer, process.child


async def test_the_setting_decides_how_long_a_drain_takes(host: Host) -> None:
    """Pulumi.dev.yaml to Google's scheduling and our metadata, and from there to the end of a stream that is too long.

    The cut comes 8 s after the button here and not 30, and the margin is 2 s; the notice is the setting's, one second.
    """
    config = config_of("dev")
    config["axion:hosts"]["main"]["preemptionNoticeSeconds"] = 1
    inputs = run_program(config, stack="dev").one("Instance").inputs
    assert inputs["scheduling"]["preemptionNoticeDuration"] == {"seconds": 1}
    key = "axion-preemption-notice-seconds"
    host.metadata.values[f"instance/attributes/{key}"] = inputs["metadata"][key]
    notice_s, cut_s, margin_s = 1, 8, 2
    async with streaming(host, tokens=2000) as (answer, gateway):
        watcher = await asyncio.to_thread(watch, host, f"--cut-s={cut_s}", f"--margin-s={margin_s}")
        began = time.monotonic()
        host.metadata.change("instance/preempted", "TRUE")
        body = await answer.text()
        heard_s = time.monotonic() - began
        assert await asyncio.wait_for(gateway.wait(), 5) == 0
        assert await asyncio.to_thread(watcher.wait, 10) == 0
        took_s = time.monotonic() - began
    assert "server_draining" in body  # the client is told, and in time
    assert 2 < heard_s < took_s < notice_s + cut_s - margin_s + 1
    assert done(host) == [FIRST, SECOND, *LAST]


async def test_what_is_over_sooner_is_not_waited_for(host: Host) -> None:
    async with streaming(host, tokens=20) as (answer, gateway):
        watcher = await asyncio.to_thread(watch, host)
        began = time.monotonic()
        host.metadata.change("instance/preempted", "TRUE")
        assert (await answer.text()).endswith("data: [DONE]\n\n")
        assert await gateway.wait() == 0
        assert await asyncio.to_thread(watcher.wait, 15) == 0
    assert time.monotonic() - began < 12
    assert done(host) == [FIRST, *LAST]


def test_the_power_button_begins_the_drain_too(host: Host) -> None:
    """Without a longer notice it comes with the notice, and systemd stops this program before it may have heard."""
    watcher = watch(host)
    host.metadata.values["instance/preempted"] = "TRUE"
    watcher.send_signal(signal.SIGTERM)
    assert watcher.wait(10) == 0
    assert "draining for 20 s" in watcher.communicate()[0]
    assert done(host) == [FIRST, *LAST]


def test_a_stop_while_the_notice_is_asked_for_begins_the_drain_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def stopped(_metadata: str) -> float:
        raise preemption.StoppedError

    drained: list[float] = []
    monkeypatch.setattr(preemption, "notice_s", stopped)
    monkeypatch.setattr(preemption, "is_preempted", lambda *_: True)
    monkeypatch.setattr(preemption, "drain", drained.append)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    assert preemption.main("http://metadata", 30, 10) == 0
    assert drained == [20]


def test_a_stop_that_is_no_preemption_drains_nothing(host: Host) -> None:
    """The startup script restarts it at each boot."""
    watcher = watch(host)
    watcher.send_signal(signal.SIGTERM)
    assert (watcher.wait(10), watcher.communicate()[0]) == (0, "")
    assert done(host) == []


def test_a_notice_that_came_before_anybody_listened_is_heard(host: Host) -> None:
    host.metadata.values["instance/preempted"] = "TRUE"
    assert host.run("preemption.py").returncode == 0
    assert done(host) == [FIRST, *LAST]


def test_a_notice_between_two_questions_is_heard(host: Host) -> None:
    host.metadata.replaced_once_asked["instance/preempted"] = "TRUE"
    began = time.monotonic()
    assert host.run("preemption.py").returncode == 0
    assert time.monotonic() - began < 10
    assert done(host) == [FIRST, *LAST]


def test_the_watcher_survives_a_metadata_server_that_is_away(host: Host) -> None:
    del host.metadata.values["instance/preempted"]  # it is told 404: there is no such value yet
    watcher = watch(host)
    try:
        host.metadata.change("instance/preempted", "TRUE")
        eventually(lambda: done(host) == [FIRST, *LAST], "it is told", 10)
    finally:
        watcher.kill()
        watcher.communicate()


def test_only_a_spot_host_has_a_notice(tmp_path: Path) -> None:
    (found,) = problems(tmp_path, host={"preemptionNoticeSeconds": 60})
    assert found.endswith("preemptionNoticeSeconds: only spot hosts are taken back, got 60. Set spot, or delete it.")
    (found,) = problems(tmp_path, host={"preemptionNoticeSeconds": 121, "spot": True})
    assert "preemptionNoticeSeconds" in found
