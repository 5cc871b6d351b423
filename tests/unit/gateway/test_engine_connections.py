"""What an engine says on a connection is the answer to what was asked there, or nobody's: whatever the engine does."""

import asyncio
import contextlib
import gc
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from gateway.engine_connections import (
    READ_AHEAD_BYTES,
    Answer,
    ConnectionClosedError,
    EngineConnections,
    NotConnectedError,
    request_of,
)
from gateway.http_answer import BrokenAnswerError
from tests.support.fakes.raw_engine import STREAM, chunk
from tests.unit.gateway.test_stage import eventually

Serve = Callable[[bytes, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Engine:
    """Reads requests and has a test answer them."""

    def __init__(self, serve: Serve) -> None:
        self._serve = serve
        self.opened = self.ended = 0

    async def connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.opened += 1
        try:
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                body = await reader.readexactly(int(head.partition(b"Content-Length: ")[2].split()[0]))
                await self._serve(body, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.ended += 1
            writer.close()


@contextlib.asynccontextmanager
async def engine_of(directory: Path, serve: Serve) -> AsyncIterator[tuple[Engine, EngineConnections]]:
    engine = Engine(serve)
    server = await asyncio.start_unix_server(engine.connected, directory / "e.sock", limit=1 << 20)
    connections = EngineConnections(str(directory / "e.sock"))
    try:
        yield engine, connections
        connections.close()
        await eventually(lambda: engine.ended == engine.opened)
    finally:
        server.close()


async def asked(connections: EngineConnections, body: bytes = b"x", *, is_fresh: bool = False) -> Answer:
    return await connections.ask(request_of("POST", "/", (), body), connect_s=5, is_fresh=is_fresh)


def plain(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


async def echo(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(plain(body))


def test_a_request_is_written_as_http_has_it() -> None:
    assert request_of("POST", "/v1?a=b", [("X-A", "1")], b"{}") == (
        b"POST /v1?a=b HTTP/1.1\r\nHost: engine\r\nX-A: 1\r\nContent-Length: 2\r\n\r\n{}",
    )
    assert request_of("GET", "/", (), is_last=True) == (b"GET / HTTP/1.1\r\nHost: engine\r\nConnection: close\r\n\r\n",)
    assert request_of("POST", "/", (), b"") == (b"POST / HTTP/1.1\r\nHost: engine\r\nContent-Length: 0\r\n\r\n",)
    assert request_of("GET", "/?é\udcff", ()) == (b"GET /?%C3%A9%FF HTTP/1.1\r\nHost: engine\r\n\r\n",)


@pytest.mark.parametrize(
    ("target", "header"),
    [
        ("/ HTTP/1.1\r\nX: y", ("a", "b")),
        ("/ x", ("a", "b")),
        ("/", ("a", "b\r\nc: d")),
        ("/", ("a\n", "b")),
        ("/", ("a", "\0")),
    ],
)
def test_what_would_make_two_requests_of_one_is_refused(target: str, header: tuple[str, str]) -> None:
    with pytest.raises(ValueError, match="break the request"):
        request_of("POST", target, [header])


async def test_a_connection_serves_one_request_after_another(tmp_path: Path) -> None:
    async with engine_of(tmp_path, echo) as (engine, connections):
        for number in range(20):
            assert await (await asked(connections, b"%d" % number)).whole(100) == b"%d" % number
        assert engine.opened == 1
        assert await (await asked(connections, is_fresh=True)).whole(100) == b"x"
        assert engine.opened == 2


@pytest.mark.parametrize(
    "behind",
    [
        plain(b"forged"),
        b"\r\n",
        b"x",
    ],
)
@pytest.mark.parametrize("later", [False, True], ids=["at-once", "later"])
async def test_words_behind_an_answer_are_never_the_next_one(tmp_path: Path, behind: bytes, later: bool) -> None:
    async def say_more(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(body))
        if later:
            await asyncio.sleep(0.01)
        writer.write(behind)

    async with engine_of(tmp_path, say_more) as (engine, connections):
        for number in range(3):
            assert await (await asked(connections, b"%d" % number)).whole(100) == b"%d" % number
            await eventually(lambda: engine.ended == engine.opened)
        assert engine.opened == 3


async def test_an_answer_before_its_request_was_read_is_the_connections_last(tmp_path: Path) -> None:
    """The rest of the request would be read as the beginning of the next one."""

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        await writer.drain()
        await asyncio.sleep(0.2)
        heads.append(len(await reader.read()))
        writer.close()

    heads: list[int] = []
    server = await asyncio.start_unix_server(refuse, tmp_path / "e.sock", limit=1024)
    connections = EngineConnections(str(tmp_path / "e.sock"))
    for _ in range(2):
        answer = await asked(connections, b"x" * 10_000_000)
        assert (answer.status, await answer.read()) == (413, b"")
    await eventually(lambda: len(heads) == 2)
    assert max(heads) < 10_000_000
    server.close()


async def test_a_kept_connection_that_closes_costs_no_request(tmp_path: Path) -> None:
    async def answer_and_close(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(body))
        await reader.read(1)
        writer.close()

    async with engine_of(tmp_path, answer_and_close) as (engine, connections):
        for _ in range(20):
            assert await (await asked(connections)).whole(100) == b"x"
        assert engine.opened == 20


@pytest.mark.parametrize(
    "said", [b"", b"HTTP/1.1 2", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n"]
)
@pytest.mark.parametrize("how", ["close", "half-close", "abort"])
async def test_a_connection_of_its_own_that_ends_early_is_no_answer(tmp_path: Path, said: bytes, how: str) -> None:
    async def leave(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        if how == "half-close":
            writer.write_eof()
            assert await reader.read() == b"", "and it is not waited for"
        elif how == "abort":
            writer.transport.abort()

        writer.close()

    async with engine_of(tmp_path, leave) as (engine, connections):
        with pytest.raises(BrokenAnswerError) as caught:
            answer = await asked(connections)
            assert said.endswith(b"1\r\n\r\n")
            await answer.read()
        if isinstance(caught.value, ConnectionClosedError):
            assert caught.value.has_begun == bool(said)
        assert engine.opened == 1


async def test_what_came_before_an_end_is_read_before_it_is_told(tmp_path: Path) -> None:
    async def break_off(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunk(b"one") + chunk(b"two") + b"5\r\nth")
        writer.close()

    async with engine_of(tmp_path, break_off) as (_, connections):
        answer = await asked(connections)
        await asyncio.sleep(0.05)
        assert await answer.read() == b"onetwoth"
        for _ in range(2):
            with pytest.raises(BrokenAnswerError, match="ended within an answer"):
                await answer.read()


async def test_nobody_listens(tmp_path: Path) -> None:
    connections = EngineConnections(str(tmp_path / "e.sock"))
    with pytest.raises(NotConnectedError, match="No such file"):
        await asked(connections)
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(tmp_path / "e.sock"))
    with pytest.raises(NotConnectedError, match="refused"):
        await asked(connections)


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 200 OK\r\n", STREAM, STREAM + chunk(b"x")])
@pytest.mark.parametrize("body", [b"x", b"x" * 10_000_000], ids=["small", "not-gone-out"])
async def test_the_engine_sees_a_cancellation_within_a_tenth_of_a_second(
    tmp_path: Path, said: bytes, body: bytes
) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(said)
        begun.set()
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 16):
                if len(body) > 1:
                    await left.wait()  # the kernel's buffers are full until the client leaves
        gone.set()
        writer.close()

    begun, left, gone = asyncio.Event(), asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        got = await asked(connections, body)
        try:
            while await got.read():
                pass
        finally:
            got.close()

    server = await asyncio.start_unix_server(answer, tmp_path / "e.sock", limit=1024)
    connections = EngineConnections(str(tmp_path / "e.sock"))
    asking = asyncio.create_task(ask())
    await begun.wait()
    await asyncio.sleep(0.02)
    asking.cancel()
    left.set()
    await asyncio.wait_for(gone.wait(), 0.1)
    server.close()


async def test_an_engine_waits_for_who_does_not_read(tmp_path: Path) -> None:
    async def pour(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM)
        for number in range(1000):
            writer.write(chunk(b"%d" % (number % 10) * 10_000))
            sent.append(number)
            await writer.drain()
        writer.write(b"0\r\n\r\n")

    sent: list[int] = []
    async with engine_of(tmp_path, pour) as (engine, connections):
        answer = await asked(connections)
        await asyncio.sleep(0.1)
        assert answer._size < READ_AHEAD_BYTES + 300_000
        assert len(sent) < 200
        assert await answer.whole(20_000_000) == b"".join(b"%d" % (number % 10) * 10_000 for number in range(1000))
        again = await asked(connections)
        assert await again.read() != b""
        again.close()
        assert engine.opened == 1


async def test_an_answer_that_is_longer_than_wanted_is_given_up(tmp_path: Path) -> None:
    async def long(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(plain(b"x" * 1001))

    async with engine_of(tmp_path, long) as (_, connections):
        with pytest.raises(BrokenAnswerError, match="more than 1000 bytes"):
            await (await asked(connections)).whole(1000)


async def test_idle_connections_are_closed_before_the_engine_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with engine_of(tmp_path, echo) as (engine, connections):
        answers = [await asked(connections, is_fresh=True) for _ in range(3)]
        assert [await each.read() for each in answers] == [b"x"] * 3
        connections.close_idle()
        assert engine.ended == 0
        monkeypatch.setattr("gateway.engine_connections.IDLE_CONNECTION_S", 0.0)
        connections.close_idle()
        await eventually(lambda: engine.ended == 3)


async def test_a_pool_that_closed_lets_its_last_answer_end(tmp_path: Path) -> None:
    async def slow(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM + chunk(b"one"))
        await asyncio.sleep(0.05)
        writer.write(chunk(b"two") + b"0\r\n\r\n")

    async with engine_of(tmp_path, slow) as (engine, connections):
        answer = await asked(connections)
        connections.close()
        assert await answer.whole(100) == b"onetwo"
        await eventually(lambda: engine.ended == 1)


async def test_a_failure_keeps_nothing_of_whoever_asked(tmp_path: Path) -> None:
    async def close(body: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    class Body(bytes):
        alive = 0

        def __del__(self) -> None:
            Body.alive -= 1

    async def fail() -> None:
        body = Body(b"x" * 100)
        Body.alive += 1
        with contextlib.suppress(BrokenAnswerError):
            await asked(connections, body)

    async with engine_of(tmp_path, close) as (_, connections):
        gc.disable()
        try:
            await fail()
            assert Body.alive == 0
        finally:
            gc.enable()
