"""Passing one request on to its engine and the answer back: bytes as they come, failures told as what they are."""

import asyncio

import aiohttp
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from gateway.admission import asked_in_turn
from gateway.app import GATEWAY, Gateway
from gateway.body import read_asked, with_model
from gateway.errors import (
    ApiError,
    EngineLeavingError,
    bad_request,
    body_too_large,
    engine_refused,
    gateway_draining,
    model_not_found,
    model_restarting,
    reason_in,
    request_timed_out,
    unsupported_route,
    upstream_failed,
    upstream_timed_out,
)
from gateway.headers import for_client, for_engine, is_event_stream, stated_timeout_s
from gateway.output_cap import capped
from gateway.ping import pinging
from gateway.request_context import CURRENT, RequestContext
from gateway.routes import STREAM_ENDINGS
from gateway.sse import EventStream
from gateway.tenancy import allowed_models, check_model
from gateway.upstream import Upstream

WHOLE_BYTES = 1024 * 1024
"""An answer up to this size goes out only when it is whole, so that a failure within it still gets a status."""
EVENT_STREAM = "text/event-stream; charset=utf-8"
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
        async with asyncio.timeout(gateway.fleet.config.timeouts.response_s) as context.deadline:
            return await _relay(request, context, gateway)
    except TimeoutError as error:
        return await _break_off(request, context, _why_out_of_time(context), error)
    except ApiError as error:
        return await _break_off(request, context, error, error.__cause__)
    finally:
        context.deadline = None


async def _relay(request: web.Request, context: RequestContext, gateway: Gateway) -> web.StreamResponse:
    fleet = gateway.fleet
    raw = await _read_body(request, fleet.config.max_body_bytes)
    asked = read_asked(raw)
    model = fleet.registry.resolve(asked.model)
    if model is None:
        allowed = allowed_models(context, fleet.registry)
        raise model_not_found(asked.model or "", fleet.upstreams if allowed is None else allowed)
    served = fleet.registry.served_name(asked.model, model)
    check_model(context, fleet.registry, model, served)
    context.model, context.served, context.body_bytes = model, served, len(raw)
    body = raw if asked.model == served else with_model(raw, served)
    body = capped(body, context.route, fleet.registry.models[model].max_output_tokens)
    headers = for_engine(request.headers.items(), request_id=context.request_id)

    async def ask(upstream: Upstream) -> web.StreamResponse:
        async with upstream.lease():
            answer = await upstream.post(request.rel_url.raw_path_qs, body, headers)
            try:
                if is_event_stream(answer.headers):
                    return await _stream(request, context, upstream, answer)
                return await _whole(request, context, upstream, answer)
            finally:
                answer.close()  # nothing to do after a whole answer; else the engine sees its client leave

    async def begin() -> web.StreamResponse:
        head = for_client((("Content-Type", EVENT_STREAM),), model=served, request_id=context.request_id)
        return await _begin_stream(request, context, head)

    timeout_s = stated_timeout_s(request.headers, is_streamed=asked.stream)
    is_pinged = asked.stream and context.route in STREAM_ENDINGS
    async with pinging(context, fleet.config.timeouts.ping_s if is_pinged else 0, begin):
        return await asked_in_turn(gateway, context, model, ask, timeout_s=timeout_s)


async def _read_body(request: web.Request, limit_bytes: int) -> bytes:
    if (request.content_length or 0) > limit_bytes:
        raise body_too_large(limit_bytes)
    pieces: list[bytes] = []
    size = 0
    try:
        while piece := await request.content.readany():
            size += len(piece)
            if size > limit_bytes:
                raise body_too_large(limit_bytes)
            pieces.append(piece)
    except aiohttp.ClientPayloadError as error:
        raise bad_request("The request body broke off or is encoded wrongly. Send it again.") from error
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


async def _stream(
    request: web.Request, context: RequestContext, upstream: Upstream, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    # The head waits for the first piece: an engine that dies before it still gets an honest status.
    piece = await _next_piece(upstream, answer)
    endings = STREAM_ENDINGS.get(context.route, ()) if answer.status == 200 else ()
    if not piece and endings:
        raise upstream_failed(upstream.name)
    out = context.out  # begun by a ping
    if out is None:
        out = await _begin_stream(request, context, _head(context, upstream, answer), answer.status, answer.reason)
    elif answer.status != out.status:
        raise engine_refused(upstream.name, answer.status, None)
    events = context.events
    assert events is not None, "a stream has its events"
    while piece:
        context.extend(upstream.timeouts.stream_idle_s)
        if ready := events.feed(piece):
            if context.tokens is not None:
                context.tokens.see_events(ready)
            context.sent(len(ready))
            await out.write(ready)
        piece = await _next_piece(upstream, answer)
    if endings and not (events.said_end or events.said_error):
        upstream.note("a stream ended without its last event")  # how vLLM ends streams when its engine core has died
        raise upstream_failed(upstream.name)
    if events.said_error:  # in the engine's own words, and nothing to add to them
        context.is_interrupted, context.error = True, "upstream_error"
    rest = events.rest()
    context.sent(len(rest))
    await out.write_eof(rest)
    return out


async def _begin_stream(
    request: web.Request,
    context: RequestContext,
    head: CIMultiDict[str],
    status: int = 200,
    reason: str | None = None,
) -> web.StreamResponse:
    out = web.StreamResponse(status=status, reason=reason, headers=head)
    out.headers["X-Accel-Buffering"] = "no"
    _close_if_endless(request, out)
    context.events = EventStream(STREAM_ENDINGS.get(context.route, ()) if status == 200 else ())
    context.begin_answer(out)
    await out.prepare(request)
    return out


async def _whole(
    request: web.Request, context: RequestContext, upstream: Upstream, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    pieces: list[bytes] = []
    size = 0
    while size <= WHOLE_BYTES and (piece := await _next_piece(upstream, answer)):
        pieces.append(piece)
        size += len(piece)
    body = b"".join(pieces)
    if size <= WHOLE_BYTES:
        _refuse_for_engine(context, upstream, answer.status, body)
    if context.out is not None:  # a ping has begun a stream
        raise engine_refused(upstream.name, answer.status, reason_in(body))
    if size <= WHOLE_BYTES:
        if context.tokens is not None:
            context.tokens.see_answer(body)
        whole = web.Response(
            status=answer.status, reason=answer.reason, headers=_head(context, upstream, answer), body=body
        )
        context.begin_answer(whole)
        context.sent(size)
        await whole.prepare(request)
        await whole.write_eof()
        return whole
    out = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_head(context, upstream, answer))
    if answer.content_length is not None:
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
    if context.tokens is not None:
        context.tokens.see_end()
    await out.write_eof()
    return out


def _close_if_endless(request: web.Request, out: web.StreamResponse) -> None:
    """HTTP/1.0 has no other end of a body without a length; aiohttp 3.14 keeps such a connection open."""
    if request.version < HttpVersion11 and out.content_length is None:
        out.force_close()


def _head(context: RequestContext, upstream: Upstream, answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
    return for_client(answer.headers.items(), model=context.served or upstream.name, request_id=context.request_id)


def _refuse_for_engine(context: RequestContext, upstream: Upstream, status: int, body: bytes) -> None:
    """Put two answers of vLLM into words that a client can act on; all others pass as they are."""
    if status == 404 and body.replace(b" ", b"") == b'{"detail":"NotFound"}':
        raise unsupported_route(upstream.name, context.route)
    if status == 500 and ENGINE_DRAINS in body:
        upstream.mark_draining()
        raise EngineLeavingError(model_restarting(upstream.name))


async def _next_piece(upstream: Upstream, answer: aiohttp.ClientResponse) -> bytes:
    """Return what arrived, nothing at a proper end. Raises ApiError when the engine broke off."""
    upstream.progress.awaited += 1
    try:
        return await answer.content.readany()
    except (aiohttp.ClientError, OSError) as error:
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
    request: web.Request, context: RequestContext, error: ApiError, cause: BaseException | None
) -> web.StreamResponse:
    """Tell the client as much as can still be told: a status, an error event, or nothing but a broken connection."""
    out = context.out
    if out is None or not out.prepared:
        raise error from cause
    context.is_interrupted, context.error = True, error.code
    if context.events is not None:
        last_words = context.events.interruption(error, context.route)
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
