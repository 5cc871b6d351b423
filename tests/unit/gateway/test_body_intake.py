"""Bodies that are slow, endless, packed or many: refused in time, and before they fill the memory."""

import asyncio
import gzip
import json
import re
import time
import zlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from gateway import body_intake
from tests.support.fakes.engine import FakeEngine, running
from tests.unit.gateway.test_process import Process, gateway_process, write_config
from tests.unit.gateway.test_stage import CHAT, eventually, raw_exchange, staged

HEAD = f"POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MIB = 1024 * 1024


def refusal(answer: bytes) -> tuple[int, str]:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in head
    return int(head.split()[1]), json.loads(body)["error"]["code"]


async def test_a_body_that_stops_coming_is_408(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_intake, "IDLE_S", 0.2)
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        started = time.monotonic()
        answer = await raw_exchange(stage.port, f"{HEAD}Content-Length: 100\r\n\r\n{{".encode())
        assert refusal(answer) == (408, "request_timeout")
        assert 0.2 <= time.monotonic() - started < 4, "and 2 s in which the rest may still come"
        assert (len(stage.gateway.requests), stage.gateway.requests.body_bytes) == (0, 0)


async def test_a_body_that_never_ends_is_408_however_it_trickles(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a"), timeouts={"body_s": 0.5}) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode())
        try:
            async with asyncio.timeout(5):
                while not reader._buffer:  # type: ignore[attr-defined]
                    writer.write(b"1\r\n \r\n")
                    await asyncio.sleep(0.05)
                assert refusal(await reader.read()) == (408, "request_timeout")
        finally:
            writer.close()


async def test_a_slow_body_that_ends_in_time_is_served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_intake, "IDLE_S", 0.4)

    async def slowly() -> AsyncIterator[bytes]:
        for piece in (b'{"mod', b'el":', b'"a"', b"}"):
            yield piece
            await asyncio.sleep(0.2)

    async with (
        staged(tmp_path, FakeEngine(name="a")) as stage,
        stage.session.post(CHAT, data=slowly(), headers={"Content-Type": "application/json"}) as answer,
    ):
        assert answer.status == 200


async def test_what_all_bodies_hold_is_bounded_and_given_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_intake, "BODIES_BYTES", 3000)
    engine = FakeEngine(name="a", failure="hang")
    async with staged(tmp_path, engine, max_body_bytes=2500) as stage:
        requests = stage.gateway.requests
        first = asyncio.create_task(stage.session.post(CHAT, json={"model": "a", "pad": "x" * 2000}))
        await eventually(lambda: len(engine.received) == 1)
        held = requests.body_bytes
        assert held == len(engine.received[0].body)
        async with stage.session.post(CHAT, json={"model": "a", "pad": "x" * 2000}) as declared:
            assert (declared.status, declared.headers["Retry-After"]) == (503, "5")
            assert (await declared.json())["error"]["code"] == "server_busy"
        chunked = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n5dc\r\n{' ' * 1500}\r\n0\r\n\r\n".encode()
        assert refusal(await raw_exchange(stage.port, chunked)) == (503, "server_busy")
        assert requests.body_bytes == held
        first.cancel()
        await eventually(lambda: requests.body_bytes == 0)
        engine.failure = "none"
        async with stage.session.post(CHAT, json={"model": "a", "pad": "x" * 2000}) as after:
            assert after.status == 200
        await eventually(lambda: requests.body_bytes == 0)


def rss_mib(process: Process) -> float:
    status = Path(f"/proc/{process.child.pid}/status").read_text()
    found = re.search(r"VmHWM:\s+(\d+) kB", status)
    assert found
    return int(found[1]) / 1024


async def test_forty_endless_bodies_do_not_fill_the_memory(tmp_path: Path) -> None:
    """They held 1.3 GB for ten minutes. Measured at its highest."""

    async def endless(port: int) -> bytes:
        """Send until an answer comes: one that is read only afterwards may be lost with the connection."""
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        answer = asyncio.create_task(reader.read(100))
        try:
            writer.write(f"{HEAD}Content-Length: {31 * MIB}\r\n\r\n".encode())
            for _ in range(30):
                writer.write(b" " * MIB)
                await writer.drain()
                if answer.done():
                    break
            return await asyncio.wait_for(answer, 2)
        except (TimeoutError, ConnectionError):
            return b"" if not answer.done() or answer.cancelled() or answer.exception() else answer.result()
        finally:
            answer.cancel()
            writer.close()

    engine = FakeEngine(name="a")
    async with running(engine, tmp_path / "a.sock"), gateway_process(write_config(tmp_path, "a")) as (process, session):
        before = rss_mib(process)
        answers = await asyncio.gather(*(endless(process.port) for _ in range(40)))
        assert any(b" 503 " in answer for answer in answers)
        assert rss_mib(process) - before < 320, "256 MiB of bodies, and what 40 connections have read ahead"
        async with session.post(CHAT, json={"model": "a"}) as answer:
            assert answer.status == 200


class Stalls:
    """The longest time for which the event loop did not turn, less what the machine took for others."""

    def __init__(self) -> None:
        self.longest_s = 0.0

    async def watch(self) -> None:
        while True:
            before = time.thread_time()
            await asyncio.sleep(0)
            self.longest_s = max(self.longest_s, time.thread_time() - before)


async def post_watched(stage: Any, raw: bytes, **headers: str) -> tuple[int, float]:
    stalls = Stalls()
    watching = asyncio.create_task(stalls.watch())
    reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
    try:
        more = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in headers.items())
        writer.write(f"{HEAD}{more}Content-Length: {len(raw)}\r\n\r\n".encode())
        for start in range(0, len(raw), 65536):
            writer.write(raw[start : start + 65536])
            await writer.drain()
        status = int((await asyncio.wait_for(reader.readline(), 100)).split()[1])
    finally:
        writer.close()
        watching.cancel()
    return status, stalls.longest_s


@pytest.mark.parametrize(
    ("unit", "before", "after", "status"),
    [
        (b"[],", b'{"model":"b","x":[', b"0]}", 404),
        (b"QUJD", b'{"model":"b","x":"', b'"}', 404),
        (b'"model":"b",', b"{", b'"x":1}', 400),
        (b"[[[[]]]],", b'{"model":"b","x":[', b"0]}", 404),
    ],
)
async def test_the_loop_turns_while_a_large_body_is_read(
    tmp_path: Path, unit: bytes, before: bytes, after: bytes, status: int
) -> None:
    """With a body that nobody parses: the fake engine shares this loop."""
    raw = before + unit * (16 * MIB // len(unit)) + after
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        found, longest_s = await post_watched(stage, raw)
        assert found == status
        assert longest_s < 0.05


@pytest.mark.parametrize("kind", ["a bomb", "members"])
async def test_a_packed_body_counts_as_it_is_unpacked_and_holds_up_nobody(tmp_path: Path, kind: str) -> None:
    packed = {
        "a bomb": lambda: gzip.compress(b" " * (200 * MIB), 9),
        "members": lambda: gzip.compress(b"") * 100_000,
    }[kind]()
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        status, longest_s = await post_watched(stage, packed, Content_Encoding="gzip")
        assert status == {"a bomb": 413, "members": 400}[kind]
        assert longest_s < 0.05


@pytest.mark.parametrize("encoding", ["br", "zstd", "x-gzip", "gzip, gzip", "aes128gcm"])
async def test_an_encoding_that_cannot_be_undone_is_415(tmp_path: Path, encoding: str) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        answer = await raw_exchange(
            stage.port, f"{HEAD}Content-Encoding: {encoding}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        )
        assert refusal(answer) == (415, "unsupported_encoding")
        assert b"\r\nAccept-Encoding: gzip, deflate\r\n" in answer


@pytest.mark.parametrize(
    "packed",
    [b"{}", gzip.compress(b'{"model":"a"}', mtime=0)[:-9], zlib.compress(b"{}")],
    ids=["plain", "cut", "another"],
)
async def test_a_body_that_is_not_what_its_encoding_says_is_400(tmp_path: Path, packed: bytes) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        head = f"{HEAD}Content-Encoding: gzip\r\nContent-Length: {len(packed)}\r\n\r\n".encode()
        assert refusal(await raw_exchange(stage.port, head + packed)) == (400, "invalid_request")
