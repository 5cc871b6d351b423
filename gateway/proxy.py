"""Passing one request on to its engine and the answer back: bytes as they come, failures told as what they are."""

import asyncio
import contextlib
import time

from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from gateway.admission import asked_in_turn
from gateway.app import GATEWAY, Gateway
from gateway.body_intake import take_body
from gateway.engine_connections import Answer
from gateway.errors import (
    ApiError,
    EngineLeavingError,
    engine_refused,
    gateway_draining,
    model_restarting,
    request_timed_out,
    unsupported_route,
    upstream_failed,
    upstream_timed_out,
)
from gateway.form import FORM_ROUTES
from gateway.headers import Headers, for_client, for_engine, is_event_stream, stated_timeout_s
from gateway.http_answer import BrokenAnswerError
from gateway.ollama.answering import Lines, embedded, loaded
from gateway.performance import MEASURED_ROUTES, with_performance
from gateway.ping import pinging
from gateway.placing import Put, asked_in_form, asked_in_json, take
from gateway.protocols.api import reason_in
from gateway.request_context import CURRENT, SLACK, RequestContext
from gateway.routes import STREAM_ENDINGS
from gateway.sse import EventStream
from gateway.upstream import Upstream

WHOLE_BYTES = 1024 * 1024
"""An answer up to this size goes out only when it is whole, so that a failure within it still gets a status."""
EVENT_STREAM = "text/event-stream; charset=utf-8"
TRANSLATED_BYTES = 64 * WHOLE_BYTES
"""Of an answer that has to be whole to be translated; more than a whole batch of embeddings."""
RESPONSES = "/v1/responses"
FAREWELL_S = 1.0
"""For the last words to a client that may have stopped reading."""
ENGINE_DRAINS = b"cannot schedule new futures after shutdown"
"""How vLLM answers, with status 500, while it finishes its last requests; its /health still says 200."""


async def proxy_request(request: web.Request) -> web.StreamResponse:
    """Answer a request for a model. Cancellation (the client left) closes the engine's connection at once."""
    gateway, context = request.app[GATEWAY], CURRENT.get()
    if gateway.requests.is_cut:
        raise gateway_draining()
    try:
        async with asyncio.timeout((1 + SLACK) * gateway.fleet.config.timeouts.response_s) as context.deadline:
            return await _relay(request, context, gateway)
    # Raised from here: an error that a frame of its own traceback names would keep the body until a collection.
    except TimeoutError as error:
        if context.out is None or not context.out.prepared:
            raise _why_out_of_time(context) from error
        return await _break_off(request, context, context.out, _why_out_of_time(context))
    except ApiError as error:
        if context.out is None or not context.out.prepared:
            raise
        return await _break_off(request, context, context.out, error)
    finally:
        context.deadline = None


async def _relay(request: web.Request, context: RequestContext, gateway: Gateway) -> web.StreamResponse:
    fleet = gateway.fleet
    is_form = context.route in FORM_ROUTES
    raw = await take_body(request, context, gateway.requests, fleet.config, is_form=is_form)
    context.asked_bytes = len(raw)
    if response_id := request.match_info.get("response_id"):
        maker = gateway.responses.maker_of(response_id, context.caller)
        model, _ = take(fleet, context, maker, fleet.registry.resolve(maker))
        put = Put(model=model, body=raw)
    elif is_form:
        put = asked_in_form(fleet, context, raw, request.headers.get("Content-Type", ""))
    else:
        put = await asked_in_json(gateway, context, raw)
    headers = for_engine(request.headers.items(), request_id=context.request_id)

    if context.route in FORM_ROUTES:
        headers["Content-Type"] = request.headers["Content-Type"]
    translation = context.translation

    async def ask(upstream: Upstream) -> web.StreamResponse:
        context.asked = time.monotonic()
        if translation is not None and translation.is_load:
            return web.Response(body=loaded(translation, put.model), content_type="application/json")
        path = request.rel_url.raw_path_qs if translation is None else translation.path
        method = "GET" if request.method == "HEAD" else request.method  # the client is sent no body all the same
        answer = await upstream.post(path, put.body, headers.items(), method=method)
        try:
            if is_event_stream(answer.headers):
                return await _stream(request, context, upstream, answer)
            return await _whole(request, context, upstream, answer)
        finally:
            answer.close()  # nothing to do after a whole answer; else the engine sees its client leave

    async def begin() -> web.StreamResponse:
        head = _head(context, put.model, (("Content-Type", EVENT_STREAM),))
        return await _begin_stream(request, context, context.events or _follower(context), head)

    timeout_s = stated_timeout_s(request.headers, is_streamed=put.is_streamed)
    ping_s = fleet.config.timeouts.ping_s if put.is_streamed and context.route in STREAM_ENDINGS else 0
    async with pinging(context, ping_s, begin) if ping_s else contextlib.nullcontext():
        return await asked_in_turn(gateway, context, put.model, ask, timeout_s=timeout_s)


async def _stream(
    request: web.Request, context: RequestContext, upstream: Upstream, answer: Answer
) -> web.StreamResponse:
    # The head waits for the first event: an engine that dies before it, or that refuses in it, gets an honest status.
    events = context.events = context.events or _follower(context, answer.status)
    ready = b""
    while (piece := await _next_piece(upstream, answer)) and not (ready := _fed(context, events, piece)):
        pass
    if not piece and events.has_ending:
        raise upstream_failed(upstream.name)
    if events.refused and context.out is None:
        return _refused_in_stream(context, upstream, *events.refused)
    if context.route == RESPONSES:
        request.app[GATEWAY].responses.note(ready, context.served or upstream.name, context.caller)
    out = await _begun_stream(request, context, upstream, answer, events)
    while piece:
        context.extend(upstream.timeouts.stream_idle_s)
        if ready:
            context.sent(len(ready))
            await out.write(ready)
        piece = await _next_piece(upstream, answer)
        ready = _fed(context, events, piece)
    if events.has_ending and not (events.said_end or events.said_error):
        upstream.note("a stream ended without its last event")  # how vLLM ends streams when its engine core has died
        raise upstream_failed(upstream.name)
    if events.said_error:  # in the engine's own words, and nothing to add to them
        context.is_interrupted, context.error = True, "upstream_error"
    rest = events.rest()
    context.sent(len(rest))
    await out.write_eof(rest)
    return out


async def _begun_stream(
    request: web.Request,
    context: RequestContext,
    upstream: Upstream,
    answer: Answer,
    events: EventStream,
) -> web.StreamResponse:
    if context.out is None:
        head = _head(context, upstream.name, answer.headers.items())
        if events.content_type is not None:
            head["Content-Type"] = events.content_type
        return await _begin_stream(request, context, events, head, answer.status, answer.reason)
    if answer.status != context.out.status:  # a ping has begun it
        raise engine_refused(upstream.name, answer.status, None)
    return context.out


def _fed(context: RequestContext, events: EventStream, piece: bytes) -> bytes:
    """Return what a piece makes ready for the client. All of it counts, also what a translation keeps back."""
    ready = events.feed(piece)
    if context.tokens is not None:
        context.tokens.see_events(events.heard)
    return ready


async def _begin_stream(
    request: web.Request,
    context: RequestContext,
    events: EventStream,
    head: CIMultiDict[str],
    status: int = 200,
    reason: str | None = None,
) -> web.StreamResponse:
    out = web.StreamResponse(status=status, reason=reason, headers=head)
    out.headers["X-Accel-Buffering"] = "no"
    _close_if_endless(request, out)
    context.events = events
    context.begin_answer(out)
    await out.prepare(request)
    return out


def _follower(context: RequestContext, status: int = 200) -> EventStream:
    """Return what follows a stream to the client, in the words of the client's API."""
    if context.translation is not None and status == 200:
        return Lines(context.translation, context.model or "", context.times())
    endings = STREAM_ENDINGS.get(context.route, ()) if status == 200 else ()
    return context.protocol.stream(endings, context.request_id)


def _refused_in_stream(context: RequestContext, upstream: Upstream, status: int, body: bytes) -> web.Response:
    _refuse_for_engine(context, upstream, status, body)
    context.status = status
    told = context.protocol.refusal(status, body, context.request_id)
    return web.Response(status=status, body=told, content_type="application/json")


async def _whole(
    request: web.Request, context: RequestContext, upstream: Upstream, answer: Answer
) -> web.StreamResponse:
    pieces: list[bytes] = []
    size = 0
    limit = WHOLE_BYTES if context.translation is None else TRANSLATED_BYTES
    while size <= limit and (piece := await _next_piece(upstream, answer)):
        pieces.append(piece)
        size += len(piece)
    body = b"".join(pieces)
    if size <= limit:
        _refuse_for_engine(context, upstream, answer.status, body)
    if context.out is not None:  # a ping has begun a stream
        raise engine_refused(upstream.name, answer.status, reason_in(body))
    if size > limit:
        return await _large(request, context, upstream, answer, body)
    if context.tokens is not None:
        context.tokens.see_answer(body)
    told = _told(request.app[GATEWAY], context, upstream, answer.status, body)
    head = _head(context, upstream.name, answer.headers.items())
    if told is not body:  # an engine's bug is plain text, until it is put into the words of an API
        head["Content-Type"] = "application/json"
    whole = web.Response(status=answer.status, reason=answer.reason, headers=head, body=told)
    context.begin_answer(whole)
    context.sent(len(told))
    await whole.prepare(request)
    await whole.write_eof()
    return whole


def _told(gateway: Gateway, context: RequestContext, upstream: Upstream, status: int, body: bytes) -> bytes:
    """Return a whole answer as the clients of its API read it."""
    if status >= 400:
        return context.protocol.refusal(status, body, context.request_id)
    if context.translation is not None:
        return embedded(context.translation, context.model or "", body, context.times())
    if context.route == RESPONSES:
        gateway.responses.note(body, context.served or upstream.name, context.caller)
    if context.route in MEASURED_ROUTES and status == 200:
        return with_performance(body, time.monotonic() - context.asked)
    return body


async def _large(
    request: web.Request, context: RequestContext, upstream: Upstream, answer: Answer, body: bytes
) -> web.StreamResponse:
    """Pass on what is too large to be held, of which `body` has arrived."""
    head = _head(context, upstream.name, answer.headers.items())
    out = web.StreamResponse(status=answer.status, reason=answer.reason, headers=head)
    out.content_length = answer.content_length
    _close_if_endless(request, out)
    context.begin_answer(out)
    await out.prepare(request)
    while body:
        context.sent(len(body))
        if context.tokens is not None:
            context.tokens.see_part(body)
        await out.write(body)
        body = await _next_piece(upstream, answer)
    await out.write_eof()
    return out


def _close_if_endless(request: web.Request, out: web.StreamResponse) -> None:
    """HTTP/1.0 has no other end of a body without a length; aiohttp 3.14 keeps such a connection open."""
    if request.version < HttpVersion11 and out.content_length is None:
        out.force_close()


def _head(context: RequestContext, model: str, headers: Headers) -> CIMultiDict[str]:
    head = for_client(headers, model=context.served or model, request_id=context.request_id)
    if context.route_reason is not None:
        head["X-Route-Reason"] = context.route_reason
    return head


def _refuse_for_engine(context: RequestContext, upstream: Upstream, status: int, body: bytes) -> None:
    """Put two answers of vLLM into words that a client can act on; all others pass as they are."""
    if status == 404 and body.replace(b" ", b"") == b'{"detail":"NotFound"}':
        raise unsupported_route(upstream.name, context.route)
    if status == 500 and ENGINE_DRAINS in body:
        upstream.mark_draining()
        raise EngineLeavingError(model_restarting(upstream.name))


async def _next_piece(upstream: Upstream, answer: Answer) -> bytes:
    """Return what arrived, nothing at a proper end. Raises ApiError when the engine broke off."""
    upstream.progress.awaited += 1
    try:
        return await answer.read()
    except BrokenAnswerError as error:
        upstream.note(error)
        raise upstream_failed(upstream.name) from error
    finally:
        upstream.progress.awaited -= 1
        upstream.progress.pieces += 1


def _why_out_of_time(context: RequestContext) -> ApiError:
    if context.is_cut:
        return gateway_draining()
    if context.model is None:
        return request_timed_out()
    return upstream_timed_out(context.model)


async def _break_off(
    request: web.Request, context: RequestContext, out: web.StreamResponse, error: ApiError
) -> web.StreamResponse:
    """Tell the client as much as can still be told: an error event, or nothing but a broken connection."""
    context.is_interrupted, context.error = True, error.code
    if context.events is not None:
        last_words = context.events.interruption(error)
        try:
            async with asyncio.timeout(FAREWELL_S):
                context.sent(len(last_words))
                await out.write(last_words)
                await out.write_eof()
        except TimeoutError:
            pass
        else:
            return out
    # Half an answer must not look like a whole one.
    if request.transport is not None:
        request.transport.abort()
    return out
