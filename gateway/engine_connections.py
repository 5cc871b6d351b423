"""Connections to engines: kept ones that say whether they were used, and a session that passes everything on."""

import asyncio
from contextvars import ContextVar
from weakref import WeakSet

import aiohttp
from aiohttp.tracing import Trace

IS_REUSED: ContextVar[bool] = ContextVar("is_reused", default=False)
"""Whether the last request of the running task went over a connection that had served another."""


class KeptConnections(aiohttp.UnixConnector):
    """A pool that says whether it gave out a used connection. aiohttp's traces say so too, at four times the cost."""

    def __init__(self, path: str, *, limit: int, keepalive_timeout: float) -> None:
        super().__init__(path, limit=limit, keepalive_timeout=keepalive_timeout)
        self._used: WeakSet[asyncio.BaseProtocol] = WeakSet()

    async def connect(
        self, req: aiohttp.ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> aiohttp.connector.Connection:
        """Give out a connection, and note in IS_REUSED which kind."""
        connection = await super().connect(req, traces, timeout)
        protocol = connection.protocol
        if protocol is not None:
            IS_REUSED.set(protocol in self._used)
            self._used.add(protocol)
        return connection


def has_begun_to_answer(error: aiohttp.ClientError) -> bool:
    """Whether a connection that closed before an answer's head was whole had brought a part of it."""
    return isinstance(error, aiohttp.ServerDisconnectedError) and not isinstance(error.message, str)


def session_over(connector: aiohttp.UnixConnector) -> aiohttp.ClientSession:
    """Return a session that changes nothing of what it passes on."""
    return aiohttp.ClientSession(
        connector=connector,
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        skip_auto_headers=("User-Agent", "Accept"),
    )
