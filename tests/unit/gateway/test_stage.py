"""The stage on which the gateway is tested: the real application on a TCP port, fake engines on Unix sockets."""

import asyncio
import contextlib
import json
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import openai
from aiohttp import web

from agent.running import ModelStats
from gateway.app import Gateway
from gateway.config_file import parse_config
from gateway.fleet import Fleet
from gateway.server import runner_of
from tests.support.fakes.engine import FakeEngine, running

CHAT = "/v1/chat/completions"
ROOT = Path(__file__).parents[3]
FAST = {"probe_interval_s": 0.02, "probe_s": 0.5}


@dataclass
class Stage:
    """A running gateway, and a client that talks to it."""

    gateway: Gateway
    port: int
    session: aiohttp.ClientSession

    def openai(self) -> openai.AsyncOpenAI:
        """Return the client that users have."""
        return openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{self.port}/v1", api_key="EMPTY", max_retries=0)

    def chat(self, model: str | None = "a", **more: Any) -> Any:
        """Post a chat request."""
        return self.session.post(CHAT, json={"model": model, "messages": [], **more})

    def stats(self, model: str = "a") -> ModelStats:
        """Return what /stats would show of a model now."""
        return self.gateway.metrics.stats(self.gateway.fleet.upstreams[model], self.gateway.requests)

    async def json(self, path: str) -> Any:
        """Return the JSON at a path, whatever the status."""
        async with self.session.get(path) as answer:
            return await answer.json()


def config_json(directory: Path, *names: str, aliases: dict[str, list[str]] | None = None, **more: Any) -> bytes:
    """Return a gateway.json that serves the names on sockets in a directory."""
    models = [
        {"name": name, "aliases": (aliases or {}).get(name, []), "socket": str(directory / f"{name}.sock")}
        for name in names
    ]
    timeouts = {**FAST, **more.pop("timeouts", {})}
    config = {"listen": [{"port": 0}], "default_model": names[0], "models": models, "timeouts": timeouts, **more}
    return json.dumps(config).encode()


@contextlib.asynccontextmanager
async def gateway_on_stage(config: bytes) -> AsyncIterator[Stage]:
    """Run the gateway alone."""
    gateway = Gateway(Fleet(parse_config(config, where="gateway.json")))
    runner = runner_of(gateway)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}", auto_decompress=False) as session:
            yield Stage(gateway, port, session)
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def staged(directory: Path, *engines: FakeEngine, **config: Any) -> AsyncIterator[Stage]:
    """Run engines and a gateway in front of them."""
    async with contextlib.AsyncExitStack() as stack:
        for engine in engines:
            await stack.enter_async_context(running(engine, directory / f"{engine.name}.sock"))
        names = [engine.name for engine in engines]
        yield await stack.enter_async_context(gateway_on_stage(config_json(directory, *names, **config)))


async def eventually(condition: Callable[[], bool], *, within_s: float = 2.0) -> float:
    """Wait for a condition and return how long that took; fail when it does not come true."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < within_s, "the condition did not come true in time"
        await asyncio.sleep(0.002)
    return time.monotonic() - started


async def raw_exchange(port: int, request: bytes) -> bytes:
    """Send bytes, return every byte that comes back until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await asyncio.wait_for(reader.read(), 5)
    finally:
        writer.close()


async def test_an_engine_process_is_found_killed_and_found_again(tmp_path: Path) -> None:
    command = (sys.executable, "-m", "tests.support.fakes.engine", "--uds", str(tmp_path / "a.sock"), "--name", "a")
    slow = ("--tokens", "1000", "--token-delay-s", "0.01")
    async with gateway_on_stage(config_json(tmp_path, "a")) as stage:
        upstream = stage.gateway.fleet.upstreams["a"]
        for _ in range(2):
            engine = await asyncio.create_subprocess_exec(*command, *slow, cwd=ROOT)
            try:
                await eventually(lambda: upstream.state == "ready", within_s=10)
                async with stage.chat(stream=True) as answer:
                    await answer.content.readuntil(b"tok")
                    engine.kill()
                    assert (await answer.read()).endswith(b'"code": "upstream_error"}}\n\n')
                await eventually(lambda: upstream.state == "unreachable")
            finally:
                if engine.returncode is None:
                    await engine.wait()


async def test_a_chat_goes_to_the_engine_of_its_model_and_comes_back(tmp_path: Path) -> None:
    first, second = FakeEngine(name="a", token="x"), FakeEngine(name="b", token="y")
    async with staged(tmp_path, first, second) as stage, stage.chat("b") as answer:
        assert answer.status == 200
        assert answer.headers["X-Served-Model"] == "b"
        assert (await answer.json())["choices"][0]["message"]["content"] == "yyy"
        assert not first.received


async def test_the_openai_client_chats_and_streams(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a", token="hi ")) as stage, stage.openai() as client:
        whole = await client.chat.completions.create(model="a", messages=[{"role": "user", "content": "?"}])
        assert whole.choices[0].message.content == "hi hi hi "
        stream = await client.completions.create(model="a", prompt="?", stream=True)
        assert [chunk.choices[0].text async for chunk in stream] == ["hi ", "hi ", "hi "]
