"""Passing one request on to its engine and the answer back: bytes as they come, failures told as what they are."""

import asyncio
import json
import time

import aiohttp
from aiohttp import HttpVersion11, web
from multidict import CIMultiDict

from gateway.app import GATEWAY, Gateway
from gateway.body import read_asked, with_members
from gateway.bounded_json import read_object
from gateway.errors import (
    ApiError,
    EngineLeavingError,
    bad_request,
    body_too_large,
    gateway_draining,
    model_not_found,
    model_restarting,
    request_timed_out,
    unsupported_route,
    upstream_failed,
    upstream_timed_out,
)
from gateway.fleet import NO_SETTINGS, Fleet
from gateway.form import FORM_ROUTES, model_span
from gateway.headers import for_client, for_engine, is_event_stream
from gateway.ollama.answering import Lines, embedded, loaded
from gateway.ollama.asking import ROUTES as TRANSLATED
from gateway.performance import MEASURED_ROUTES, with_performance
from gateway.request_context import CURRENT, RequestContext
from gateway.restart_queue import asked_when_ready
from gateway.routes import STREAM_ENDINGS
from gateway.routing import choose, read_question
from gateway.sse import EventStream
from gateway.upstream import Upstream

WHOLE_BYTES = 1024 * 1024
"""An answer up to this size goes out only when it is whole, so that a failure within it still gets a status."""
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
    if response_id := request.match_info.get("response_id"):
        context.served = context.model = model = gateway.responses.model_of(response_id)
        body = raw
    elif context.route in FORM_ROUTES:
        model, body = _form_for(fleet, context, raw, request.headers.get("Content-Type", ""))
    else:
        model, body = _put_for(fleet, context, raw)
    headers = for_engine(request.headers.items(), request_id=context.request_id)

    if context.route in FORM_ROUTES:
        headers["Content-Type"] = request.headers["Content-Type"]
    translation = context.translation

    async def ask(upstream: Upstream) -> web.StreamResponse:
        context.asked = time.monotonic()
        if translation is not None and translation.is_load:
            return web.Response(body=loaded(translation, model), content_type="application/json")
        async with upstream.lease():
            path = request.rel_url.raw_path_qs if translation is None else translation.path
            answer = await upstream.post(path, body, headers, method=request.method)
            try:
                if is_event_stream(answer.headers):
                    return await _stream(request, context, upstream, answer)
                return await _whole(request, context, upstream, answer)
            finally:
                answer.close()  # nothing to do after a whole answer; else the engine sees its client leave

    return await asked_when_ready(gateway, context, model, ask)


def _put_for(fleet: Fleet, context: RequestContext, raw: bytes) -> tuple[str, bytes]:
    """Return the model that a request is for, and the body with which its engine is asked."""
    if translate := TRANSLATED.get(context.route):
        context.translation = translate(read_object(raw))
        raw = json.dumps(context.translation.body).encode()
    asked = read_asked(raw)
    model = _model_for(fleet, context, asked.model, raw)
    if model is None:
        raise model_not_found(asked.model or "", fleet.upstreams)
    context.model = model
    context.served = served = fleet.registry.served_name(asked.model, model)
    settings = fleet.registry.settings_of(asked.model, model)
    if asked.model == served and settings is NO_SETTINGS:
        return model, raw
    return model, with_members(raw, put={"model": served, **settings.set}, remove=settings.strip)


def _form_for(fleet: Fleet, context: RequestContext, raw: bytes, content_type: str) -> tuple[str, bytes]:
    """Return the model that an uploaded form is for, and the form with the name that its engine knows."""
    span = model_span(raw, content_type)
    asked = raw[slice(*span)].decode(errors="replace") if span else None
    model = fleet.registry.resolve(asked)
    if model is None:
        raise model_not_found(asked or "", fleet.upstreams)
    context.model = model
    context.served = served = fleet.registry.served_name(asked, model)
    if span is None or asked == served:  # vLLM takes a form without a model for its own
        return model, raw
    return model, raw[: span[0]] + served.encode() + raw[span[1] :]


def _model_for(fleet: Fleet, context: RequestContext, asked: str | None, raw: bytes) -> str | None:
    """Return the model that is asked for, or that the rules choose for who leaves it to us."""
    routing = fleet.config.routing
    if routing is None or fleet.registry.named(asked) != "":
        return fleet.registry.resolve(asked)
    models, ready = fleet.registry.models, fleet.ready_models()
    choice = choose(routing, read_question(raw), models, ready, fleet.config.default_model)
    context.route_reason = choice.reason
    return choice.model


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
    # The head waits for the first event: an engine that dies before it, or that refuses in it, gets an honest status.
    events, ready = _follower(context, answer), b""
    while (piece := await _next_piece(upstream, answer)) and not (ready := events.feed(piece)):
        pass
    if not piece and events.has_ending:
        raise upstream_failed(upstream.name)
    if events.refused:
        return _refused_in_stream(context, upstream, *events.refused)
    out = web.StreamResponse(status=answer.status, reason=answer.reason, headers=_head(context, upstream, answer))
    out.headers["X-Accel-Buffering"] = "no"
    if events.content_type is not None:
        out.headers["Content-Type"] = events.content_type
    _close_if_endless(request, out)
    if context.route == RESPONSES:
        request.app[GATEWAY].responses.note(ready, upstream.name)
    context.begin_answer(out)
    context.events = events
    await out.prepare(request)
    while piece:
        context.extend(upstream.timeouts.stream_idle_s)
        if ready:
            context.sent(len(ready))
            await out.write(ready)
        piece = await _next_piece(upstream, answer)
        ready = events.feed(piece)
    if events.has_ending and not (events.said_end or events.said_error):
        upstream.note("a stream ended without its last event")  # how vLLM ends streams when its engine core has died
        raise upstream_failed(upstream.name)
    if events.said_error:  # in the engine's own words, and nothing to add to them
        context.is_interrupted, context.error = True, "upstream_error"
    rest = events.rest()
    context.sent(len(rest))
    await out.write_eof(rest)
    return out


def _follower(context: RequestContext, answer: aiohttp.ClientResponse) -> EventStream:
    """Return what follows a stream to the client, in the words of the client's API."""
    if context.translation is not None and answer.status == 200:
        return Lines(context.translation, context.model or "", context.times())
    endings = STREAM_ENDINGS.get(context.route, ()) if answer.status == 200 else ()
    return context.protocol.stream(endings, context.request_id)


def _refused_in_stream(context: RequestContext, upstream: Upstream, status: int, body: bytes) -> web.Response:
    _refuse_for_engine(context, upstream, status, body)
    told = context.protocol.refusal(status, body, context.request_id)
    return web.Response(status=status, body=told, content_type="application/json")


async def _whole(
    request: web.Request, context: RequestContext, upstream: Upstream, answer: aiohttp.ClientResponse
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
        if answer.status >= 400:
            body = context.protocol.refusal(answer.status, body, context.request_id)
        elif context.translation is not None:
            body = embedded(context.translation, context.model or "", body, context.times())
        elif context.route == RESPONSES:
            request.app[GATEWAY].responses.note(body, upstream.name)
        elif context.route in MEASURED_ROUTES and answer.status == 200:
            body = with_performance(body, time.monotonic() - context.asked)
        whole = web.Response(
            status=answer.status, reason=answer.reason, headers=_head(context, upstream, answer), body=body
        )
        context.begin_answer(whole)
        context.sent(len(body))
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
    head = for_client(answer.headers.items(), model=context.served or upstream.name, request_id=context.request_id)
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
    request: web.Request, context: RequestContext, error: ApiError, cause: BaseException | None
) -> web.StreamResponse:
    """Tell the client as much as can still be told: a status, an error event, or nothing but a broken connection."""
    out = context.out
    if out is None or not out.prepared:
        raise error from cause
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
