"""TLS as clients on other machines meet it, and the host's own address without it: a real process, real handshakes."""

import asyncio
import contextlib
import json
import re
import shutil
import signal
import ssl
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import httpx
import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.certificates import Authority, Pair
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_process import Process, spawn
from tests.unit.gateway.test_sse import strict_events
from tests.unit.gateway.test_stage import CHAT, config_json, eventually

LISTEN = [{"host": "127.0.0.1", "port": 0}, {"host": "0.0.0.0", "port": 0}]
STREAM = {"model": "a", "messages": [], "stream": True}


@dataclass
class Served:
    """A gateway with an address of each kind."""

    process: Process
    authority: Authority
    shown: Pair
    plain: str
    public: str

    def trusting(self, **bounds: ssl.TLSVersion) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=str(self.authority.file))
        for name, version in bounds.items():
            setattr(context, name, version)
        return context

    def client(self) -> aiohttp.ClientSession:
        """A client that verifies, and keeps its connections."""
        return aiohttp.ClientSession(self.public, connector=aiohttp.TCPConnector(ssl=self.trusting()))

    async def serial_number(self) -> int:
        """The number of the certificate that a new connection is shown."""
        port = int(self.public.rpartition(":")[2])
        _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=self.trusting(), server_hostname="localhost")
        told = writer.get_extra_info("peercert")
        writer.transport.abort()
        return int(told["serialNumber"], 16)

    async def stats(self) -> dict[str, object]:
        async with aiohttp.ClientSession() as session, session.get(f"{self.plain}/stats") as answer:
            tls: dict[str, object] = (await answer.json())["tls"]
            return tls

    def put(self, certificate: Path, key: Path) -> None:
        """Renew the files that the configuration names."""
        shutil.copy(certificate, self.shown.certificate)
        shutil.copy(key, self.shown.key)

    async def reload(self, event: str) -> str:
        self.process.log.clear()
        self.process.child.send_signal(signal.SIGHUP)
        return await self.process.logged(event)


async def ready(address: str) -> None:
    """Wait until the engine was found; on a busy machine that takes longer than a start waits for it."""
    async with asyncio.timeout(30), aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{address}/readyz") as answer:
                if answer.status == 200:
                    return
            await asyncio.sleep(0.05)


@contextlib.asynccontextmanager
async def served(directory: Path, engine: FakeEngine) -> AsyncIterator[Served]:
    authority = Authority(directory / "tls")
    shown = authority.pair("shown")
    config = directory / "gateway.json"
    tls = {"certificate": str(shown.certificate), "key": str(shown.key)}
    config.write_bytes(config_json(directory, "a", listen=LISTEN, open=True, tls=tls, timeouts={"probe_s": 10}))
    async with running(engine, directory / "a.sock"):
        process = await spawn("--config", str(config))
        try:
            line = await process.logged("gateway.listening")
            match = re.search(r"addresses=127\.0\.0\.1:(\d+),0\.0\.0\.0:(\d+)", line)
            assert match
            plain, public = f"http://127.0.0.1:{match[1]}", f"https://127.0.0.1:{match[2]}"
            await ready(plain)
            yield Served(process, authority, shown, plain, public)
        finally:
            if process.child.returncode is None:
                process.child.kill()
            await process.child.wait()


async def test_other_machines_are_spoken_to_with_tls_and_the_host_without(tmp_path: Path) -> None:
    async with served(tmp_path, FakeEngine(name="a", token="hi ")) as gateway:
        context = gateway.trusting()
        async with (
            httpx.AsyncClient(verify=context) as http,
            openai.AsyncOpenAI(base_url=f"{gateway.public}/v1", api_key="EMPTY", http_client=http) as client,
        ):
            stream = await client.completions.create(model="a", prompt="?", stream=True)
            assert [chunk.choices[0].text async for chunk in stream] == ["hi ", "hi ", "hi "]
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{gateway.plain}/readyz") as answer:
                assert answer.status == 200
            for wrong in (gateway.public.replace("https", "http"), gateway.plain.replace("http", "https")):
                with pytest.raises(aiohttp.ClientError):
                    await session.get(f"{wrong}/readyz", timeout=aiohttp.ClientTimeout(5))
            with pytest.raises(aiohttp.ClientConnectorCertificateError):  # the authority is no one's but ours
                await session.get(f"{gateway.public}/readyz")
        ends_s = gateway.shown.made.not_valid_after_utc.timestamp()
        assert await gateway.stats() == {"ends_s": ends_s, "error": None}
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.plain}/metrics") as answer:
            families = text_string_to_metric_families(await answer.text())
        told = {family.name: family.samples[0].value for family in families if "certificate" in family.name}
        assert told == {"gateway_certificate_expiry_timestamp_seconds": ends_s}


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_clients_of_both_versions_are_answered(tmp_path: Path, version: ssl.TLSVersion) -> None:
    async with served(tmp_path, FakeEngine(name="a")) as gateway:
        context = gateway.trusting(maximum_version=version)
        async with aiohttp.ClientSession() as session, session.get(f"{gateway.public}/livez", ssl=context) as answer:
            assert answer.status == 200


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1:DeprecationWarning")
async def test_older_versions_are_refused(tmp_path: Path) -> None:
    async with served(tmp_path, FakeEngine(name="a")) as gateway:
        old = ssl.TLSVersion.TLSv1_1
        context = gateway.trusting(minimum_version=ssl.TLSVersion.TLSv1, maximum_version=old)
        context.set_ciphers("ALL:@SECLEVEL=0")  # so that it is the server that refuses
        async with aiohttp.ClientSession() as session:
            with pytest.raises(aiohttp.ClientConnectorError):
                await session.get(f"{gateway.public}/livez", ssl=context)


async def test_a_renewed_certificate_is_shown_after_a_reload_and_no_stream_is_cut(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=60, token_delay_s=0.02)
    async with served(tmp_path, engine) as gateway, gateway.client() as client:
        first, renewed = gateway.shown.made.serial_number, gateway.authority.pair("renewed", days=30)
        assert await gateway.serial_number() == first
        async with client.post(CHAT, json=STREAM) as answer:
            connection = answer.connection
            await answer.content.readuntil(b"tok")
            gateway.put(renewed.certificate, renewed.key)
            assert f'ends="{renewed.made.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"' in await gateway.reload(
                "gateway.certificate_shown"
            )
            assert await gateway.serial_number() == renewed.made.serial_number
            assert connection is not None
            assert connection.transport is not None
            assert int(connection.transport.get_extra_info("peercert")["serialNumber"], 16) == first
            assert strict_events(await answer.read())[-1][1] == "[DONE]"
        assert (await gateway.stats())["ends_s"] == renewed.made.not_valid_after_utc.timestamp()


async def test_what_cannot_be_shown_changes_nothing_but_what_stats_say(tmp_path: Path) -> None:
    async with served(tmp_path, FakeEngine(name="a")) as gateway:
        first = gateway.shown.made.serial_number
        other, old = gateway.authority.pair("other"), gateway.authority.pair("old", days=-1)
        for certificate, key, why in (
            (other.certificate, gateway.authority.pair("third").key, "shown.key: not the key of shown.pem. Give"),
            (old.certificate, old.key, "shown.pem: the certificate expired at"),
            (other.key, other.certificate, "shown.pem: no certificate in PEM"),
        ):
            gateway.put(certificate, key)
            assert why.partition(": ")[2].split(" shown")[0] in await gateway.reload("gateway.certificate_refused")
            assert str((await gateway.stats())["error"]).startswith(why)
            assert await gateway.serial_number() == first
        gateway.put(other.certificate, other.key)
        await gateway.reload("gateway.certificate_shown")
        assert (await gateway.stats())["error"] is None
        assert await gateway.serial_number() == other.made.serial_number


async def test_renewals_under_load_lose_no_request(tmp_path: Path) -> None:
    async with served(tmp_path, FakeEngine(name="a")) as gateway:
        context, ends = gateway.trusting(), asyncio.Event()

        async def ask() -> None:
            while not ends.is_set():  # each over a connection of its own
                async with (
                    aiohttp.ClientSession(connector=aiohttp.TCPConnector(ssl=context, force_close=True)) as session,
                    session.post(f"{gateway.public}{CHAT}", json=STREAM) as answer,
                ):
                    assert answer.status == 200
                    assert (await answer.read()).endswith(b"data: [DONE]\n\n")

        asking = [asyncio.create_task(ask()) for _ in range(4)]
        pairs = [gateway.authority.pair(f"renewed-{number}") for number in range(2)]
        for number in range(20):
            pair = pairs[number % 2]
            gateway.put(pair.certificate, pair.key)
            await gateway.reload("gateway.certificate_shown")
            assert await gateway.serial_number() == pair.made.serial_number
        ends.set()
        await asyncio.gather(*asking)


async def test_a_client_that_leaves_over_tls_ends_the_engines_work(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=1000, token_delay_s=0.01)
    async with served(tmp_path, engine) as gateway, gateway.client() as client:
        async with client.post(CHAT, json=STREAM) as answer:
            await answer.content.readuntil(b"tok")
            answer.close()
        assert await eventually(lambda: engine.received[0].cancelled_at is not None) < 0.5


async def test_a_stop_waits_for_streams_over_tls_and_not_for_idle_connections(tmp_path: Path) -> None:
    engine = FakeEngine(name="a", tokens=20, token_delay_s=0.02)
    async with served(tmp_path, engine) as gateway, gateway.client() as client, gateway.client() as idle:
        async with idle.get("/livez") as answer:
            assert answer.status == 200
        async with client.post(CHAT, json=STREAM) as answer:
            await answer.content.readuntil(b"tok")
            gateway.process.child.send_signal(signal.SIGTERM)
            await gateway.process.logged("gateway.draining")
            assert (await answer.read()).endswith(b"data: [DONE]\n\n")
        began = time.monotonic()
        assert await gateway.process.ended() == 0
    assert time.monotonic() - began < 4


async def test_a_start_without_usable_files_ends_with_every_reason(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    one, other = authority.pair("one"), authority.pair("other")
    cases = (
        (tmp_path / "gone.pem", tmp_path / "gone.key", [
            f"{tmp_path}/gone.pem: cannot be read: No such file or directory. Give a file in PEM.",
            f"{tmp_path}/gone.key: cannot be read: No such file or directory. Give a file in PEM.",
        ]),
        (one.certificate, other.key, [
            f"{other.key}: not the key of {one.certificate}. "
            "Give the two that belong together, the server's certificate first.",
        ]),
    )  # fmt: skip
    config = tmp_path / "gateway.json"
    for certificate, key, said in cases:
        tls = {"certificate": str(certificate), "key": str(key)}
        config.write_bytes(config_json(tmp_path, "a", listen=LISTEN, open=True, tls=tls))
        process = await spawn("--config", str(config))
        assert await process.ended() == 1
        assert process.log[0].splitlines() == said


async def test_an_expired_certificate_keeps_nobody_from_the_hosts_own_address(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "tls")
    old = authority.pair("old", days=-1)
    config = tmp_path / "gateway.json"
    tls = {"certificate": str(old.certificate), "key": str(old.key)}
    config.write_bytes(config_json(tmp_path, "a", listen=LISTEN, open=True, tls=tls))
    process = await spawn("--config", str(config))
    try:
        assert "old.pem: the certificate expired at" in await process.logged("gateway.certificate_problem")
        port = (await process.logged("gateway.listening")).partition("127.0.0.1:")[2].partition(",")[0]
        async with aiohttp.ClientSession() as session, session.get(f"http://127.0.0.1:{port}/stats") as answer:
            told = json.loads(await answer.read())["tls"]["error"]
            assert (
                told
                == f"old.pem: the certificate expired at {old.made.not_valid_after_utc:%Y-%m-%d %H:%M} UTC. Renew it."
            )
    finally:
        process.child.kill()
        await process.child.wait()
