"""A real gateway, engines on sockets and a starter that plays their processes: what clients see of models on demand."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agent.running import StarterAnswer, StarterOrder
from gateway import loader
from gateway.config_file import ConfigError, parse_config
from gateway.keys import Keys
from gateway.server import reload
from gateway.tenancy import Tenancy
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_stage import CHAT, Stage, config_json, eventually, gateway_on_stage


class Starter:
    """Starts and ends fake engines, over the real socket."""

    def __init__(self, directory: Path, *engines: FakeEngine) -> None:
        self.directory, self.engines = directory, {each.name: each for each in engines}
        self.words = dict.fromkeys(self.engines, "STOPPED")
        self.load_s = 0.1
        self.fails: set[str] = set()
        self.calls: list[tuple[str, str]] = []
        self._stacks: dict[str, contextlib.AsyncExitStack] = {}
        self._work: set[asyncio.Task[None]] = set()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        order = StarterOrder.from_json(await reader.readline())
        if order.do != "look":
            self.calls.append((order.do, order.name))
            work = asyncio.create_task(self.start(order.name) if order.do == "start" else self.stop(order.name))
            self._work.add(work)
            await asyncio.sleep(0)
        writer.write(StarterAnswer(dict(self.words)).to_json().encode() + b"\n")
        writer.close()

    async def start(self, name: str) -> None:
        self.words[name] = "STARTING"
        await asyncio.sleep(self.load_s)
        if name in self.fails:
            self.words[name] = "FATAL"
            return
        self._stacks[name] = contextlib.AsyncExitStack()
        await self._stacks[name].enter_async_context(running(self.engines[name], self.directory / f"{name}.sock"))
        self.words[name] = "RUNNING"

    async def stop(self, name: str) -> None:
        self.words[name] = "STOPPING"
        await self._stacks.pop(name).aclose()
        self.words[name] = "STOPPED"

    async def end(self) -> None:
        for work in self._work:
            work.cancel()
        for stack in self._stacks.values():
            await stack.aclose()


def config(directory: Path, *names: str, always: tuple[str, ...] = (), **more: Any) -> bytes:
    document = json.loads(config_json(directory, *names, *always, **more))
    for model in document["models"]:
        if model["name"] in names:
            model["on_demand"] = {"memory_bytes": 6, "idle_stop_s": 3600.0}
    return json.dumps({**document, "memory": {"budget_bytes": 10, "starter": str(directory / "starter")}}).encode()


@contextlib.asynccontextmanager
async def on_demand(directory: Path, *engines: FakeEngine, **more: Any) -> AsyncIterator[tuple[Stage, Starter]]:
    """A gateway whose engines are all on demand, with memory for one of them."""
    starter = Starter(directory, *engines)
    server = await asyncio.start_unix_server(starter.answer, str(directory / "starter"))
    names = tuple(each.name for each in engines)
    try:
        async with gateway_on_stage(config(directory, *names, **more)) as stage:
            yield stage, starter
    finally:
        server.close()
        await starter.end()


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TICK_S", "BRISK_S"):
        monkeypatch.setattr(loader, name, 0.02)


async def status(stage: Stage, model: str, **more: Any) -> int:
    async with stage.chat(model, **more) as answer:
        await answer.read()
        return int(answer.status)


async def test_a_model_that_sleeps_is_served_and_ready_to_whoever_looks(tmp_path: Path) -> None:
    async with on_demand(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as (stage, starter):
        await eventually(lambda: stage.stats().state == "stopped")
        async with stage.session.get("/readyz") as answer:
            assert answer.status == 200
        health = await stage.json("/health")
        assert (health["status"], health["models"]) == ("healthy", {"a": "stopped", "b": "stopped"})
        assert (await stage.json("/stats"))["on_demand"] == {"loaded_bytes": 0, "budget_bytes": 10}
        async with stage.session.get("/metrics") as answer:
            page = await answer.text()
        assert 'gateway_upstream_state{model="a",state="stopped"} 1.0' in page
        assert 'gateway_upstream_state{model="a",state="loading"} 0.0' in page
        assert starter.calls == []


async def test_the_first_request_starts_a_model_and_another_one_takes_its_memory(tmp_path: Path) -> None:
    async with on_demand(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as (stage, starter):
        assert await status(stage, "a") == 200
        assert await status(stage, "a") == 200
        assert await status(stage, "b") == 200
        assert starter.calls == [("start", "a"), ("stop", "a"), ("start", "b")]
        assert await stage.json("/running") == {
            "running": [{"model": "b", "state": "ready", "ttl": 3600, "on_demand": True}]
        }
        async with stage.session.get("/metrics") as answer:
            page = await answer.text()
        assert 'gateway_on_demand_total{do="stop",model="a",why="room"} 1.0' in page
        assert 'gateway_on_demand_memory_bytes{of="loaded"} 6.0' in page


async def test_a_stream_that_waits_for_a_load_gets_pings(tmp_path: Path) -> None:
    async with on_demand(tmp_path, FakeEngine(name="a"), timeouts={"ping_s": 0.1}) as (stage, starter):
        starter.load_s = 0.6
        async with stage.chat("a", stream=True) as answer:
            assert answer.status == 200
            said = await answer.text()
        assert said.startswith(": ping\n\n: ping\n\n")
        assert said.endswith("data: [DONE]\n\n")


async def test_a_busy_model_is_not_stopped_and_what_it_has_is_answered_first(tmp_path: Path) -> None:
    slow = FakeEngine(name="a", tokens=8, token_delay_s=0.1)
    async with on_demand(tmp_path, slow, FakeEngine(name="b")) as (stage, starter):
        assert await status(stage, "a", max_tokens=1, stream=True) == 200
        streams = [asyncio.create_task(status(stage, "a", stream=True)) for _ in range(3)]
        await eventually(lambda: stage.stats().running == 3)
        other = asyncio.create_task(status(stage, "b"))
        await asyncio.sleep(0.3)
        assert ("stop", "a") not in starter.calls
        late = asyncio.create_task(status(stage, "a"))  # a batch of its own: it waits until b was served
        assert await asyncio.gather(*streams, other, late) == [200] * 5
        assert slow.received[0].cancelled_at is None
        assert starter.calls == [
            ("start", "a"), ("stop", "a"), ("start", "b"), ("stop", "b"), ("start", "a"),
        ]  # fmt: skip


async def test_who_waits_in_vain_gets_503_with_retry_after_and_the_load_goes_on(tmp_path: Path) -> None:
    limits = {"load_s": 5.0}
    async with on_demand(tmp_path, FakeEngine(name="a"), timeouts=limits) as (stage, starter):
        await eventually(lambda: stage.stats().state == "stopped")
        starter.load_s = 0.8
        stage.gateway.fleet.config.timeouts.__dict__["load_s"] = 0.3
        asked = asyncio.create_task(stage.session.post(CHAT, json={"model": "a", "messages": []}))
        await eventually(lambda: bool(starter.calls))
        stage.gateway.fleet.config.timeouts.__dict__["load_s"] = 5.0
        answer = await asked
        error = (await answer.json())["error"]
        assert (answer.status, error["code"], answer.headers["Retry-After"]) == (503, "model_not_loaded", "30")
        assert await status(stage, "a") == 200
        assert starter.calls == [("start", "a")]


async def test_a_start_that_fails_is_told_at_once_to_all_who_wait(tmp_path: Path) -> None:
    async with on_demand(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as (stage, starter):
        starter.fails = {"a"}
        async with stage.chat("a") as answer:
            error = (await answer.json())["error"]
            assert (answer.status, error["code"]) == (503, "model_start_failed")
            assert int(answer.headers["Retry-After"]) == 30
        assert await status(stage, "b") == 200
        async with stage.session.get("/readyz") as ready:
            assert ready.status == 200


async def test_models_are_unloaded_by_who_may_use_them_and_only_idle_ones(tmp_path: Path) -> None:
    slow = FakeEngine(name="a", tokens=5, token_delay_s=0.1)
    async with on_demand(tmp_path, slow, always=("c",)) as (stage, _):
        assert await status(stage, "a", stream=True, max_tokens=1) == 200
        stream = asyncio.create_task(status(stage, "a", stream=True))
        await eventually(lambda: stage.stats().running == 1)
        async with stage.session.post("/api/models/unload/a") as answer:
            assert (answer.status, "is busy or loading" in (await answer.json())["error"]) == (409, True)
        async with stage.session.post("/unload") as answer:
            assert await answer.json() == {"unloaded": []}
        assert await stream == 200
        async with stage.session.post("/api/models/unload/c") as answer:
            assert (answer.status, "always runs" in (await answer.json())["error"]) == (409, True)
        async with stage.session.post("/api/models/unload/none") as answer:
            assert answer.status == 404
        async with stage.session.get("/unload") as answer:
            assert answer.status == 405
        async with stage.session.post("/unload", headers={"Origin": "http://evil.example"}) as answer:
            assert answer.status == 403
        (tmp_path / "keys").write_text("sk-alice-0123456789ab models=c\nsk-bob-0123456789abcd models=a\n")
        stage.gateway.tenancy = Tenancy(Keys(tmp_path / "keys"))
        for path in ("/unload", "/api/models/unload/a"):
            async with stage.session.post(path) as answer:
                assert answer.status == 401
        alice, bob = ({"Authorization": f"Bearer {key}"} for key in ("sk-alice-0123456789ab", "sk-bob-0123456789abcd"))
        async with stage.session.post("/api/models/unload/a", headers=alice) as answer:
            assert answer.status == 403
        async with stage.session.post("/unload", headers=alice) as answer:
            assert await answer.json() == {"unloaded": []}
        async with stage.session.get("/running", headers=alice) as answer:
            assert [one["model"] for one in (await answer.json())["running"]] == ["c"]
        async with stage.session.post("/api/models/unload/a", headers=bob) as answer:
            assert await answer.json() == {"unloaded": ["a"]}
        await eventually(lambda: stage.stats().state == "stopped")


async def test_an_engine_that_somebody_else_asks_is_not_stopped_for_being_idle(tmp_path: Path) -> None:
    """While one gateway takes over from another, each knows its own requests only."""
    busy = FakeEngine(name="a", server_load=1)
    async with on_demand(tmp_path, busy, FakeEngine(name="b")) as (stage, starter):
        assert await status(stage, "a") == 200
        other = asyncio.create_task(status(stage, "b"))
        await asyncio.sleep(0.3)
        assert starter.calls == [("start", "a")]
        busy.server_load = None
        assert await other == 200


async def test_the_next_gateway_takes_over_what_runs(tmp_path: Path) -> None:
    async with on_demand(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as (stage, starter):
        assert await status(stage, "a") == 200
        async with gateway_on_stage(config(tmp_path, "a", "b")) as successor:
            assert await status(successor, "a") == 200
            assert starter.calls == [("start", "a")]
            assert await status(successor, "b") == 200
        assert starter.calls == [("start", "a"), ("stop", "a"), ("start", "b")]


async def test_a_reload_while_a_model_loads_loses_nobody(tmp_path: Path) -> None:
    async with on_demand(tmp_path, FakeEngine(name="a"), FakeEngine(name="b")) as (stage, starter):
        starter.load_s = 0.5
        waiting = [asyncio.create_task(status(stage, name)) for name in ("a", "b", "a")]
        await eventually(lambda: bool(starter.calls))
        for held in (10, 20, 30):
            (tmp_path / "gateway.json").write_bytes(config(tmp_path, "a", "b", max_held=held))
            await reload(stage.gateway.fleet, tmp_path / "gateway.json")
            await asyncio.sleep(0.05)
        assert await asyncio.gather(*waiting) == [200, 200, 200]
        assert starter.calls == [("start", "a"), ("stop", "a"), ("start", "b")]


async def test_without_a_starter_what_runs_is_served_and_the_rest_is_refused_in_time(tmp_path: Path) -> None:
    """As with a Procfile, whose runner starts every engine at once and none later."""
    async with (
        running(FakeEngine(name="a"), tmp_path / "a.sock"),
        gateway_on_stage(config(tmp_path, "a", "b", timeouts={"load_s": 0.3})) as stage,
    ):
        assert await status(stage, "a") == 200
        async with stage.chat("b") as answer:
            assert (answer.status, (await answer.json())["error"]["code"]) == (503, "model_not_loaded")


def test_a_model_larger_than_the_memory_is_refused(tmp_path: Path) -> None:
    document = json.loads(config(tmp_path, "a", "b"))
    document["models"][1]["on_demand"]["memory_bytes"] = 11
    with pytest.raises(ConfigError) as refused:
        parse_config(json.dumps(document).encode(), where="gateway.json")
    assert refused.value.problems == (
        "gateway.json: b: on demand, and larger than memory.budget_bytes 10, got 11. Lower it, or raise that.",
    )
    del document["memory"]
    with pytest.raises(ConfigError, match="memory: missing, and a, b is on demand"):
        parse_config(json.dumps(document).encode(), where="gateway.json")
