"""An engine that numbers its events and notes at once who left; what bench.gateway_chaos kills and stops.

    python -m bench.chaos_engine --uds PATH --log PATH

A request chooses its stream: {"user": "17", "events": 9, "gap_s": 0.002, "size": 200}. The log has a line for each that
began, ended or was left, with CLOCK_MONOTONIC, which is one for all processes.
"""

import argparse
import asyncio
import json
import os
import time
from pathlib import Path
from typing import Any

from bench.engine import STREAM_HEAD, chunk, whole

MODELS = json.dumps({"object": "list", "data": [{"id": "any", "max_model_len": 4096}]}).encode()


class Engine:
    """What it serves, and its log."""

    def __init__(self, log: Path) -> None:
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def note(self, word: str, user: str) -> None:
        """Write a line in one call: a kill leaves it whole."""
        os.write(self._log, f"{word} {user} {time.monotonic_ns()}\n".encode())

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection until it closes."""
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).lower()
                length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
                if not length:
                    writer.write(whole(MODELS))
                    continue
                await self._stream(json.loads(await reader.readexactly(length)), reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _stream(self, asked: dict[str, Any], reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.note("began", asked["user"])
        streaming = asyncio.ensure_future(write_events(asked, writer))
        leaving = asyncio.ensure_future(reader.read(1))  # nobody sends anything before the answer's end
        await asyncio.wait((streaming, leaving), return_when=asyncio.FIRST_COMPLETED)
        is_left = not streaming.done() or streaming.exception() is not None
        self.note("left" if is_left else "ended", asked["user"])
        for task in (streaming, leaving):
            task.cancel()
        await asyncio.gather(streaming, leaving, return_exceptions=True)
        if is_left:
            raise ConnectionResetError


async def write_events(asked: dict[str, Any], writer: asyncio.StreamWriter) -> None:
    """Write the stream that was asked for."""
    writer.write(STREAM_HEAD)
    filler = "x" * asked["size"]
    for number in range(asked["events"]):
        event = json.dumps({"user": asked["user"], "number": number, "filler": filler})
        writer.write(chunk(f"data: {event}\n\n".encode()))
        await writer.drain()
        await asyncio.sleep(asked["gap_s"])
    writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()


async def run(uds: Path, log: Path) -> None:
    uds.unlink(missing_ok=True)
    server = await asyncio.start_unix_server(Engine(log).serve, uds, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="bench.chaos_engine", description="An engine that notes who left.")
    parser.add_argument("--uds", type=Path, required=True)
    parser.add_argument("--log", type=Path, required=True)
    args = parser.parse_args()
    asyncio.run(run(args.uds, args.log))


if __name__ == "__main__":
    main()
