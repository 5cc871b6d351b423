"""Connections to one engine over its Unix socket: HTTP/1.1, one request at a time on each, kept for the next ones.

A connection serves again only after an answer that came whole, after a request that went out whole, and with nothing
behind the answer: whatever else an engine says can never be taken for the answer to another request.
"""

import asyncio
import contextlib
import re
from collections import deque
from collections.abc import Iterable, Sequence
from functools import partial
from typing import cast
from urllib.parse import quote

from multidict import CIMultiDict

from gateway.http_answer import AnswerParser, BrokenAnswerError

IDLE_CONNECTION_S = 2.0
"""Below the 5 s after which uvicorn closes an idle connection, so that no request is sent into a closing one."""
READ_AHEAD_BYTES = 128 * 1024
"""Of an answer that its reader has not taken. Then the engine has to wait, as it would for a slow client of its own."""
JOINED_BYTES = 64 * 1024
"""A body up to this size goes out with its head; a larger one is not copied for that."""
HOST = "Host: engine"
"""Which one is meant is decided by the socket."""
_PLAIN = "".join(map(chr, range(33, 127)))
_FORBIDDEN = re.compile(r"[^\t\x20-\x7e]")


class NotConnectedError(Exception):
    """Nobody listens; `reason` is the system's word for it."""

    def __init__(self, reason: OSError) -> None:
        super().__init__(reason.strerror or type(reason).__name__)
        self.reason = reason


class ConnectionClosedError(BrokenAnswerError):
    """The connection ended before an answer's head was whole."""

    def __init__(self, reason: str, *, has_begun: bool) -> None:
        super().__init__(reason)
        self.has_begun = has_begun
        """A part of the answer had come."""


class Answer:
    """One answer on its way from an engine, for one reader. Whoever got it closes it."""

    def __init__(self, connection: "EngineConnection") -> None:
        self._connection = connection
        self._parser = AnswerParser()
        self._pieces: list[bytes] = []
        self._size = 0
        self._has_begun = self._is_held = False
        self._failure: str | None = None
        self._waiter: asyncio.Future[None] | None = None

    @property
    def status(self) -> int:
        """Its status."""
        return self._parser.status

    @property
    def reason(self) -> str:
        """The phrase behind the status."""
        return self._parser.reason

    @property
    def headers(self) -> CIMultiDict[str]:
        """Its headers."""
        return self._parser.headers

    @property
    def content_length(self) -> int | None:
        """The length of its body, where that is known beforehand."""
        length = self.headers.get("Content-Length")
        return None if length is None else int(length)

    async def begin(self) -> None:
        """Wait for the head. Raises BrokenAnswerError."""
        while not self._parser.status:
            # Made where it is raised: an error that is kept here would keep the frames of whoever asked, and his body.
            if self._failure is not None:
                raise ConnectionClosedError(self._failure, has_begun=self._has_begun)
            await self._change()

    async def read(self) -> bytes:
        """Return what has come of the body, nothing at its end. Raises BrokenAnswerError where it broke off."""
        while not self._pieces:
            if self._parser.is_whole:
                return b""
            if self._failure is not None:
                raise BrokenAnswerError(self._failure)
            await self._change()
        pieces, self._pieces, self._size = self._pieces, [], 0
        if self._is_held:
            self._is_held = False
            self._connection.go_on()
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    async def whole(self, most: int) -> bytes:
        """Return the whole body. Raises BrokenAnswerError, also for one of more bytes than `most`."""
        body = bytearray()
        while piece := await self.read():
            body += piece
            if len(body) > most:
                raise BrokenAnswerError(f"an answer of more than {most} bytes")
        return bytes(body)

    def close(self) -> None:
        """Be done with it. An engine that is still answering sees its client leave."""
        if not self._parser.is_whole:
            self._connection.abort()

    def feed(self, data: bytes) -> None:
        """Take what arrived. For the connection."""
        self._has_begun = True
        try:
            piece = self._parser.feed(data)
        except BrokenAnswerError as error:
            self._fail(str(error))
            self._connection.abort()
            return
        if piece:
            self._pieces.append(piece)
            self._size += len(piece)
        if self._parser.is_whole:
            self._connection.release(is_last=self._parser.is_last)
        elif self._size > READ_AHEAD_BYTES:
            self._is_held = True
            self._connection.hold()
        self._wake()

    def end(self, reason: str | None) -> None:
        """Note that the connection has ended, and why if that is known. For the connection."""
        try:
            if reason is not None:
                raise BrokenAnswerError(reason)
            self._parser.end()
        except BrokenAnswerError as error:
            self._fail(str(error))
        self._wake()

    def _fail(self, reason: str) -> None:
        self._failure = self._failure or reason
        self._wake()

    async def _change(self) -> None:
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class EngineConnection(asyncio.Protocol):
    """One connection."""

    def __init__(self, pool: "EngineConnections") -> None:
        self._pool = pool
        self._answer: Answer | None = None
        self._transport: asyncio.Transport | None = None
        self.idle_since_s = 0.0

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._transport.is_closing()

    def ask(self, request: Sequence[bytes]) -> Answer:
        """Send a request on a connection that is open and free."""
        assert self._transport is not None and self._answer is None
        for part in request:
            self._transport.write(part)
        self._answer = Answer(self)
        return self._answer

    def hold(self) -> None:
        """Read no more for the time being."""
        if self.is_open and self._transport is not None:
            self._transport.pause_reading()

    def go_on(self) -> None:
        """Read again."""
        if self.is_open and self._transport is not None:
            self._transport.resume_reading()

    def release(self, *, is_last: bool) -> None:
        """Be free for another request: not if the last one has not gone out whole, nor if nothing may follow."""
        self._answer = None
        if is_last or self._transport is None or self._transport.get_write_buffer_size():
            self.abort()
        else:
            self._pool.keep(self)

    def abort(self) -> None:
        """Close at once, whatever is under way."""
        self._answer = None
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self._transport = cast(asyncio.Transport, transport)  # uvloop's is none by its classes

    def data_received(self, data: bytes) -> None:
        """Pass it on to whoever asked. Words that nobody asked for are nobody's answer."""
        if self._answer is None:
            self.abort()
        else:
            self._answer.feed(data)

    def eof_received(self) -> None:
        """Take it for the end: an engine that says nothing more has nothing more to hear either."""
        self._end(None)
        self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is under way."""
        self._end(None if exc is None else getattr(exc, "strerror", None) or type(exc).__name__)
        self._transport = None
        self._pool.forget(self)

    def _end(self, reason: str | None) -> None:
        answer, self._answer = self._answer, None
        if answer is not None:
            answer.end(reason)


class EngineConnections:
    """All connections to one engine. Belongs to one event loop."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._idle: deque[EngineConnection] = deque()
        """The one that was used last is last, and is used first."""
        self.is_closed = False

    async def ask(self, request: Sequence[bytes], *, connect_s: float, is_fresh: bool = False) -> Answer:
        """Send a request and return the answer once its head is here; on a connection of its own if `is_fresh`.

        An engine may close a kept connection in the moment in which a request is sent on it. That request is sent once
        more, on a connection of its own: where that closes, the engine failed.
        Raises NotConnectedError, TimeoutError when connecting takes longer than `connect_s`, and BrokenAnswerError.
        Cancellation closes the connection.
        """
        kept = None if is_fresh else self._kept()
        if kept is not None:
            try:
                return await _begun(kept.ask(request))
            except ConnectionClosedError as error:
                if error.has_begun:
                    raise
        connection = await self._connected(connect_s)
        return await _begun(connection.ask(request))

    def keep(self, connection: EngineConnection) -> None:
        """Take back a connection that is free."""
        if self.is_closed:
            connection.abort()
            return
        connection.idle_since_s = asyncio.get_running_loop().time()
        self._idle.append(connection)

    def forget(self, connection: EngineConnection) -> None:
        """Give up a connection that has ended."""
        with contextlib.suppress(ValueError):
            self._idle.remove(connection)

    def close_idle(self) -> None:
        """Close what has been idle for so long that the engine may be about to."""
        oldest_s = asyncio.get_running_loop().time() - IDLE_CONNECTION_S
        while self._idle and self._idle[0].idle_since_s <= oldest_s:
            self._idle.popleft().abort()

    def close(self) -> None:
        """Close what is idle now, and every other connection after the answer that it is busy with."""
        self.is_closed = True
        while self._idle:
            self._idle.pop().abort()

    def _kept(self) -> EngineConnection | None:
        self.close_idle()
        while self._idle:
            connection = self._idle.pop()
            if connection.is_open:
                return connection
        return None

    async def _connected(self, connect_s: float) -> EngineConnection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(connect_s):
            try:
                _, connection = await loop.create_unix_connection(partial(EngineConnection, self), self._path)
            except OSError as error:
                raise NotConnectedError(error) from error
        return connection


async def _begun(answer: Answer) -> Answer:
    try:
        await answer.begin()
    except BaseException:
        answer.close()
        raise
    return answer


def request_of(
    method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"", *, is_last: bool = False
) -> tuple[bytes, ...]:
    """Return the bytes of a request that is no HEAD. Raises ValueError for what could hold another request."""
    assert method != "HEAD", "where the answer to one ends, the answer does not say"
    lines = [f"{name}: {value}" for name, value in headers]
    if body or method == "POST":
        lines.append(f"Content-Length: {len(body)}")
    if is_last:
        lines.append("Connection: close")
    # Where a client writes bytes that are not ASCII, parsers differ about what they are.
    target = target if target.isascii() else quote(target, safe=_PLAIN, errors="surrogateescape")
    first = f"{method} {target} HTTP/1.1"
    if first.count(" ") != 2 or _FORBIDDEN.search(first + "".join(lines)):
        raise ValueError("a request line or a header that would break the request")
    head = "\r\n".join((first, HOST, *lines, "\r\n")).encode()
    return (head + body,) if len(body) <= JOINED_BYTES else (head, body)
