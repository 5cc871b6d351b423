"""A busy engine: so many requests at once, the others in line, and refusals that say when to come back."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import openai
import pytest
from multidict import CIMultiDict

from gateway.config_file import parse_config
from gateway.headers import stated_timeout_s
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import Stage, config_json, eventually, gateway_on_stage


def limited(directory: Path, *, concurrency: int = 2, stall_s: float = 60.0, **more: Any) -> bytes:
    """A gateway.json whose engine works on so many requests at once."""
    socket = str(directory / "a.sock")
    model = {"name": "a", "socket": socket, "concurrency": concurrency, "stall_s": stall_s}
    return config_json(directory, "a", **{"models": [model], **more})


@contextlib.asynccontextmanager
async def busy(directory: Path, engine: FakeEngine, **config: Any) -> AsyncIterator[Stage]:
    async with running(engine, directory / "a.sock"), gateway_on_stage(limited(directory, **config)) as stage:
        await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "ready")
        yield stage


async def status(stage: Stage, **more: Any) -> int:
    async with stage.chat(**more) as answer:
        await answer.read()
        return int(answer.status)


def figures(stage: Stage) -> tuple[int, int]:
    stats = stage.stats()
    return stats.running, stats.waiting


async def test_an_engine_gets_so_many_requests_at_once_and_the_others_wait(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.4)
    async with busy(tmp_path, engine) as stage:
        asking = [asyncio.create_task(status(stage)) for _ in range(7)]
        await eventually(lambda: figures(stage) == (2, 5) and engine.answering == 2)
        shown = (await stage.json("/stats"))["models"]["a"]
        assert (shown["running"], shown["in_flight"]) == (2, shown["waiting"] + 2)
        assert await asyncio.gather(*asking) == [200] * 7
        assert figures(stage) == (0, 0)
        assert (stage.stats().refused_total, stage.stats().held_total) == (0, 0)


async def test_a_full_line_is_429_with_a_retry_after_from_the_last_answers(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with busy(tmp_path, engine, max_held=3) as stage:
        stage.gateway.fleet.upstreams["a"].admission.pace.note(14.0)
        asking = [asyncio.create_task(status(stage)) for _ in range(5)]
        await eventually(lambda: figures(stage) == (2, 3))
        async with stage.chat() as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "21")  # three, two at once, 14 s each
            error = (await answer.json())["error"]
            assert (error["code"], error["type"]) == ("queue_full", "rate_limit_error")
        assert stage.stats().refused_total == 1
        async with stage.session.get("/metrics") as metrics:
            assert 'gateway_refused_total{model="a",reason="queue_full"} 1.0' in await metrics.text()
        for task in asking:
            task.cancel()


async def test_a_turn_that_does_not_come_in_time_is_429(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with busy(tmp_path, engine, concurrency=1, timeouts={"queue_s": 0.2}) as stage:
        first = asyncio.create_task(status(stage))
        await eventually(lambda: figures(stage) == (1, 0))
        began = time.monotonic()
        async with stage.chat() as answer:
            assert (answer.status, answer.headers["Retry-After"]) == (429, "5")
            assert (await answer.json())["error"]["code"] == "queue_timeout"
        assert time.monotonic() - began >= 0.2
        assert figures(stage) == (1, 0)
        first.cancel()


async def test_the_time_in_line_is_not_taken_from_the_engines(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", first_token_delay_s=0.3)
    async with busy(tmp_path, engine, concurrency=1, timeouts={"response_s": 0.8}) as stage:
        assert await asyncio.gather(*(status(stage) for _ in range(4))) == [200] * 4  # the last after 1.2 s


async def test_a_client_that_leaves_the_line_or_the_engine_frees_its_place_at_once(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with busy(tmp_path, engine, concurrency=1) as stage:
        asking = []
        for place in range(3):
            asking.append(asyncio.create_task(status(stage)))
            await eventually(lambda: figures(stage) == (1, place))  # noqa: B023
        asking[1].cancel()
        await eventually(lambda: figures(stage) == (1, 1))
        assert len(engine.received) == 1
        asking[0].cancel()
        await eventually(lambda: len(engine.received) == 2 and figures(stage) == (1, 0))
        asking[2].cancel()
        await eventually(lambda: figures(stage) == (0, 0))


async def test_what_an_engine_answers_without_a_step_waits_for_no_place(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with busy(tmp_path, engine, concurrency=1) as stage:
        asking = [asyncio.create_task(status(stage)) for _ in range(2)]
        await eventually(lambda: figures(stage) == (1, 1))
        engine.failure = "none"
        async with stage.session.post("/tokenize", json={"model": "a", "prompt": "x"}) as answer:
            assert answer.status == 200
        stage.gateway.responses.note(b'{"id":"resp_a"}', "a")
        async with asyncio.timeout(2), stage.session.get("/v1/responses/resp_a") as answer:
            assert answer.status == 200
        async with asyncio.timeout(2), stage.session.post("/v1/responses/resp_a/cancel") as answer:
            assert answer.status == 200
        async with asyncio.timeout(2), stage.session.post("/api/generate", json={"model": "a"}) as answer:
            assert (await answer.json())["done_reason"] == "load"
        for task in asking:
            task.cancel()


async def test_a_reload_changes_the_limit_under_those_who_wait(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with busy(tmp_path, engine, concurrency=1) as stage:
        asking = [asyncio.create_task(status(stage)) for _ in range(4)]
        await eventually(lambda: figures(stage) == (1, 3))
        await stage.gateway.fleet.adopt(parse_config(limited(tmp_path, concurrency=3), where="gateway.json"))
        await eventually(lambda: figures(stage) == (3, 1) and engine.answering == 3)
        for task in asking:
            task.cancel()


async def test_who_waits_moves_with_the_model_to_another_socket(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    old, new = FakeEngine(name="a", failure="hang"), FakeEngine(name="a")
    async with busy(tmp_path, old, concurrency=1) as stage, running(new, tmp_path / "new" / "a.sock"):
        asking = [asyncio.create_task(status(stage)) for _ in range(3)]
        await eventually(lambda: figures(stage) == (1, 2))
        moved = limited(tmp_path / "new", concurrency=2)
        await stage.gateway.fleet.adopt(parse_config(moved, where="gateway.json"))
        done, _ = await asyncio.wait(asking, timeout=2, return_when=asyncio.ALL_COMPLETED)
        assert [task.result() for task in done] == [200, 200]
        assert (len(old.received), len(new.received)) == (1, 2)
        for task in asking:
            task.cancel()


@pytest.mark.parametrize(
    ("headers", "is_streamed", "seconds"),
    [
        ({}, False, None),
        ({"X-Request-Timeout": "7.5"}, False, 7.5),
        ({"X-Request-Timeout": "7.5"}, True, 7.5),
        ({"x-stainless-read-timeout": "600"}, False, 600.0),  # openai for Python
        ({"X-Stainless-Timeout": "20"}, False, 20.0),  # openai for JavaScript
        ({"X-Stainless-Timeout": "20"}, True, None),  # a stream is not silent
        ({"X-Stainless-Timeout": "20", "X-Request-Timeout": "9"}, False, 9.0),
        *(({"X-Request-Timeout": text}, False, None) for text in ("", "x", "-1", "0", "nan", "inf", "1e999")),
    ],
)
def test_what_a_client_says_of_its_patience_is_read(
    headers: dict[str, str], is_streamed: bool, seconds: float | None
) -> None:
    assert stated_timeout_s(CIMultiDict(headers), is_streamed=is_streamed) == seconds


async def test_an_answer_that_would_come_too_late_is_refused_at_once(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="hang")
    async with busy(tmp_path, engine, concurrency=1) as stage:
        pace = stage.gateway.fleet.upstreams["a"].admission.pace
        for _ in range(7):
            pace.note(10.0)
        asking = [asyncio.create_task(status(stage)) for _ in range(2)]
        await eventually(lambda: figures(stage) == (1, 1))
        with pytest.raises(TimeoutError):  # too little is known to refuse it
            async with (
                asyncio.timeout(0.2),
                stage.session.post("/v1/completions", json={"model": "a"}, headers={"X-Request-Timeout": "25"}),
            ):
                pass
        await eventually(lambda: figures(stage) == (1, 1))
        pace.note(10.0)
        async with stage.openai() as client:
            with pytest.raises(openai.RateLimitError, match="an answer takes 30 s or longer") as caught:
                await client.chat.completions.create(model="a", messages=[], timeout=25)
        assert (caught.value.code, caught.value.response.headers["Retry-After"]) == ("timeout_too_short", "10")
        patient = asyncio.create_task(stage.openai().chat.completions.create(model="a", messages=[], timeout=31))
        await eventually(lambda: figures(stage) == (1, 2))
        for task in (*asking, patient):
            task.cancel()


async def test_a_free_place_is_given_whatever_the_timeout(tmp_path: Path) -> None:
    async with busy(tmp_path, FakeEngine(name="a"), concurrency=1) as stage:
        for _ in range(8):
            stage.gateway.fleet.upstreams["a"].admission.pace.note(100.0)
        headers = {"X-Request-Timeout": "5"}
        async with stage.session.post("/v1/completions", json={"model": "a"}, headers=headers) as answer:
            assert answer.status == 200


async def test_what_an_engine_did_not_compute_says_nothing_of_its_pace(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", failure="error_first")
    async with busy(tmp_path, engine, concurrency=1) as stage:
        assert [await status(stage, stream=True), await status(stage, temperature=9)] == [400, 400]
        async with stage.session.post("/api/chat", json={"model": "a"}) as answer:
            assert answer.status == 200
        pace = stage.gateway.fleet.upstreams["a"].admission.pace
        assert pace.wait_s(1, 1) is None
        engine.failure = "none"
        assert await status(stage, stream=True) == 200
        assert pace.wait_s(1, 1) is not None
