"""A client that leaves ends its engine's work at once, and leaves nothing behind in the gateway."""

import asyncio
import json
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, Stage, eventually, staged

WITHIN_S = 0.1


def request_bytes(**body: Any) -> bytes:
    raw = json.dumps({"model": "a", "messages": [], **body}).encode()
    return f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(raw)}\r\n\r\n".encode() + raw


async def leave(writer: asyncio.StreamWriter, how: str) -> float:
    """Leave with a FIN or with an RST and return when."""
    if how == "abort":
        writer.transport.abort()
    else:
        writer.close()
    return time.monotonic()


async def assert_cancelled(stage: Stage, engine: FakeEngine, left: float) -> None:
    await eventually(lambda: engine.received[0].cancelled_at is not None)
    assert (engine.received[0].cancelled_at or 0) - left < WITHIN_S
    await eventually(lambda: stage.stats().in_flight == 0 and len(stage.gateway.requests) == 0)
    stats = stage.stats()
    assert (stats.cancelled_total, stats.errors_total) == (1, 0)
    assert 'gateway_cancelled_total{model="a",route="/v1/chat/completions"} 1.0' in stage.gateway.metrics.exposition(
        stage.gateway.fleet.upstreams.values(), stage.gateway.requests, (), stage.gateway.loader.roster
    )


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize(
    ("engine", "stream"),
    [
        (FakeEngine(name="a", tokens=1000, token_delay_s=0.02), True),
        (FakeEngine(name="a", first_token_delay_s=60), True),
        (FakeEngine(name="a", first_token_delay_s=60), False),
        (FakeEngine(name="a", failure="hang"), True),
        (FakeEngine(name="a", failure="hang"), False),
    ],
    ids=["mid-stream", "before-the-first-event", "whole-answer", "no-head-stream", "no-head-whole"],
)
async def test_the_engine_stops_within_a_tenth_of_a_second(
    tmp_path: Path, engine: FakeEngine, stream: bool, how: str
) -> None:
    engine.received.clear()
    async with staged(tmp_path, engine) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(request_bytes(stream=stream))
        await eventually(lambda: bool(engine.received))
        if stream and engine.token_delay_s:
            await reader.readuntil(b"data: ")
        await asyncio.sleep(0.03)
        await assert_cancelled(stage, engine, await leave(writer, how))


@pytest.mark.parametrize("how", ["close", "abort"])
async def test_a_client_that_reads_nothing_and_leaves_stops_the_engine_too(tmp_path: Path, how: str) -> None:
    engine = FakeEngine(name="a", token="x" * 100_000, tokens=100_000)
    async with staged(tmp_path, engine) as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.port, limit=1024)
        writer.write(request_bytes(stream=True))
        await eventually(lambda: bool(engine.received))
        at_rest = 0
        while len(engine.received[0].pieces) != at_rest:  # until the kernel's buffers are full
            at_rest = len(engine.received[0].pieces)
            await asyncio.sleep(0.05)
        assert at_rest < 500, "a slow client slows the engine instead of filling memory"
        await assert_cancelled(stage, engine, await leave(writer, how))


async def test_a_client_that_leaves_while_sending_is_forgotten(tmp_path: Path) -> None:
    engine = FakeEngine(name="a")
    async with staged(tmp_path, engine) as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(request_bytes()[:-5])
        await eventually(lambda: len(stage.gateway.requests) == 1)
        writer.close()
        await eventually(lambda: len(stage.gateway.requests) == 0)
    assert not engine.received


async def test_a_stalled_client_is_cut_off_after_the_idle_time(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", token="x" * 100_000, tokens=100_000)
    async with staged(tmp_path, engine, timeouts={"stream_idle_s": 0.2}) as stage:
        _, writer = await asyncio.open_connection("127.0.0.1", stage.port, limit=1024)
        writer.write(request_bytes(stream=True))
        await eventually(lambda: bool(engine.received))
        await eventually(lambda: len(stage.gateway.requests) == 0, within_s=4)
        await eventually(lambda: engine.received[0].cancelled_at is not None)
        writer.close()


async def test_many_leaving_clients_leak_no_task_and_no_connection(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=1000, token_delay_s=0.01)
    async with staged(tmp_path, engine) as stage:
        before = len(asyncio.all_tasks())
        for stream in (True, False):
            connections = [await asyncio.open_connection("127.0.0.1", stage.port) for _ in range(20)]
            for _, writer in connections:
                writer.write(request_bytes(stream=stream))
            await asyncio.sleep(0.1)
            for _, writer in connections:
                writer.close()
        await eventually(lambda: all(received.cancelled_at for received in engine.received))
        assert len(engine.received) == 40
        await eventually(lambda: len(asyncio.all_tasks()) <= before)
        assert stage.stats().in_flight == 0
        engine.token_delay_s = 0
        async with stage.chat(stream=True) as answer:
            assert (await answer.read()).endswith(b"data: [DONE]\n\n")
