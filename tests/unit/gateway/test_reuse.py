"""An engine that closes a kept connection in the moment in which the next request comes loses nobody's request."""

import asyncio
from pathlib import Path

from tests.support.fakes.raw_engine import WHOLE, RawEngine, listening
from tests.unit.gateway.test_stage import config_json, eventually, gateway_on_stage


async def test_an_engine_that_closes_after_its_answer_costs_no_request(tmp_path: Path) -> None:
    """It closes when the next request arrives: the worst moment there is."""

    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await reader.read(1)
        writer.close()

    config = config_json(tmp_path, "a", timeouts={"probe_interval_s": 60})
    async with listening(RawEngine(answer_and_close), tmp_path / "a.sock") as engine, gateway_on_stage(config) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        statuses = []
        for _ in range(60):
            async with stage.chat() as answer:
                statuses.append(answer.status)
    assert statuses == [200] * 60
    assert len(engine.requests) == 60


async def test_an_answer_that_has_begun_on_a_kept_connection_is_not_asked_for_again(tmp_path: Path) -> None:
    async def answer_then_begin(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await reader.read(1)
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Le")
        writer.close()

    config = config_json(tmp_path, "a", timeouts={"probe_interval_s": 60})
    async with listening(RawEngine(answer_then_begin), tmp_path / "a.sock"), gateway_on_stage(config) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        statuses = []
        for _ in range(3):
            async with stage.chat() as answer:
                statuses.append(answer.status)
    assert statuses == [200, 502, 200]


async def test_a_request_that_finds_nobody_after_a_kept_connection_closed_is_told_so(tmp_path: Path) -> None:
    async def answer_and_close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(WHOLE)
        await reader.read(1)
        writer.close()

    config = config_json(tmp_path, "a", timeouts={"probe_interval_s": 60})
    async with gateway_on_stage(config) as stage:
        async with listening(RawEngine(answer_and_close), tmp_path / "a.sock"):
            await stage.gateway.fleet.upstreams["a"].probe()
            async with stage.chat() as answer:
                assert answer.status == 200
        async with stage.chat() as answer:
            assert answer.status == 502


async def test_a_request_that_broke_off_on_a_connection_of_its_own_is_not_sent_again(tmp_path: Path) -> None:
    """The engine may have worked on it."""

    async def close(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with (
        listening(RawEngine(close), tmp_path / "a.sock") as engine,
        gateway_on_stage(config_json(tmp_path, "a")) as stage,
    ):
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        async with stage.chat() as answer:
            assert answer.status == 502
    assert len(engine.requests) == 1
