"""What is counted of requests whose engines could not say what they took, or never got to work."""

import asyncio
import contextlib
import time
from pathlib import Path
from typing import Any

import pytest

from agent.usage import day_of
from gateway.limits import day_at
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_stage import CHAT, Stage, eventually
from tests.unit.gateway.test_tenancy import ALICE, keyed

KEYS = f"{ALICE} name=alice\n"
HEADERS = {"Authorization": f"Bearer {ALICE}"}
ASKED: dict[str, Any] = {"model": "a", "messages": [{"role": "user", "content": "x" * 400}]}
"""116 tokens of JSON, by four bytes each; with `"stream": true` or false 120."""


async def used(stage: Stage, directory: Path) -> list[tuple[int, int, int, int]]:
    await eventually(lambda: not stage.gateway.requests)
    await stage.gateway.tenancy.usage.write()
    rows = day_of(directory / "usage", day_at(time.time())).rows
    return [(row.requests, row.prompt_tokens, row.completion_tokens, row.estimated) for row in rows]


async def read(stage: Stage, path: str, asked: dict[str, Any]) -> bytes:
    async with stage.session.post(path, json=asked, headers=HEADERS) as answer:
        return await answer.read()


async def leave(stage: Stage, path: str, asked: dict[str, Any], *, after_s: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(after_s):
            await read(stage, path, asked)


@pytest.mark.parametrize(
    ("path", "more", "prompt"),
    [
        (CHAT, {}, 116),
        (CHAT, {"stream": True}, 120),
        ("/v1/messages", {}, 116),
        ("/api/chat", {"stream": False}, 120),
        ("/api/chat", {}, 116),
    ],
)
async def test_a_prompt_counts_whose_client_left_before_the_answer(
    tmp_path: Path, path: str, more: dict[str, Any], prompt: int
) -> None:
    async with keyed(tmp_path, KEYS, FakeEngine(name="a", failure="hang")) as stage:
        await leave(stage, path, {**ASKED, **more}, after_s=0.3)
        assert await used(stage, tmp_path) == [(1, prompt, 0, 1)]


async def test_an_answer_that_is_gathered_counts_as_far_as_it_came(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang_mid_stream", tokens=9)
    async with keyed(tmp_path, KEYS, engine) as stage:
        await leave(stage, "/api/chat", {**ASKED, "stream": False}, after_s=0.5)
        assert await used(stage, tmp_path) == [(1, 120, 2, 1)]


@pytest.mark.parametrize("path", ["/tokenize", "/v1/responses/resp_a/cancel"])
async def test_what_costs_an_engine_nothing_is_not_estimated(tmp_path: Path, path: str) -> None:
    async with keyed(tmp_path, KEYS, FakeEngine(name="a", failure="hang")) as stage:
        stage.gateway.responses.note(b'{"id":"resp_a"}', "a", "alice")
        await leave(stage, path, ASKED, after_s=0.3)
        assert await used(stage, tmp_path) == [(1, 0, 0, 0)]


async def test_who_waited_in_vain_used_nothing(tmp_path: Path) -> None:
    models = [{"name": "a", "socket": str(tmp_path / "a.sock"), "concurrency": 1}]
    timeouts = {"ping_s": 0.1, "queue_s": 0.3}
    engine = FakeEngine(name="a", failure="hang")
    async with keyed(tmp_path, KEYS, engine, models=models, timeouts=timeouts) as stage:
        await eventually(lambda: bool(stage.gateway.fleet.ready_models()))
        first = asyncio.create_task(leave(stage, "/tokenize", {"model": "a"}, after_s=3))
        holder = asyncio.create_task(leave(stage, CHAT, {"model": "a"}, after_s=3))
        await eventually(lambda: stage.stats().running == 1)
        assert b"queue_timeout" in await read(stage, CHAT, {**ASKED, "stream": True})
        await leave(stage, CHAT, {**ASKED, "stream": True}, after_s=0.2)
        usage = stage.gateway.tenancy.usage
        await eventually(lambda: len(stage.gateway.requests) == 2)
        assert usage.tokens_today("alice") == 0
        for task in (first, holder):
            task.cancel()


async def test_who_is_refused_by_the_engine_after_a_ping_used_nothing(tmp_path: Path) -> None:
    models = [{"name": "a", "socket": str(tmp_path / "a.sock"), "concurrency": 1}]
    engine = FakeEngine(name="a", first_token_delay_s=0.3)
    async with keyed(tmp_path, KEYS, engine, models=models, timeouts={"ping_s": 0.1}) as stage:
        await eventually(lambda: bool(stage.gateway.fleet.ready_models()))
        holder = asyncio.create_task(read(stage, CHAT, {"model": "a"}))
        await eventually(lambda: stage.stats().running == 1)
        assert b"engine_refused" in await read(stage, CHAT, {**ASKED, "stream": True, "temperature": 9})
        await holder
        assert await used(stage, tmp_path) == [(2, 1, 3, 0)]


@pytest.mark.parametrize("failure", ["none", "die_between_events"])
async def test_a_stream_counts_the_same_with_a_ping_before_it(tmp_path: Path, failure: str) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.3, failure=failure)
    events = 4 if failure == "none" else 2
    async with keyed(tmp_path, KEYS, engine, timeouts={"ping_s": 0.1}) as stage:
        assert (await read(stage, CHAT, {**ASKED, "stream": True})).startswith(b": ping")
        assert await used(stage, tmp_path) == [(1, 120, events, 1)]
        assert stage.stats().streamed_events_total == events + (failure == "none")
