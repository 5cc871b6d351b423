"""An engine that has requests and finishes no step of them: seen by its own count, and sent nothing new."""

import asyncio
from pathlib import Path

import pytest

from gateway import probe
from gateway.config_file import parse_config
from gateway.progress import Progress
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_admission import busy, limited, status
from tests.unit.gateway.test_stage import Stage, eventually

STEPS = "vllm:iteration_tokens_total_count"


def state(stage: Stage) -> str:
    return stage.gateway.fleet.upstreams["a"].state


def metrics(steps: float) -> str:
    return f'{STEPS}{{engine="0",model_name="a"}} {steps}\n'


def test_no_step_while_somebody_waits_is_a_stall_and_a_step_ends_it() -> None:
    progress = Progress()
    progress.awaited = 1
    found = []
    for now_s, steps in ((0, 5), (10, 5), (59, 5), (60, 5), (70, 6), (129, 6), (130, 6)):
        progress.look(metrics(steps), now_s)
        found.append(progress.is_stuck(now_s, 60))
    assert found == [False, False, False, True, False, False, True]


def test_a_pause_in_which_nobody_waited_counts_for_nothing() -> None:
    progress = Progress()
    progress.awaited = 1
    progress.look(metrics(5), 0)
    progress.rest()
    progress.look(metrics(5), 1000)
    assert not progress.is_stuck(1000, 60)


def test_answers_without_a_step_are_progress_and_an_unknown_count_is_no_stall() -> None:
    progress = Progress()
    progress.awaited = 1
    progress.look(metrics(5), 0)
    progress.pieces += 1
    progress.look(metrics(5), 60)
    assert not progress.is_stuck(60, 60)
    progress.look("something_else 1\n", 200)
    assert not progress.is_stuck(200, 60)


async def test_a_stalled_model_refuses_at_once_and_is_served_again_when_it_moves(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(probe.BELIEVED_AFTER_S, probe.State.STALLED, 0.1)
    engine = FakeEngine(name="a", failure="hang", steps=7)
    async with busy(tmp_path, engine, concurrency=1, stall_s=0.3) as stage:
        first, waiting = (asyncio.create_task(status(stage)) for _ in range(2))
        await eventually(lambda: state(stage) == "stalled", within_s=5)
        assert await waiting == 503, "who waits in line is told too"
        async with stage.chat() as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
            assert (await answer.json())["error"]["code"] == "model_stalled"
        async with stage.session.get("/readyz") as ready:
            assert ready.status == 503
        assert (await stage.json("/stats"))["models"]["a"]["state"] == "stalled"
        async with stage.session.get("/metrics") as shown:
            assert 'gateway_upstream_state{model="a",state="stalled"} 1.0' in await shown.text()
        assert not first.done(), "what it has begun is not cut off"
        engine.failure = "none"
        first.cancel()
        await eventually(lambda: state(stage) == "ready")
        assert await status(stage) == 200


async def test_an_engine_that_makes_steps_is_not_stalled_however_long_it_takes(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang", steps=0)
    async with busy(tmp_path, engine, stall_s=0.3) as stage:
        asking = asyncio.create_task(status(stage))
        for step in range(20):
            engine.steps = step
            await asyncio.sleep(0.05)
            assert state(stage) == "ready"
        asking.cancel()


async def test_a_client_that_reads_slowly_makes_no_engine_stalled(tmp_path: Path) -> None:
    """Then nobody waits for the engine, which waits itself."""
    engine = FakeEngine(name="a", token="x" * 100_000, tokens=100_000, steps=7)
    async with busy(tmp_path, engine, stall_s=0.3) as stage, stage.chat(stream=True):
        await asyncio.sleep(1.0)
        assert state(stage) == "ready"


async def test_a_stall_time_reaches_the_gateway_from_its_file_and_by_a_reload(tmp_path: Path) -> None:
    async with busy(tmp_path, FakeEngine(name="a", failure="hang", steps=1), stall_s=100.0) as stage:
        asking = asyncio.create_task(status(stage))
        await asyncio.sleep(0.5)
        assert state(stage) == "ready"
        await stage.gateway.fleet.adopt(parse_config(limited(tmp_path, stall_s=0.2), where="gateway.json"))
        await eventually(lambda: state(stage) == "stalled", within_s=5)
        asking.cancel()
