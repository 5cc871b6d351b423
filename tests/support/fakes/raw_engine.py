"""An engine of which a test decides every byte and every close, on a Unix socket."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path

WHOLE = b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"id": "x"}'
STREAM = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def chunk(data: bytes) -> bytes:
    """Return a piece of a chunked body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@dataclass
class RawEngine:
    """Answers /health by itself and hands every connection's other requests to `serve`, once their bodies are read."""

    serve: Serve
    requests: list[bytes] = field(default_factory=list)
    """The heads of those."""
    connections: int = 0

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while not writer.is_closing():
                head = await reader.readuntil(b"\r\n\r\n")
                length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                await reader.readexactly(length)
                if head.startswith(b"GET "):
                    writer.write(WHOLE)
                else:
                    self.requests.append(head)
                    await self.serve(reader, writer)
                if b"connection: close" in head.lower():  # as uvicorn does
                    writer.close()
        writer.close()


@contextlib.asynccontextmanager
async def listening(engine: RawEngine, socket: Path) -> AsyncIterator[RawEngine]:
    """Serve it for as long as the block lasts."""
    server = await asyncio.start_unix_server(engine._connected, socket)
    try:
        yield engine
    finally:
        server.close()
