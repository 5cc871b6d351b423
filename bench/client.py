"""A client that costs little and notes when each event arrived, and how events were packed into HTTP chunks."""

import asyncio
import json
import time
from dataclasses import dataclass, field
from pathlib import Path

ROUTE = "/v1/completions"
PROMPT = "p" * 600


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A gateway's port and the key that it asks for, or the engine's socket."""

    port: int = 0
    uds: Path | None = None
    key: str = ""

    async def connect(self) -> "Connection":
        if self.uds is not None:
            return Connection(*await asyncio.open_unix_connection(self.uds))
        return Connection(*await asyncio.open_connection("127.0.0.1", self.port), self.key)


@dataclass(slots=True)
class Streamed:
    """What one stream showed to its client."""

    asked_events: int
    first_event_s: float = 0.0
    transits_s: list[float] = field(default_factory=list)
    """From an event's making to its arrival here."""
    numbers: list[int] = field(default_factory=list)
    merged: int = 0
    """Events that shared an HTTP chunk with the one before: held back by somebody."""
    torn: int = 0
    """Chunks that ended within an event."""
    is_done: bool = False
    _begun: bytes = b""

    def take(self, chunk: bytes, now_ns: int) -> None:
        """Note the events of one chunk, and keep what it has of the next."""
        *events, self._begun = (self._begun + chunk).split(b"\n\n")
        self.torn += bool(self._begun)
        self.is_done = self.is_done or b"data: [DONE]" in events
        stamps = [json.loads(event[6:]) for event in events if event != b"data: [DONE]"]
        self.numbers += [stamp["number"] for stamp in stamps]
        self.transits_s += [(now_ns - stamp["made_ns"]) / 1e9 for stamp in stamps]
        self.merged += max(0, len(stamps) - 1)

    @property
    def lost(self) -> int:
        """How many of the events sent did not arrive, or not at their place."""
        places = range(self.asked_events)
        return sum(place >= len(self.numbers) or self.numbers[place] != place for place in places) + (not self.is_done)


class Connection:
    """One kept-alive HTTP/1.1 connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, key: str = "") -> None:
        self._reader, self._writer = reader, writer
        self._authorization = f"\r\nAuthorization: Bearer {key}" if key else ""

    def close(self) -> None:
        self._writer.close()

    async def _ask(self, **asked: object) -> bytes:
        body = json.dumps({"model": "bench", "prompt": PROMPT, **asked}).encode()
        head = (
            f"POST {ROUTE} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(body)}"
        )
        self._writer.write((head + self._authorization).encode() + b"\r\n\r\n" + body)
        answered = await self._reader.readuntil(b"\r\n\r\n")
        assert answered.startswith(b"HTTP/1.1 200 "), answered
        return answered.lower()

    async def whole(self) -> float:
        """Ask for a whole answer; return how long it took."""
        began = time.perf_counter()
        head = await self._ask()
        await self._reader.readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        return time.perf_counter() - began

    async def stream(self, *, events: int, gap_s: float) -> Streamed:
        """Ask for a stream and read it to its end."""
        seen = Streamed(asked_events=events)
        began = time.perf_counter()
        await self._ask(stream=True, events=events, gap_s=gap_s)
        held = b""
        while held != b"0\r\n\r\n":
            piece = await self._reader.read(1 << 16)
            assert piece, "the connection closed within a stream"
            now_ns = time.monotonic_ns()
            chunks, held = split_chunks(held + piece)
            for chunk in chunks:
                seen.take(chunk, now_ns)
            if seen.numbers and not seen.first_event_s:
                seen.first_event_s = time.perf_counter() - began
        return seen


def split_chunks(data: bytes) -> tuple[list[bytes], bytes]:
    """Return the content of each chunk that arrived whole, and the rest; the last, empty chunk stays in the rest."""
    chunks: list[bytes] = []
    at = 0
    while (line_end := data.find(b"\r\n", at)) > 0:
        size = int(data[at:line_end], 16)
        end = line_end + 2 + size
        if not size or len(data) < end + 2:
            break
        chunks.append(data[line_end + 2 : end])
        at = end + 2
    return chunks, data[at:]
