"""Streams through the gateway: every byte, without delay, and an honest end when an engine dies."""

import asyncio
import itertools
import json
import socket
import time
from pathlib import Path
from typing import Any

import aiohttp
import openai
import pytest

from gateway.connection import Connection
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_sse import strict_events
from tests.unit.gateway.test_stage import CHAT, config_json, gateway_on_stage, raw_exchange, staged


@pytest.mark.parametrize("route", [CHAT, "/v1/completions", "/v1/messages", "/v1/responses"])
async def test_a_stream_arrives_byte_for_byte(tmp_path: Path, route: str) -> None:
    engine = FakeEngine(name="a", token="é\n\\ data: [DONE]", tokens=50, response_headers={"X-Engine": "1"})
    async with (
        staged(tmp_path, engine) as stage,
        stage.session.post(route, json={"model": "a", "stream": True}) as answer,
    ):
        assert await answer.read() == engine.received[0].sent
        assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        assert answer.headers["X-Accel-Buffering"] == "no"
        assert answer.headers["X-Engine"] == "1"
        assert "Content-Encoding" not in answer.headers


async def test_many_streams_at_once_are_not_mixed_lost_or_reordered(tmp_path: Path) -> None:
    first, second = FakeEngine(name="a", token="x", tokens=40), FakeEngine(name="b", token="y", tokens=40)

    async with staged(tmp_path, first, second) as stage:

        async def one(model: str) -> bytes:
            async with stage.chat(model, stream=True) as answer:
                return bytes(await answer.read())

        bodies = await asyncio.gather(*(one("ab"[number % 2]) for number in range(32)))
    assert set(bodies[::2]) == {first.received[0].sent}
    assert set(bodies[1::2]) == {second.received[0].sent}


async def test_events_arrive_as_they_are_made(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=5, token_delay_s=0.05)
    async with staged(tmp_path, engine) as stage, stage.chat(stream=True) as answer:
        times = [time.monotonic() async for _ in answer.content.iter_any()]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert len(times) >= 6
    assert min(gaps[:5]) > 0.02, "events were gathered instead of passed on"


async def test_the_clients_socket_does_not_wait_to_fill_packets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted: list[Any] = []
    made = Connection.connection_made

    def kept(self: Connection, transport: Any) -> None:
        made(self, transport)
        accepted.append(transport)

    monkeypatch.setattr(Connection, "connection_made", kept)
    async with staged(tmp_path, FakeEngine(name="a", token_delay_s=0.05)) as stage, stage.chat(stream=True) as answer:
        socks = [transport.get_extra_info("socket") for transport in accepted]
        assert [sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) for sock in socks] == [1]
        await answer.read()


@pytest.mark.parametrize("failure", ["die_between_events", "die_mid_event", "no_done"])
async def test_a_stream_that_broke_ends_in_an_error_and_never_in_done(tmp_path: Path, failure: str) -> None:
    engine = FakeEngine(name="a", tokens=8, failure=failure)
    async with staged(tmp_path, engine) as stage:
        async with stage.chat(stream=True) as answer:
            body = await answer.read()
        sent = engine.received[0].sent
        assert body.startswith(sent)
        assert b"[DONE]" not in body
        last = json.loads(strict_events(body)[-1][1])
        assert last["error"]["code"] == "upstream_error"
        assert len(strict_events(body)) == len(strict_events(sent)) + 1
        async with stage.openai() as client:
            stream = await client.chat.completions.create(model="a", messages=[], stream=True)
            seen = 0
            with pytest.raises(openai.APIError, match="engine of the model 'a' failed"):
                async for _ in stream:
                    seen += 1
            assert seen >= 2
        figures = (await stage.json("/stats"))["models"]["a"]
        assert (figures["interrupted_total"], figures["in_flight"]) == (2, 0)


@pytest.mark.parametrize(
    ("route", "count", "name"), [("/v1/messages", 8, "error"), ("/v1/responses", 4, "response.failed")]
)
async def test_a_stream_of_typed_events_cut_without_its_last_one_is_not_taken_for_whole(
    tmp_path: Path, route: str, count: int, name: str
) -> None:
    engine = FakeEngine(name="a", failure="no_done")
    asked = {"model": "a", "stream": True}
    async with staged(tmp_path, engine) as stage, stage.session.post(route, json=asked) as answer:
        events = strict_events(await answer.read())
    assert len(events) == count
    assert events[-1][0] == name
    assert "engine of the model 'a' failed" in events[-1][1]


async def test_an_engines_own_error_event_is_left_alone_and_counted(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="error_event")
    async with staged(tmp_path, engine) as stage:
        async with stage.chat(stream=True) as answer:
            assert await answer.read() == engine.received[0].sent
        assert (await stage.json("/stats"))["models"]["a"]["interrupted_total"] == 1


@pytest.mark.parametrize(
    ("failure", "stream"),
    [
        ("die_before_answer", True),
        ("die_before_answer", False),
        ("die_before_first_event", True),
        ("die_mid_body", False),
    ],
)
async def test_an_engine_that_dies_before_anything_was_sent_is_502(tmp_path: Path, failure: str, stream: bool) -> None:
    engine = FakeEngine(name="a", failure=failure)
    async with staged(tmp_path, engine) as stage, stage.chat(stream=stream) as answer:
        assert answer.status == 502
        assert (await answer.json())["error"]["code"] == "upstream_error"
    assert len(engine.received) == 1, "a request that may have been worked on is not repeated"


async def test_a_large_answer_cut_midway_breaks_the_connection(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", token="x" * 1024, tokens=4096, failure="die_mid_body")
    async with staged(tmp_path, engine) as stage:
        async with stage.chat() as answer:
            assert answer.status == 200
            with pytest.raises(aiohttp.ClientError):
                await answer.read()
        engine.failure = "none"
        async with stage.chat() as answer:
            assert await answer.read() == engine.received[1].sent


async def test_a_silent_engine_is_504_and_a_stream_that_stalls_ends_in_an_error(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    timeouts = {"response_s": 0.15, "stream_idle_s": 0.1}
    async with staged(tmp_path, engine, timeouts=timeouts) as stage:
        async with stage.chat() as answer:
            assert answer.status == 504
            assert (await answer.json())["error"]["code"] == "upstream_timeout"
        engine.failure = "hang_mid_stream"
        async with stage.chat(stream=True) as answer:
            events = strict_events(await answer.read())
        assert len(events) == 3
        assert json.loads(events[-1][1])["error"]["code"] == "upstream_timeout"


async def test_a_stream_may_last_longer_than_the_time_to_its_first_byte(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=8, token_delay_s=0.05)
    async with staged(tmp_path, engine, timeouts={"response_s": 0.2}) as stage, stage.chat(stream=True) as answer:
        assert await answer.read() == engine.received[0].sent


async def test_a_client_that_does_not_finish_its_request_is_408(tmp_path: Path) -> None:
    request = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{{".encode()
    async with staged(tmp_path, FakeEngine(name="a"), timeouts={"response_s": 0.1}) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(request)
        assert await reader.readline() == b"HTTP/1.1 408 Request Timeout\r\n"
        writer.close()


@pytest.mark.parametrize("connection", ["", "Connection: keep-alive\r\n"])
async def test_http_1_0_clients_get_a_stream_that_ends_with_the_connection(tmp_path: Path, connection: str) -> None:
    engine = FakeEngine(name="a")
    raw = b'{"model":"a","stream":true}'
    request = f"POST {CHAT} HTTP/1.0\r\n{connection}Content-Length: {len(raw)}\r\n\r\n".encode() + raw
    async with staged(tmp_path, engine) as stage:
        head, _, body = (await raw_exchange(stage.port, request)).partition(b"\r\n\r\n")
    assert b"chunked" not in head.lower()
    assert body == engine.received[0].sent


async def test_a_restarted_engine_is_served_again_over_new_connections(tmp_path: Path) -> None:
    path = tmp_path / "a.sock"
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        for _ in range(2):
            async with running(FakeEngine(name="a"), path):
                for _ in range(100):
                    async with stage.chat() as answer:
                        if answer.status == 200:
                            break
                    await asyncio.sleep(0.01)
                assert answer.status == 200
