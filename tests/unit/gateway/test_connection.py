"""What never becomes a request: refused in our envelope, told no more than it must, and forgotten."""

import asyncio
import hashlib
import json
import random
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from agent.certificate import load
from gateway import connection
from gateway.config import MIB
from gateway.connection import Connection, Runner
from tests.support.certificates import Authority
from tests.support.fakes.engine import FakeEngine
from tests.unit.gateway.test_body_intake import HEAD, Stalls, refusal
from tests.unit.gateway.test_stage import eventually, raw_exchange, staged

LIVEZ = b"GET /livez HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    ("request_bytes", "status", "code"),
    [
        (LIVEZ + b"Cookie: " + b"sk-secret" * 4000 + b"\r\n\r\n", 431, "headers_too_large"),
        (LIVEZ + b"X: sk-secret\r\n" * 200 + b"\r\n", 431, "headers_too_large"),
        (b"GET /" + b"sk-secret" * 2000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", 414, "url_too_long"),
        (b"sk-secret\r\n\r\n", 400, "invalid_http"),
        (b"GET sk-secret HTTP/1.1\r\nHost: localhost\r\n\r\n", 400, "invalid_http"),
        (b"GET / HTTP/3.9\r\n\r\n", 400, "invalid_http"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, "invalid_http"),
        (b"GET /livez HTTP/1.1\r\n\r\n", 400, "invalid_http"),
        (LIVEZ + b"sk secret: 1\r\n\r\n", 400, "invalid_http"),
        (LIVEZ + b"X: sk-secret\x00\r\n\r\n", 400, "invalid_http"),
        (LIVEZ + b"Host: sk-secret\r\n\r\n", 400, "invalid_http"),
        (LIVEZ + b"Content-Length: sk-secret\r\n\r\n", 400, "invalid_http"),
        (LIVEZ + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400, "invalid_http"),
        (LIVEZ + b"Expect: sk-secret\r\n\r\n", 417, "invalid_http"),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\nsk-secret\r\n".encode(), 400, "invalid_http"),
        (f"{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}sk-secret\r\n".encode(), 400, "invalid_http"),
    ],
)
async def test_what_is_no_request_is_told_in_the_envelope(
    tmp_path: Path, request_bytes: bytes, status: int, code: str
) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        answer = await raw_exchange(stage.port, request_bytes)
        assert answer.startswith(b"HTTP/1.1 ")
        assert b"\r\nContent-Type: application/json\r\n" in answer
        assert b"\r\nX-Request-Id: " in answer
        assert refusal(answer) == (status, code)
        assert b"secret" not in answer
        assert len(stage.gateway.requests) == 0


async def test_a_chunk_that_breaks_within_a_body_ends_the_wait_for_its_rest(tmp_path: Path) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        try:
            writer.write(f"{HEAD}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n".encode())
            await eventually(lambda: stage.gateway.requests.body_bytes == 2)
            writer.write(b"sk-secret\r\n")
            assert refusal(await asyncio.wait_for(reader.read(), 5)) == (400, "invalid_request")
        finally:
            writer.close()


@pytest.mark.parametrize("header", ["Cookie", "X-Any"])
async def test_headers_of_16_kb_are_accepted(tmp_path: Path, header: str) -> None:
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        request = LIVEZ + f"{header}: {'x' * 16384}\r\nConnection: close\r\n\r\n".encode()
        assert (await raw_exchange(stage.port, request)).startswith(b"HTTP/1.1 200 ")


def mangled(chance: random.Random) -> bytes:
    """Return bytes that begin like a conversation, and are damaged in one of many ways."""
    body = json.dumps({"model": chance.choice(["a", "b", 1, None]), "stream": chance.random() < 0.5}).encode()
    plain = f"{HEAD}Content-Length: {len(body)}\r\n\r\n".encode() + body
    at = chance.randrange(1, len(body))
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in (body[:at], body[at:]))
    chunked = f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n"
    get = chance.choice([b"/v1/models", b"/livez", b"/%ff", b"//", b"*", b"http://localhost/stats", b"/a?%00"])
    asked = b"GET " + get + b" HTTP/1.1\r\nHost: localhost\r\n\r\n"
    raw = bytearray(chance.choice([plain, chunked, plain * 3, chunked + plain, asked]))
    for _ in range(chance.choice([0, 1, 1, 3, 20])):
        where = chance.randrange(len(raw) + 1)
        raw[where : where + chance.randrange(2)] = chance.choice(
            [chance.randbytes(3), b"\r\n", b"\0", b":", b"0", b"ffffffff", b"\r\nExpect: 100-continue", b" " * 50]
        )
    return bytes(raw) if chance.random() < 0.8 else chance.randbytes(200)


DOCUMENTED = {200, 400, 404, 405, 408, 411, 413, 414, 415, 417, 421, 431, 501, 505}


@pytest.mark.parametrize("seed", range(2))
async def test_random_bytes_neither_crash_nor_hang_it(
    tmp_path: Path, seed: int, caplog: pytest.LogCaptureFixture
) -> None:
    chance = random.Random(seed)  # noqa: S311 - reproducible is what it must be
    statuses: set[int] = set()

    async def one(port: int) -> None:
        raw, cut = mangled(chance), chance.random() < 0.3
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            at = chance.randrange(len(raw) + 1)
            writer.write(raw[:at])
            await asyncio.sleep(0)
            writer.write(b"" if cut else raw[at:])
            if chance.random() < 0.1:
                writer.write_eof()
            answer = await asyncio.wait_for(reader.read(100_000), chance.choice([0.05, 0.3]))
            if answer:
                statuses.add(int(answer.split()[1]))
                assert answer.startswith(b"HTTP/1."), answer[:100]
        except (ConnectionError, TimeoutError):
            pass
        finally:
            writer.close()

    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        for _ in range(15):
            await asyncio.gather(*(one(stage.port) for _ in range(20)))
        async with stage.chat() as answer:
            assert answer.status == 200
        await eventually(lambda: len(stage.gateway.requests) == 0, within_s=5)
        assert stage.gateway.requests.body_bytes == 0
    assert statuses >= {200, 400}
    assert statuses <= DOCUMENTED
    told = [record.getMessage() for record in caplog.records if record.name in ("gateway", "asyncio")]
    assert not [line for line in told if "request.failed" in line or "data_received" in line or "never" in line]


async def test_chunks_of_a_byte_each_hold_up_nobody(tmp_path: Path) -> None:
    stalls = Stalls()
    async with staged(tmp_path, FakeEngine(name="a")) as stage:
        watching = asyncio.create_task(stalls.watch())
        request = (
            f"{HEAD}Transfer-Encoding: chunked\r\n\r\n".encode() + b"1\r\n \r\n" * 300_000 + b"2\r\n{}\r\n0\r\n\r\n"
        )
        reader, writer = await asyncio.open_connection("127.0.0.1", stage.port)
        for start in range(0, len(request), 65536):
            writer.write(request[start : start + 65536])
            await writer.drain()
        assert (await asyncio.wait_for(reader.readline(), 30)).startswith(b"HTTP/1.1 200 ")
        watching.cancel()
        writer.close()
    assert stalls.longest_s < 0.05


@pytest.mark.parametrize("is_tls", [False, True], ids=["plain", "tls"])
async def test_no_more_than_64_kib_is_parsed_in_one_turn_and_every_byte_arrives_in_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_tls: bool
) -> None:
    """For a client that sends faster than its body is taken, so that reading is paused again and again."""
    pieces: list[int] = []
    chance = random.Random(7)  # noqa: S311 - not for secrets
    chunks = [chance.randbytes(size) for size in chance.choices([1, 100, 5000, 300_000], k=200)]

    async def send() -> AsyncIterator[bytes]:
        for chunk in chunks:
            yield chunk

    async def answer(request: web.Request) -> web.Response:
        digest = hashlib.sha256()
        while piece := await request.content.readany():
            digest.update(piece)
            await asyncio.sleep(0.001)
        return web.Response(text=digest.hexdigest())

    class Watched(Connection):
        def _parse(self, data: bytes) -> None:
            pieces.append(len(data))
            super()._parse(data)

    monkeypatch.setattr(connection, "Connection", Watched)
    authority = Authority(tmp_path)
    pair = authority.pair() if is_tls else None
    app = web.Application()
    app.router.add_post("/", answer)
    runner = Runner(app)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner, "127.0.0.1", 0, ssl_context=load(pair.certificate, pair.key).context if pair else None
        )
        await site.start()
        trust = ssl.create_default_context(cafile=str(authority.file))
        address = f"{'https' if is_tls else 'http'}://127.0.0.1:{runner.addresses[0][1]}/"
        async with aiohttp.ClientSession() as session, session.post(address, data=send(), ssl=trust) as got:
            assert await got.text() == hashlib.sha256(b"".join(chunks)).hexdigest()
    finally:
        await runner.cleanup()
    assert sum(pieces) > 10 * MIB
    assert max(pieces) <= 65536
