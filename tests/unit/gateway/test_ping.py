"""While an engine is silent its stream shows signs of life, and never within an event or before a status is due."""

import asyncio
import json
import time
from pathlib import Path

import pytest

from tests.support.fakes.engine import FakeEngine
from tests.support.fakes.raw_engine import STREAM, RawEngine, chunk, listening
from tests.unit.gateway.test_admission import busy, figures, status
from tests.unit.gateway.test_sse import strict_events
from tests.unit.gateway.test_stage import CHAT, config_json, eventually, gateway_on_stage, staged

MESSAGES = "/v1/messages"
PING = b": ping\n\n"
FAST = {"ping_s": 0.1}


@pytest.mark.parametrize("route", [CHAT, "/v1/completions", "/v1/messages", "/v1/responses"])
async def test_a_long_prefill_is_not_silent_and_the_stream_after_it_is_untouched(tmp_path: Path, route: str) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.55)
    async with staged(tmp_path, engine, timeouts=FAST) as stage:
        began = time.monotonic()
        async with stage.session.post(route, json={"model": "a", "stream": True}) as answer:
            assert 0.1 <= time.monotonic() - began < 0.5, "the head waited for the engine"
            assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
            assert (answer.headers["X-Served-Model"], answer.headers["X-Accel-Buffering"]) == ("a", "no")
            body = await answer.read()
    assert body.startswith(PING * 3)
    assert body.replace(PING, b"") == engine.received[0].sent
    assert stage.stats().interrupted_total == 0


async def test_a_stream_that_a_ping_begins_says_why_its_model_was_chosen(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.35)
    async with staged(tmp_path, engine, timeouts=FAST, routing={}) as stage, stage.chat("auto", stream=True) as answer:
        assert (answer.headers["X-Route-Reason"], answer.headers["X-Served-Model"]) == ("fallback", "a")
        assert (await answer.read()).startswith(PING)


async def test_a_response_that_breaks_after_a_ping_ends_with_the_number_that_is_next(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.35, failure="die_between_events")
    async with (
        staged(tmp_path, engine, timeouts=FAST) as stage,
        stage.session.post("/v1/responses", json={"model": "a", "stream": True}) as answer,
    ):
        body = (await answer.read()).replace(PING, b"")
    name, data = strict_events(body)[-1]
    failed = json.loads(data)
    assert (name, failed["sequence_number"], failed["response"]["id"]) == ("response.failed", 2, "resp_a")


async def test_no_ping_comes_within_an_event_that_began_before_the_first(tmp_path: Path) -> None:
    large = b"data: " + b"x" * 400_000

    async def in_parts(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        await asyncio.sleep(0.25)
        writer.write(chunk(large))
        await asyncio.sleep(0.4)
        writer.write(chunk(b"y\n\ndata: [DONE]\n\n") + b"0\r\n\r\n")

    config = config_json(tmp_path, "a", timeouts=FAST)
    async with listening(RawEngine(in_parts), tmp_path / "a.sock"), gateway_on_stage(config) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        async with stage.chat(stream=True) as answer:
            body = await answer.read()
    assert body.startswith(PING)
    assert body.endswith(large + b"y\n\ndata: [DONE]\n\n")


async def test_silence_between_two_events_is_broken_too(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=2, token_delay_s=0.25)
    async with staged(tmp_path, engine, timeouts=FAST) as stage, stage.chat(stream=True) as answer:
        body = await answer.read()
    assert body.count(b"\n\n" + PING) >= 2
    assert body.replace(PING, b"") == engine.received[0].sent


@pytest.mark.parametrize(("more", "stream"), [({"ping_s": 0}, True), (FAST, False), ({}, True)])
async def test_nothing_comes_before_an_answer_that_is_whole_or_when_it_is_off(
    tmp_path: Path, more: dict[str, float], stream: bool
) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.35)
    asked = {"model": "a", "stream": stream}
    async with staged(tmp_path, engine, timeouts=more) as stage, stage.session.post(MESSAGES, json=asked) as answer:
        assert await answer.read() == engine.received[0].sent


async def test_a_failure_before_the_first_ping_has_its_status(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="die_before_first_event")
    async with staged(tmp_path, engine, timeouts={"ping_s": 1.0}) as stage, stage.chat(stream=True) as answer:
        assert answer.status == 502


@pytest.mark.parametrize(("route", "kind"), [(CHAT, ""), ("/v1/messages", "error")])
async def test_a_failure_after_the_first_ping_is_an_error_event(tmp_path: Path, route: str, kind: str) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with (
        staged(tmp_path, engine, timeouts={**FAST, "response_s": 0.4}) as stage,
        stage.session.post(route, json={"model": "a", "stream": True}) as answer,
    ):
        assert answer.status == 200
        body = await answer.read()
        assert body.startswith(PING)
        ((name, data),) = strict_events(body.replace(PING, b""))
        assert name == kind
        assert "did not answer in time" in data
        assert b"[DONE]" not in body
    assert stage.stats().interrupted_total == 1


async def test_a_stream_that_waits_in_line_shows_signs_of_life_and_is_told_why_it_is_refused(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with busy(tmp_path, engine, concurrency=1, timeouts={**FAST, "queue_s": 0.4}) as stage:
        first = asyncio.create_task(status(stage))
        await eventually(lambda: figures(stage) == (1, 0))
        async with stage.chat(stream=True) as answer:
            body = await answer.read()
        assert body.startswith(PING * 2)
        assert json.loads(strict_events(body.replace(PING, b""))[0][1])["error"]["code"] == "queue_timeout"
        assert stage.stats().refused_total == 1
        first.cancel()


async def test_what_an_engine_says_against_a_request_that_waited_is_told_in_the_stream(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.3)
    async with busy(tmp_path, engine, concurrency=1, timeouts=FAST) as stage:
        first = asyncio.create_task(status(stage))
        await eventually(lambda: figures(stage) == (1, 0))
        async with stage.chat(stream=True, temperature=9) as answer:
            body = await answer.read()
        assert await first == 200
    error = json.loads(strict_events(body.replace(PING, b""))[0][1])["error"]
    assert "temperature must be in [0, 2]" in error["message"]
    assert (error["code"], error["type"]) == ("engine_refused", "invalid_request_error")


async def test_a_client_that_leaves_after_a_ping_ends_the_engines_work(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with staged(tmp_path, engine, timeouts=FAST) as stage:
        before = len(asyncio.all_tasks())
        async with stage.chat(stream=True) as answer:
            assert await answer.content.readexactly(len(PING)) == PING
            answer.close()
        await eventually(lambda: engine.received[0].cancelled_at is not None)
        await eventually(lambda: stage.stats().in_flight == 0 and len(asyncio.all_tasks()) <= before)
        assert stage.stats().cancelled_total == 1


async def test_no_ping_comes_within_an_event_that_passes_in_parts(tmp_path: Path) -> None:
    large = b"data: " + b"x" * 400_000

    async def two_halves(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunk(large))
        await asyncio.sleep(0.4)
        writer.write(chunk(b"y\n\ndata: [DONE]\n\n") + b"0\r\n\r\n")

    config = config_json(tmp_path, "a", timeouts=FAST)
    async with listening(RawEngine(two_halves), tmp_path / "a.sock"), gateway_on_stage(config) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        async with stage.chat(stream=True) as answer:
            assert await answer.read() == large + b"y\n\ndata: [DONE]\n\n"


async def test_the_openai_client_reads_over_pings(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", token="hi ", first_token_delay_s=0.25, token_delay_s=0.15)
    async with staged(tmp_path, engine, timeouts=FAST) as stage, stage.openai() as client:
        stream = await client.chat.completions.create(model="a", messages=[], stream=True)
        said = [chunk.choices[0].delta.content async for chunk in stream if chunk.choices]
    assert "".join(filter(None, said)) == "hi hi hi "
