"""A stand-in for one vLLM engine on a Unix socket: the same bytes on the wire, and failures on demand.

`async with running(FakeEngine(name="a"), path)`, or `python -m tests.support.fakes.engine --uds PATH --name NAME`.
"""

import argparse
import asyncio
import contextlib
import email
import email.policy
import itertools
import json
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from tests.support.fakes.answers import (
    MESSAGES,
    call_events,
    delta_events,
    error_event,
    named_event,
    stream_events,
    usage_event,
    whole_answer,
    whole_call,
)

FAILURES = (
    "none",
    *("hang", "hang_mid_stream"),  # accepts the request and never answers, or stops answering
    *("die_before_answer", "die_before_first_event", "die_between_events", "die_mid_event", "die_mid_body"),
    "no_done",  # ends the stream in good order without its last event, as vLLM does when its core dies
    "error_event",  # vLLM's own error event, then [DONE]
    "error_first",  # the same, before anything else
    "draining",  # what vLLM answers between SIGTERM and its exit
)
STREAMING = ("/v1/chat/completions", "/v1/completions", MESSAGES, "/v1/responses")
LAST_EVENTS = {MESSAGES: "message_stop", "/v1/responses": "response.completed"}
DRAINING_MESSAGE = "cannot schedule new futures after shutdown"


@dataclass(eq=False)
class Received:
    """One request as it arrived, what was answered so far, and whether the client left early."""

    path: str
    headers: dict[str, str]
    body: bytes
    pieces: list[bytes] = field(default_factory=list)
    cancelled_at: float | None = None

    @property
    def sent(self) -> bytes:
        """The bytes of the answer's body so far."""
        return b"".join(self.pieces)


@dataclass(eq=False)
class FakeEngine:
    """What the engine is called and how it behaves; change the fields at any time."""

    name: str = "fake"
    tokens: int = 3
    first_token_delay_s: float = 0.0
    token_delay_s: float = 0.0
    token: str = "tok"
    failure: str = "none"
    is_healthy: bool = True
    max_model_len: int = 4096
    embeds: bool = False
    adapters: tuple[str, ...] = ()
    server_load: int | None = None
    """What /load says, instead of the requests that are really being answered."""
    steps: int | None = None
    """What /metrics says, instead of the requests that were received."""
    metrics_text: str | None = ""
    """All that /metrics says, where it is not empty; with None it never answers."""
    deltas: tuple[dict[str, Any], ...] = ()
    """What a chat's stream says instead of tokens: thoughts and calls of tools, say."""
    calls: tuple[str, str] | None = None
    """The tool that it calls whenever there are tools, and the arguments in JSON."""
    generated: int = 0
    """Tokens of streams that were not directed otherwise, for /metrics."""
    answering: int = 0
    response_headers: dict[str, str] = field(default_factory=dict)
    received: list[Received] = field(default_factory=list)

    def app(self) -> web.Application:
        """Return the engine as an application."""
        app = web.Application(middlewares=[_not_found_like_fastapi])
        app.router.add_get("/health", self._health)
        app.router.add_get("/v1/models", self._models)
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/load", self._load)
        for route in ("/v1/chat/completions", "/v1/completions", "/v1/messages", "/v1/responses", "/tokenize"):
            app.router.add_post(route, self._generate)
        app.router.add_post("/v1/messages/count_tokens", self._count_tokens)
        app.router.add_post("/v1/audio/transcriptions", self._transcribe)
        app.router.add_get("/v1/responses/{id}", self._stored)
        app.router.add_post("/v1/responses/{id}/cancel", self._stored)
        if self.embeds:
            app.router.add_post("/v1/embeddings", self._generate)
        return app

    async def _health(self, request: web.Request) -> web.Response:
        return web.Response(status=200 if self.is_healthy else 503)

    async def _models(self, request: web.Request) -> web.Response:
        return web.json_response({"object": "list", "data": [{"id": self.name, "max_model_len": self.max_model_len}]})

    async def _stored(self, request: web.Request) -> web.Response:
        self.received.append(Received(request.path_qs, dict(request.headers), await request.read()))
        if request.match_info["id"] != f"resp_{self.name}":
            return _error(404, f"Response with id '{request.match_info['id']}' not found.", "NotFoundError", None)
        status = "cancelled" if request.method == "POST" else "completed"
        return web.json_response({"id": f"resp_{self.name}", "object": "response", "status": status, "output": []})

    async def _count_tokens(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received.append(Received(request.path_qs, dict(request.headers), body))
        asked = json.loads(body)
        if asked.get("model") != self.name:
            return _error(404, f"The model `{asked.get('model')}` does not exist.", "NotFoundError", "model")
        if not asked.get("messages"):
            return _error(400, "Field required: messages", "BadRequestError", "messages")
        return web.json_response({"input_tokens": len(str(asked["messages"]).split())})

    async def _transcribe(self, request: web.Request) -> web.Response:
        body = await request.read()
        self.received.append(Received(request.path_qs, dict(request.headers), body))
        head = f"Content-Type: {request.headers['Content-Type']}\r\n\r\n".encode()
        parts = email.message_from_bytes(head + body, policy=email.policy.HTTP).iter_parts()
        form = {part.get_param("name", header="content-disposition"): part.get_payload() for part in parts}
        if form.get("model", self.name) != self.name:
            return _error(404, f"The model `{form.get('model')}` does not exist.", "NotFoundError", "model")
        return web.json_response({"text": self.token})

    async def _metrics(self, request: web.Request) -> web.Response:
        if self.metrics_text is None:
            await asyncio.sleep(3600)
        if self.metrics_text:
            return web.Response(text=self.metrics_text)
        steps = len(self.received) if self.steps is None else self.steps
        figures = {"request_success_total": len(self.received), "iteration_tokens_total_count": steps}
        figures |= {"generation_tokens_total": self.generated}
        figures |= {"num_requests_running": 0, "num_requests_waiting": 0}  # of the core's last step
        return web.Response(
            text="".join(f'vllm:{name}{{model_name="{self.name}"}} {value}\n' for name, value in figures.items())
        )

    async def _load(self, request: web.Request) -> web.Response:
        return web.json_response({"server_load": self.answering if self.server_load is None else self.server_load})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        received = Received(request.path_qs, dict(request.headers), await request.read())
        self.received.append(received)
        self.answering += 1
        try:
            return await self._answer(request, received)
        except (asyncio.CancelledError, ConnectionResetError):
            received.cancelled_at = time.monotonic()
            raise
        finally:
            self.answering -= 1

    async def _answer(self, request: web.Request, received: Received) -> web.StreamResponse:
        asked = json.loads(received.body)
        if asked.get("model") not in (self.name, *self.adapters, None):  # without a name vLLM takes the one it serves
            message = f"The model `{asked.get('model')}` does not exist. Valid aliases: {self.name}"
            return _error(404, message, "NotFoundError", "model")
        if not isinstance(asked.get("stream"), bool | None):
            return _error(400, "stream: Input should be a valid boolean", "BadRequestError", "stream")
        if asked.get("temperature", 0) > 2:
            return _error(400, "temperature must be in [0, 2]", "BadRequestError", "temperature")
        if self.failure == "draining":
            return _error(500, DRAINING_MESSAGE, "InternalServerError", None)
        if self.failure == "hang":
            await asyncio.sleep(3600)
        if self.failure == "die_before_answer":
            _die(request)
        if asked.get("stream") and request.path in STREAMING:
            return await self._stream(request, received, asked)
        await asyncio.sleep(self.first_token_delay_s + self.token_delay_s * self.tokens)
        answer = whole_answer(
            request.path, self.name, self.token, self.tokens, best=int(asked.get("top_logprobs") or 0)
        )
        if self.calls and asked.get("tools"):
            answer = whole_call(request.path, self.name, *self.calls)
        return await self._whole(request, received, json.dumps(answer).encode())

    async def _whole(self, request: web.Request, received: Received, body: bytes) -> web.StreamResponse:
        headers = {"Content-Type": "application/json", **self.response_headers}
        if self.failure != "die_mid_body":
            received.pieces = [body]
            return web.Response(body=body, headers=headers)
        out = web.StreamResponse(headers=headers)
        out.content_length = len(body)
        await out.prepare(request)
        await out.write(body[: len(body) // 2])
        received.pieces = [body[: len(body) // 2]]
        await asyncio.sleep(0.02)
        _die(request)
        return out

    async def _stream(self, request: web.Request, received: Received, asked: dict[str, Any]) -> web.StreamResponse:
        out = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8", **self.response_headers})
        await out.prepare(request)
        if self.failure == "die_before_first_event":
            await asyncio.sleep(0.02)
            _die(request)
        await asyncio.sleep(self.first_token_delay_s)
        tokens = int(asked.get("max_tokens", self.tokens))
        events = stream_events(request.path, self.name, self.token, tokens)
        if self.deltas:
            events, tokens = delta_events(self.name, self.deltas), len(self.deltas)
        if self.calls and asked.get("tools"):
            events, tokens = call_events(request.path, self.name, *self.calls), 2
        wants_usage = bool((asked.get("stream_options") or {}).get("include_usage"))
        due_s = time.monotonic()
        for number, event in enumerate(self._ending(request.path, events, tokens, wants_usage=wants_usage)):
            if number:  # by the clock: a busy machine must not add to every gap
                due_s += self.token_delay_s
                await asyncio.sleep(max(0.0, due_s - time.monotonic()))
            self.generated += number < tokens
            if number == 2 and self.failure.startswith(("die_", "hang_")):
                await self._break(request, out, received, event)
            received.pieces.append(event)
            await out.write(event)
        await out.write_eof()
        return out

    def _ending(self, path: str, events: Iterator[bytes], tokens: int, *, wants_usage: bool) -> Iterator[bytes]:
        if self.failure in ("error_event", "error_first"):
            before = itertools.islice(events, 2 if self.failure == "error_event" else 0)
            events = itertools.chain(before, [error_event(path)])
        yield from events
        if wants_usage:
            yield usage_event(path, self.name, tokens)
        if self.failure != "no_done":
            name = LAST_EVENTS.get(path)
            yield named_event({"type": name}) if name else b"data: [DONE]\n\n"

    async def _break(self, request: web.Request, out: web.StreamResponse, received: Received, event: bytes) -> None:
        if self.failure == "hang_mid_stream":
            await asyncio.sleep(3600)
        if self.failure == "die_mid_event":
            await out.write(event[: len(event) // 2])
        await asyncio.sleep(0.02)  # let the bytes leave first
        _die(request)


@contextlib.asynccontextmanager
async def running(engine: FakeEngine, socket: Path) -> AsyncIterator[FakeEngine]:
    """Serve an engine on a socket for as long as the block lasts; leaving it tears connections down."""
    runner = web.AppRunner(engine.app(), handler_cancellation=True, access_log=None, shutdown_timeout=0.05)
    await runner.setup()
    try:
        await web.UnixSite(runner, str(socket), backlog=1024).start()
        yield engine
    finally:
        await runner.cleanup()


@web.middleware
async def _not_found_like_fastapi(request: web.Request, handler: Any) -> Any:
    try:
        return await handler(request)
    except web.HTTPNotFound:
        return web.Response(status=404, body=b'{"detail":"Not Found"}', content_type="application/json")


def _error(status: int, message: str, kind: str, param: str | None) -> web.Response:
    error = {"message": message, "type": kind, "param": param, "code": status}
    return web.json_response({"error": error}, status=status)


def _die(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()
    raise ConnectionResetError("the engine died, as it was told to")


def main() -> None:
    """Serve one fake engine until SIGTERM."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--uds", type=Path, required=True)
    parser.add_argument("--name", required=True)
    parser.add_argument("--tokens", type=int, default=3)
    parser.add_argument("--first-token-delay-s", type=float, default=0.0)
    parser.add_argument("--token-delay-s", type=float, default=0.0)
    parser.add_argument("--load-s", type=float, default=0.0, help="until the socket accepts")
    parser.add_argument("--failure", choices=FAILURES, default="none")
    parser.add_argument("--embeds", action="store_true", help="serve /v1/embeddings too")
    args = vars(parser.parse_args())
    uds = str(args.pop("uds"))
    time.sleep(args.pop("load_s"))
    app = FakeEngine(**args).app()
    web.run_app(app, path=uds, access_log=None, handler_cancellation=True, shutdown_timeout=5.0)


if __name__ == "__main__":
    main()
