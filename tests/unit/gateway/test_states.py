"""What state an engine is in, and what clients and monitors are told of it."""

import asyncio
from pathlib import Path

import pytest

from gateway import __version__
from gateway.probe import DRAIN_HOLD_S, Finding, Standing, State, next_standing
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import Stage, config_json, eventually, gateway_on_stage, staged

L, R, U, D = State.LOADING, State.READY, State.UNREACHABLE, State.DRAINING
TABLE = [
    # from, what the probe found, to
    (L, Finding.HEALTHY, R),
    (L, Finding.UNHEALTHY, L),
    (L, Finding.SILENT, L),
    (L, Finding.REFUSED, L),
    (L, Finding.ABSENT, L),
    (L, Finding.REPLACED, L),
    (R, Finding.HEALTHY, R),
    (R, Finding.UNHEALTHY, U),
    (R, Finding.SILENT, R),
    (R, Finding.REFUSED, U),
    (R, Finding.ABSENT, L),
    (R, Finding.REPLACED, L),
    (U, Finding.HEALTHY, R),
    (U, Finding.UNHEALTHY, U),
    (U, Finding.SILENT, U),
    (U, Finding.REFUSED, U),
    (U, Finding.ABSENT, L),
    (U, Finding.REPLACED, L),
    (D, Finding.HEALTHY, D),
    (D, Finding.UNHEALTHY, D),
    (D, Finding.SILENT, D),
    (D, Finding.REFUSED, L),
    (D, Finding.ABSENT, L),
    (D, Finding.REPLACED, L),
    *((before, Finding.LEAVING, D) for before in State),
    *((before, Finding.AWAITED, L) for before in State),
]


@pytest.mark.parametrize(("before", "finding", "after"), TABLE)
def test_a_probe_changes_the_state(before: State, finding: Finding, after: State) -> None:
    assert next_standing(Standing(state=before), finding, held_s=0.0).state is after


def test_the_table_names_every_case() -> None:
    assert {(before, finding) for before, finding, _ in TABLE} == {(s, f) for s in State for f in Finding}


def test_an_engine_that_misses_one_probe_stays_ready_and_one_that_misses_three_does_not() -> None:
    standing = Standing(state=R)
    states = []
    for finding in (Finding.SILENT, Finding.SILENT, Finding.HEALTHY, *[Finding.SILENT] * 3):
        standing = next_standing(standing, finding, held_s=0.0)
        states.append(standing.state)
    assert states == [R, R, R, R, R, U]


def test_a_healthy_answer_of_a_draining_engine_is_believed_only_after_a_while() -> None:
    standing = Standing(state=D)
    assert next_standing(standing, Finding.HEALTHY, held_s=DRAIN_HOLD_S - 0.1).state is D
    assert next_standing(standing, Finding.HEALTHY, held_s=DRAIN_HOLD_S).state is R


def state(stage: Stage) -> State:
    return stage.gateway.fleet.upstreams["a"].state


async def test_a_model_that_loads_is_503_with_retry_after_until_it_is_ready(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", is_healthy=False)
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        for _ in range(2):  # without a socket, then with a socket and an unhealthy engine
            async with stage.chat() as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
                error = (await answer.json())["error"]
                assert (error["code"], error["type"]) == ("model_loading", "server_error")
            async with running(engine, tmp_path / "a.sock"):
                await asyncio.sleep(0.05)
        engine.is_healthy = True
        async with running(engine, tmp_path / "a.sock"):
            await eventually(lambda: state(stage) is R)
            async with stage.chat() as answer:
                assert answer.status == 200
    assert len(engine.received) == 1


async def test_the_length_that_an_engine_tells_is_asked_again_after_a_restart(tmp_path: Path) -> None:
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        for length in (1024, 2048):
            async with running(FakeEngine(name="a", max_model_len=length), tmp_path / "a.sock"):
                await eventually(lambda: stage.gateway.fleet.upstreams["a"].max_model_len == length)  # noqa: B023
            await eventually(lambda: state(stage) is not R)


async def test_a_refused_request_marks_the_engine_at_once(tmp_path: Path) -> None:
    timeouts = {"probe_interval_s": 60}
    async with staged(tmp_path, FakeEngine(name="b"), timeouts=timeouts):
        pass  # leaves the socket file behind, with nobody listening
    engine = FakeEngine(name="a")
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        async with running(engine, tmp_path / "a.sock"):
            await eventually(lambda: state(stage) is R)
            stage.gateway.fleet.upstreams["a"].timeouts = stage.gateway.fleet.config.timeouts.model_copy(
                update={"probe_interval_s": 60.0}
            )
            await asyncio.sleep(0.05)
        assert state(stage) is R
        async with stage.chat() as answer:
            assert answer.status == 502
        assert state(stage) in (U, L)
        async with stage.chat() as answer:
            assert answer.status == 503


async def test_a_dead_engine_is_unreachable_and_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        async with running(FakeEngine(name="a"), path):
            await eventually(lambda: state(stage) is R)
        await eventually(lambda: state(stage) is not R)
        if path.exists():
            assert state(stage) is U
            async with stage.chat() as answer:
                assert (answer.status, (await answer.json())["error"]["code"]) == (503, "model_unreachable")
        async with running(FakeEngine(name="a"), path), stage.session.get("/livez") as alive:
            assert alive.status == 200
            await eventually(lambda: state(stage) is R)


@pytest.mark.parametrize("stream", [True, False])
async def test_an_engine_that_drains_is_said_to_restart(tmp_path: Path, stream: bool) -> None:
    engine = FakeEngine(name="a", failure="draining")
    async with staged(tmp_path, engine, timeouts={"hold_s": 0}) as stage:
        for _ in range(3):  # its /health still says 200; later requests do not reach it
            async with stage.chat(stream=stream) as answer:
                assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
                assert (await answer.json())["error"]["code"] == "model_restarting"
            await asyncio.sleep(0.05)
        assert state(stage) is D
    assert len(engine.received) == 1


async def test_health_and_readiness_tell_how_many_models_are_ready(tmp_path: Path) -> None:
    first, second = FakeEngine(name="a"), FakeEngine(name="b", is_healthy=False)
    async with staged(tmp_path, first, second) as stage:
        assert await stage.json("/") == {
            "name": "axion-gateway",
            "version": __version__,
            "models_loaded": 1,
            "models_available": 2,
        }
        expected = {"models_loaded": 1, "models_available": 2, "models": {"a": "ready", "b": "loading"}}
        assert await stage.json("/health") == {"status": "degraded", **expected}
        second.is_healthy = True
        await eventually(lambda: len(stage.gateway.fleet.ready_models()) == 2)
        assert (await stage.json("/health"))["status"] == "healthy"
        first.is_healthy = second.is_healthy = False
        await eventually(lambda: not stage.gateway.fleet.ready_models())
        for path, status in (("/health", 503), ("/readyz", 503), ("/livez", 200)):
            async with stage.session.get(path) as answer:
                assert answer.status == status
        assert (await stage.json("/health"))["status"] == "unhealthy"
