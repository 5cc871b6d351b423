"""Requests for a model that is being restarted on purpose wait for it; those for one that failed do not."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.stop_marker import announce
from gateway.config_file import parse_config
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import CHAT, Stage, config_json, eventually, gateway_on_stage


@contextlib.asynccontextmanager
async def restarting(directory: Path, *, is_told: bool = True, **config: Any) -> AsyncIterator[Stage]:
    """A gateway that saw its engine ready and go; its launcher says that it was told to, or not."""
    socket = directory / "a.sock"
    async with gateway_on_stage(config_json(directory, "a", **config)) as stage:
        async with running(FakeEngine(name="a"), socket):
            await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
            if is_told:
                announce(socket)
        socket.unlink(missing_ok=True)  # which a launcher does when nothing is left of its engine
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "loading")
        yield stage


async def status(stage: Stage, **more: Any) -> int:
    async with stage.chat(**more) as answer:
        await answer.read()
        return int(answer.status)


def figures(stage: Stage) -> tuple[int, int]:
    stats = stage.stats()
    return stats.held, stats.held_total


@pytest.mark.parametrize("stream", [True, False])
async def test_a_request_waits_for_a_restarting_engine_and_is_answered(tmp_path: Path, stream: bool) -> None:
    async with restarting(tmp_path) as stage:
        waiting = [asyncio.create_task(status(stage, stream=stream)) for _ in range(3)]
        await eventually(lambda: figures(stage) == (3, 3))
        assert (await stage.json("/stats"))["models"]["a"]["held"] == 3
        async with stage.session.get("/metrics") as metrics:
            text = await metrics.text()
        assert 'gateway_waiting{model="a"} 3.0' in text
        assert 'gateway_held_total{model="a"} 3.0' in text
        async with running(FakeEngine(name="a"), tmp_path / "a.sock"):
            assert await asyncio.gather(*waiting) == [200, 200, 200]
        assert figures(stage) == (0, 3)


async def test_a_wait_has_an_end(tmp_path: Path) -> None:
    async with restarting(tmp_path, timeouts={"hold_s": 0.2}) as stage, stage.chat() as answer:
        assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
        assert (await answer.json())["error"]["code"] == "model_restarting"
        assert figures(stage) == (0, 1)


async def test_only_so_many_wait(tmp_path: Path) -> None:
    async with restarting(tmp_path, max_held=2) as stage:
        waiting = [asyncio.create_task(status(stage)) for _ in range(2)]
        await eventually(lambda: figures(stage) == (2, 2))
        assert await status(stage) == 503
        async with running(FakeEngine(name="a"), tmp_path / "a.sock"):
            assert await asyncio.gather(*waiting) == [200, 200]


async def test_a_client_that_leaves_waits_no_longer(tmp_path: Path) -> None:
    async with restarting(tmp_path) as stage:
        waiting = asyncio.create_task(status(stage))
        await eventually(lambda: figures(stage) == (1, 1))
        waiting.cancel()
        await eventually(lambda: figures(stage) == (0, 1))
        assert stage.stats().cancelled_total == 1


async def test_an_engine_that_went_without_a_word_is_not_waited_for(tmp_path: Path) -> None:
    async with restarting(tmp_path, is_told=False) as stage:
        assert await status(stage) == 503
        assert figures(stage) == (0, 0)


async def test_an_engine_that_was_never_ready_is_not_waited_for(tmp_path: Path) -> None:
    announce(tmp_path / "a.sock")  # of an earlier life
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        assert await status(stage) == 503
        assert figures(stage) == (0, 0)


async def test_a_later_failure_is_not_taken_for_the_restart_before_it(tmp_path: Path) -> None:
    socket = tmp_path / "a.sock"
    async with restarting(tmp_path) as stage:
        async with running(FakeEngine(name="a"), socket):
            await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        socket.unlink(missing_ok=True)
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "loading")
        assert await status(stage) == 503


async def test_a_request_that_a_draining_engine_refuses_goes_to_its_successor(tmp_path: Path) -> None:
    """The engine says so before its launcher's marker was seen: nothing was worked on, so it may be asked again."""
    old, new = FakeEngine(name="a", failure="draining"), FakeEngine(name="a")
    socket = tmp_path / "a.sock"
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        async with running(old, socket):
            await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
            waiting = asyncio.create_task(status(stage))
            await eventually(lambda: figures(stage) == (1, 1))
        async with running(new, socket):
            assert await waiting == 200
    assert (len(old.received), len(new.received)) == (1, 1)


async def test_a_told_engine_gets_no_new_request_while_it_finishes_the_old(tmp_path: Path) -> None:
    """Its /health says 200 to the end."""
    engine, socket = FakeEngine(name="a"), tmp_path / "a.sock"
    async with gateway_on_stage(config_json(tmp_path, "a", timeouts={"hold_s": 0.1})) as stage, running(engine, socket):
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        announce(socket)
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "draining")
        assert await status(stage) == 503
        assert engine.received == []


async def test_a_model_that_a_reload_takes_away_is_waited_for_no_longer(tmp_path: Path) -> None:
    async with restarting(tmp_path) as stage:
        waiting = asyncio.create_task(stage.session.post(CHAT, json={"model": "a"}))
        await eventually(lambda: figures(stage) == (1, 1))
        await stage.gateway.fleet.adopt(parse_config(config_json(tmp_path, "b"), where="gateway.json"))
        assert (await waiting).status == 404
