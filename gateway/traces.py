"""One span for each request, sent to a collector on this host; never a word of a prompt or of an answer.

OTLP 1 over HTTP in JSON (https://opentelemetry.io/docs/specs/otlp/), to a Unix socket: a gateway on a host has no
network of its own. Attributes have the names of OpenTelemetry's conventions for HTTP and for generative AI.
"""

import asyncio
import contextlib
import os
import re
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import aiohttp

from gateway import __version__
from gateway.events import log_event
from gateway.request_context import RequestContext
from gateway.routes import QUIET_ROUTES

SEND_S = 5.0
"""Between two batches; so much is lost at most when the process is killed."""
TIMEOUT_S = 10.0
WAITING_MAX = 2048
"""Spans that wait for a collector, about a kilobyte each. One that is away costs the newest, and no memory."""
BATCH_MAX = 512
MAY_BE_TRIED_AGAIN = frozenset({429, 502, 503, 504})
"""By OTLP's specification. Any other refusal would be repeated."""
OPERATIONS: Mapping[str, str] = {
    "/v1/chat/completions": "chat",
    "/v1/messages": "chat",
    "/v1/responses": "chat",
    "/api/chat": "chat",
    "/v1/completions": "text_completion",
    "/api/generate": "text_completion",
    "/v1/embeddings": "embeddings",
    "/api/embed": "embeddings",
    "/api/embeddings": "embeddings",
}
"""gen_ai.operation.name by route."""
SERVER, ERROR = 2, 2
"""SPAN_KIND_SERVER and STATUS_CODE_ERROR."""

_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_SAMPLED = 0x01

Attribute = Mapping[str, object]
Span = Mapping[str, object]


class Parent(NamedTuple):
    """Where in a trace of its client's a request is."""

    trace_id: str
    span_id: str
    is_sampled: bool


def parent_of(traceparent: str | None) -> Parent | None:
    """Read a header of W3C Trace Context, level 1; None of what is none."""
    found = _TRACEPARENT.fullmatch(traceparent or "")
    if found is None:
        return None
    version, trace_id, span_id, flags, more = found.groups()
    if version == "ff" or (version == "00" and more) or not int(trace_id, 16) or not int(span_id, 16):
        return None
    return Parent(trace_id, span_id, bool(int(flags, 16) & _SAMPLED))


def span_of(context: RequestContext, parent: Parent | None, *, ended_ns: int, span_id: str, trace_id: str) -> Span:
    """Return the span of a finished request; `trace_id` is for one without a parent. Hexadecimal, 16 and 32 digits."""
    tokens = context.tokens
    told = tokens if tokens is not None and tokens.is_told else None
    failed = context.error or ("interrupted" if context.is_interrupted else None)
    attributes = {
        "http.request.method": context.method,
        "http.route": context.route,
        "http.response.status_code": context.status,
        "error.type": failed,
        "gen_ai.operation.name": OPERATIONS.get(context.route),
        "gen_ai.request.model": context.served or context.model,
        "gen_ai.usage.input_tokens": told and told.prompt,
        "gen_ai.usage.output_tokens": told and told.completion,
        "axion.request_id": context.request_id,
        "axion.caller": context.caller or None,
        "axion.waited_s": context.waited_s or None,
        "axion.time_to_first_byte_s": context.ttfb_s,
        "axion.cancelled": context.is_cancelled or None,
    }
    span = {
        "traceId": parent.trace_id if parent else trace_id,
        "spanId": span_id,
        "name": f"{context.method} {context.route}",
        "kind": SERVER,
        "startTimeUnixNano": str(ended_ns - int(context.duration_s * 1e9)),
        "endTimeUnixNano": str(ended_ns),
        "attributes": _attributes(attributes),
    }
    if parent is not None:
        span["parentSpanId"] = parent.span_id
    if context.status >= 500 or context.is_interrupted:  # a client's own mistake is no failure of a server
        span["status"] = {"code": ERROR, "message": failed or ""}
    return span


def document_of(spans: Sequence[Span]) -> Mapping[str, object]:
    """Return the request that exports them."""
    resource = {"service.name": "axion-gateway", "service.version": __version__, "host.name": os.uname().nodename}
    scope = {"name": "gateway.traces", "version": __version__}
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": scope, "spans": list(spans)}],
            }
        ]
    }


def _attributes(values: Mapping[str, object]) -> list[Attribute]:
    return [{"key": key, "value": _value(value)} for key, value in values.items() if value is not None]


def _value(value: object) -> Mapping[str, object]:
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int):
        return {"intValue": str(value)}  # 64 bits do not fit into JSON's numbers
    if isinstance(value, float):
        return {"doubleValue": value}
    return {"stringValue": str(value)}


class Traces:
    """Spans on their way to the collector. No request waits for it, and none fails with it."""

    def __init__(self, socket: Callable[[], Path | None], count_lost: Callable[[float], None]) -> None:
        """`socket` is asked each time: a reload may change it, and None turns tracing off.

        `count_lost` is told of spans that nobody took: there were too many, or the collector refused them.
        """
        self._socket, self._count_lost = socket, count_lost
        self._waiting: list[Span] = []
        self._is_full = asyncio.Event()
        self._is_over = False
        self._problem: str | None = None

    @property
    def waiting(self) -> int:
        """Spans that were not sent yet."""
        return len(self._waiting)

    def add(self, context: RequestContext, traceparent: str | None) -> None:
        """Take a finished request, unless whoever began its trace takes no part in it."""
        if self._socket() is None or context.route in QUIET_ROUTES:
            return
        parent = parent_of(traceparent)
        if parent is not None and not parent.is_sampled:
            return
        if len(self._waiting) >= WAITING_MAX:
            self._count_lost(1)
            return
        ids = {"span_id": secrets.token_hex(8), "trace_id": secrets.token_hex(16)}
        self._waiting.append(span_of(context, parent, ended_ns=time.time_ns(), **ids))
        if len(self._waiting) >= BATCH_MAX:
            self._is_full.set()

    async def keep(self) -> None:
        """Send what waits, every few seconds until this is closed, and then once more."""
        while not self._is_over:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._is_full.wait(), SEND_S)
            self._is_full.clear()
            await self.send()

    def close(self) -> None:
        """End `keep`."""
        self._is_over = True
        self._is_full.set()

    async def send(self) -> None:
        """Send what waits, in batches, up to the first that is not taken."""
        while self._waiting:
            socket = self._socket()
            batch = self._waiting[:BATCH_MAX]
            problem, is_to_be_kept = (None, False) if socket is None else await _sent(socket, batch)
            self._tell(problem)
            if is_to_be_kept:
                return
            if problem:
                self._count_lost(len(batch))
            del self._waiting[: len(batch)]

    def _tell(self, problem: str | None) -> None:
        if problem != self._problem:
            log_event("gateway.traces", problem=problem or "none any more", waiting=len(self._waiting))
        self._problem = problem


async def _sent(socket: Path, spans: Sequence[Span]) -> tuple[str | None, bool]:
    """Send a batch. Return what is wrong, and whether it may be taken later."""
    try:
        async with (
            aiohttp.ClientSession(
                connector=aiohttp.UnixConnector(str(socket)), timeout=aiohttp.ClientTimeout(TIMEOUT_S)
            ) as session,
            session.post("http://collector/v1/traces", json=document_of(spans)) as answer,
        ):
            await answer.read()
    except (OSError, aiohttp.ClientError) as error:  # a timeout is an OSError
        return str(error) or type(error).__name__, True
    if answer.status == 200:
        return None, False
    return f"the collector answered {answer.status}", answer.status in MAY_BE_TRIED_AGAIN
