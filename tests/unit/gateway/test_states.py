"""What state an engine is in, and what clients and monitors are told of it."""

import asyncio
from pathlib import Path

import pytest

from gateway import __version__
from gateway.probe import DRAIN_LASTS_S, STALL_LASTS_S, EngineState, ProbeResult, State, next_state
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import Stage, config_json, eventually, gateway_on_stage, staged

L, R, U, D, S = State.LOADING, State.READY, State.UNREACHABLE, State.DRAINING, State.STALLED
TABLE = [
    # from, what the probe found, to
    (L, ProbeResult.HEALTHY, R),
    (L, ProbeResult.UNHEALTHY, L),
    (L, ProbeResult.SILENT, L),
    (L, ProbeResult.REFUSED, L),
    (L, ProbeResult.ABSENT, L),
    (L, ProbeResult.REPLACED, L),
    (R, ProbeResult.HEALTHY, R),
    (R, ProbeResult.UNHEALTHY, U),
    (R, ProbeResult.SILENT, R),
    (R, ProbeResult.REFUSED, U),
    (R, ProbeResult.ABSENT, L),
    (R, ProbeResult.REPLACED, L),
    (U, ProbeResult.HEALTHY, R),
    (U, ProbeResult.UNHEALTHY, U),
    (U, ProbeResult.SILENT, U),
    (U, ProbeResult.REFUSED, U),
    (U, ProbeResult.ABSENT, L),
    (U, ProbeResult.REPLACED, L),
    (D, ProbeResult.HEALTHY, D),
    (D, ProbeResult.UNHEALTHY, D),
    (D, ProbeResult.SILENT, D),
    (D, ProbeResult.REFUSED, L),
    (D, ProbeResult.ABSENT, L),
    (D, ProbeResult.REPLACED, L),
    (S, ProbeResult.HEALTHY, S),
    (S, ProbeResult.UNHEALTHY, U),
    (S, ProbeResult.SILENT, S),
    (S, ProbeResult.REFUSED, U),
    (S, ProbeResult.ABSENT, L),
    (S, ProbeResult.REPLACED, L),
    *((before, ProbeResult.STUCK, S) for before in (L, R, U, S)),
    (D, ProbeResult.STUCK, D),
    *((before, ProbeResult.LEAVING, D) for before in State),
    *((before, ProbeResult.AWAITED, L) for before in State),
]


@pytest.mark.parametrize(("before", "result", "after"), TABLE)
def test_a_probe_changes_the_state(before: State, result: ProbeResult, after: State) -> None:
    assert next_state(EngineState(state=before), result, lasted_s=0.0).state is after


def test_the_table_names_every_case() -> None:
    assert {(before, result) for before, result, _ in TABLE} == {(s, f) for s in State for f in ProbeResult}


def test_an_engine_that_misses_one_probe_stays_ready_and_one_that_misses_three_does_not() -> None:
    engine_state = EngineState(state=R)
    states = []
    for result in (ProbeResult.SILENT, ProbeResult.SILENT, ProbeResult.HEALTHY, *[ProbeResult.SILENT] * 3):
        engine_state = next_state(engine_state, result, lasted_s=0.0)
        states.append(engine_state.state)
    assert states == [R, R, R, R, R, U]


def test_a_healthy_answer_of_a_draining_engine_is_believed_only_after_a_while() -> None:
    engine_state = EngineState(state=D)
    assert next_state(engine_state, ProbeResult.HEALTHY, lasted_s=DRAIN_LASTS_S - 0.1).state is D
    assert next_state(engine_state, ProbeResult.HEALTHY, lasted_s=DRAIN_LASTS_S).state is R


def test_a_stalled_engine_that_moves_is_believed_after_a_while_and_given_up_when_it_falls_silent() -> None:
    stalled = EngineState(state=S)
    assert next_state(stalled, ProbeResult.HEALTHY, lasted_s=STALL_LASTS_S - 0.1).state is S
    assert next_state(stalled, ProbeResult.HEALTHY, lasted_s=STALL_LASTS_S).state is R
    states = []
    for _ in range(3):
        stalled = next_state(stalled, ProbeResult.SILENT, lasted_s=9.0)
        states.append(stalled.state)
    assert states == [S, S, U]


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
        health = await stage.json("/health")
        assert {key: health[key] for key in ("status", *expected)} == {"status": "degraded", **expected}
        second.is_healthy = True
        await eventually(lambda: len(stage.gateway.fleet.ready_models()) == 2)
        assert (await stage.json("/health"))["status"] == "healthy"
        first.is_healthy = second.is_healthy = False
        await eventually(lambda: not stage.gateway.fleet.ready_models())
        for path, status in (("/health", 503), ("/readyz", 503), ("/livez", 200)):
            async with stage.session.get(path) as answer:
                assert answer.status == status
        assert (await stage.json("/health"))["status"] == "unhealthy"
