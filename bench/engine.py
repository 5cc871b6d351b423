"""An engine that costs next to nothing and stamps every event with the time it was made; behind the gateway's bench.

    python -m bench.engine --uds PATH --name NAME [--port PORT]

Requests choose their pace: {"stream": true, "events": 64, "gap_s": 0.005}. CLOCK_MONOTONIC is one for all processes, so
a client can tell how long an event was on its way.
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

STREAM_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nTransfer-Encoding: chunked\r\n\r\n"
FILLER = "x" * 120
"""An event of vLLM has 200 to 300 bytes."""


def whole(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


def event(number: int) -> bytes:
    stamp = {"number": number, "made_ns": time.monotonic_ns(), "object": "text_completion", "filler": FILLER}
    return f"data: {json.dumps(stamp)}\n\n".encode()


async def stream(writer: asyncio.StreamWriter, *, events: int, gap_s: float) -> None:
    writer.write(STREAM_HEAD)
    due = time.monotonic()
    for number in range(events):
        due += gap_s
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(chunk(event(number)))
        await writer.drain()
    writer.write(chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n")
    await writer.drain()


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, name: str) -> None:
    """Answer the requests of one connection until it closes."""
    models = json.dumps({"object": "list", "data": [{"id": name, "max_model_len": 4096}]}).encode()
    answer = json.dumps({"id": "cmpl-1", "model": name, "choices": [{"index": 0, "text": "x" * 400}]}).encode()
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
            body = await reader.readexactly(length)
            asked = json.loads(body) if body else {}
            if asked.get("stream"):
                await stream(writer, events=asked["events"], gap_s=asked["gap_s"])
            else:
                writer.write(whole(answer if body else models))
                await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


async def run(uds: Path, port: int | None, name: str) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await serve(reader, writer, name)

    server = await asyncio.start_unix_server(answer, uds, backlog=1024)
    if port is not None:
        await asyncio.start_server(answer, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


def main() -> None:
    """Serve until killed."""
    parser = argparse.ArgumentParser(prog="bench.engine", description="An engine for measuring what is in front of it.")
    parser.add_argument("--uds", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--port", type=int, help="on loopback too, for routers that know no Unix sockets")
    args = parser.parse_args()
    asyncio.run(run(args.uds, args.port, args.name))


if __name__ == "__main__":
    main()
