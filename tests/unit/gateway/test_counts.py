"""What /stats and /metrics both show is the same number, and the number of what happened."""

import asyncio
import json
import re
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent.running import GatewayStats
from agent.stop_marker import announce
from gateway import metrics
from gateway.keys import Keys
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import CHAT, Stage, config_json, eventually, gateway_on_stage

BOTH = {
    "in_flight": "gateway_in_flight",
    "requests_total": "gateway_requests_total",
    "cancelled_total": "gateway_cancelled_total",
    "interrupted_total": "gateway_stream_interrupted_total",
    "running": "gateway_running",
    "waiting": "gateway_waiting",
    "refused_total": "gateway_refused_total",
    "held_total": "gateway_held_total",
}
"""What each number of /stats is called in /metrics. The others are not there."""
SAMPLE = re.compile(r'(\w+)\{.*?model="(\w+)".*\} (\S+)')
KEY = {"Authorization": "Bearer k"}


async def shown_by(stage: Stage) -> tuple[GatewayStats, Mapping[tuple[str, str], float]]:
    """What both say, without a turn between them; of /metrics, the sum over all labels but the model."""
    async with stage.session.get("/stats", headers=KEY) as answer:
        stats = GatewayStats.from_json(await answer.text())
    async with stage.session.get("/metrics", headers=KEY) as answer:
        text = await answer.text()
    sums: dict[tuple[str, str], float] = defaultdict(float)
    for name, model, value in SAMPLE.findall(text):
        sums[name, model] += float(value)
    return stats, sums


async def assert_equal(stage: Stage) -> GatewayStats:
    stats, sums = await shown_by(stage)
    told = {(model, key): getattr(stats.models[model], key) for model in stats.models for key in BOTH}
    assert told == {(model, key): sums[name, model] for model in stats.models for key, name in BOTH.items()}
    for model, one in stats.models.items():
        assert sums["gateway_request_seconds_count", model] == one.requests_total
    return stats


async def chat(stage: Stage, model: str, *, key: str = "k", **body: object) -> int:
    headers = {"Authorization": f"Bearer {key}"}
    async with stage.session.post(CHAT, json={"model": model, "messages": [], **body}, headers=headers) as answer:
        await answer.read()
        return answer.status


async def leave_mid_stream(stage: Stage) -> None:
    raw = json.dumps({"model": "a", "messages": [], "stream": True}).encode()
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    head = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer k\r\nContent-Length: {len(raw)}\r\n\r\n"
    writer.write(head.encode() + raw)
    await reader.readuntil(b"data: ")
    writer.close()


async def mixed_load(stage: Stage, engine: FakeEngine, directory: Path) -> GatewayStats:
    """Everything that a request can come to, and the numbers after it; they are compared on the way, too."""
    assert [await chat(stage, "a") for _ in range(3)] == [200] * 3
    assert await chat(stage, "a", stream=True) == 200
    assert await chat(stage, "a", temperature=9) == 400
    assert await chat(stage, "a", key="none of ours") == 401
    assert await chat(stage, "nobody") == 404
    assert await chat(stage, "b") == 503
    for failure, status in (("die_before_answer", 502), ("die_between_events", 200), ("hang", 504)):
        engine.failure = failure
        assert await chat(stage, "a", stream=True) == status
    engine.failure, engine.tokens, engine.token_delay_s = "none", 1000, 0.02
    await leave_mid_stream(stage)
    await eventually(lambda: stage.stats().cancelled_total == 1)
    running_on = [asyncio.create_task(chat(stage, "a", stream=True)) for _ in range(2)]
    await eventually(lambda: stage.stats().in_flight == 2)
    assert (await assert_equal(stage)).models["a"].in_flight == 2
    for task in running_on:
        task.cancel()
    await asyncio.wait(running_on)
    await eventually(lambda: stage.stats().in_flight == 0)
    announce(directory / "a.sock")
    await eventually(lambda: stage.gateway.fleet.upstreams["a"].state == "draining")
    waiting = asyncio.create_task(chat(stage, "a"))
    await eventually(lambda: stage.stats().held == 1)
    assert (await assert_equal(stage)).models["a"].held == 1
    assert (await assert_equal(stage)).models["a"].waiting == 1
    assert await waiting == 503
    return await assert_equal(stage)


@pytest.fixture
def keys(tmp_path: Path) -> Keys:
    (tmp_path / "keys").write_text("k\n")
    return Keys(tmp_path / "keys")


async def on_stage(tmp_path: Path, keys: Keys) -> GatewayStats:
    engine = FakeEngine(name="a")
    config = config_json(tmp_path, "a", "b", timeouts={"response_s": 0.5, "hold_s": 0.3})
    async with running(engine, tmp_path / "a.sock"), gateway_on_stage(config) as stage:
        stage.gateway.tenancy.keys = keys
        return await mixed_load(stage, engine, tmp_path)


async def test_stats_and_metrics_show_the_same_numbers_after_all_that_can_happen(tmp_path: Path, keys: Keys) -> None:
    models = (await on_stage(tmp_path, keys)).models
    one = models["a"]
    assert (one.requests_total, one.errors_total, one.cancelled_total, one.interrupted_total) == (12, 4, 3, 1)
    assert (one.in_flight, one.held, one.held_total) == (0, 0, 1)
    assert (models["b"].requests_total, models["b"].errors_total) == (1, 1)


async def test_a_count_that_one_of_them_misses_is_noticed(
    tmp_path: Path, keys: Keys, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The comparison can fail."""
    total = metrics.total
    monkeypatch.setattr(metrics, "total", lambda counter, model: total(counter, model) - ("interr" in str(counter)))
    with pytest.raises(AssertionError, match="interrupted_total"):
        await on_stage(tmp_path, keys)
