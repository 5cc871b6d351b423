"""Passing one request on to its engine and the answer back: bytes as they come, failures told as what they are."""

import asyncio

import aiohttp
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from gateway.app import GATEWAY, Gateway
from gateway.body import read_asked, with_members
from gateway.body_intake import take_body
from gateway.errors import (
    ApiError,
    EngineLeavingError,
    gateway_draining,
    model_not_found,
    model_restarting,
    request_timed_out,
    unsupported_route,
    upstream_failed,
    upstream_timed_out,
)
from gateway.headers import for_client, for_engine, is_event_stream
from gateway.request_context import CURRENT, RequestContext
from gateway.restart_queue import asked_when_ready
from gateway.routes import STREAM_ENDINGS
from gateway.sse import EventStream
from gateway.upstream import Upstream

WHOLE_BYTES = 1024 * 1024
"""An answer up to this size goes out only when it is whole, so that a failure within it still gets a status."""
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
    raw = await take_body(request, context, gateway.requests, fleet.config)
    asked = await read_asked(raw, gateway.turns)
    model = fleet.registry.resolve(asked.model)
    if model is None:
        raise model_not_found(asked.model or "", fleet.upstreams)
    context.model = model
    context.served = served = fleet.registry.served_name(asked.model, model)
    body = raw if asked.model == served else await with_members(raw, gateway.turns, put={"model": served})
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

    return await asked_when_ready(gateway, context, model, ask)


async def _stream(
    request: web.Request, context: RequestContext, upstream: Upstream, answer: aiohttp.ClientResponse
) -> web.StreamResponse:
    # The head waits for the first piece: an engine that dies before it still gets an honest status.
    piece = await _next_piece(upstream, answer)
    endings = STREAM_ENDINGS.get(context.route, ()) if answer.status == 200 else ()
    if not piece and endings:
        raise upstream_failed(upstream.name)
    out = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_head(context, upstream, answer))
    out.headers["X-Accel-Buffering"] = "no"
    _close_if_endless(request, out)
    context.begin_answer(out)
    context.events = events = EventStream(endings)
    await out.prepare(request)
    while piece:
        context.extend(upstream.timeouts.stream_idle_s)
        if ready := events.feed(piece):
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
        await out.write(body)
        body = await _next_piece(upstream, answer)
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
    try:
        return await answer.content.readany()
    except (aiohttp.ClientError, OSError) as error:
        upstream.note(error)
        raise upstream_failed(upstream.name) from error


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
