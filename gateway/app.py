"""What handlers share, and the one edge that every answer passes: its id, its errors, its counts, its log line."""

import asyncio
import time
from dataclasses import dataclass, field

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway import browsers
from gateway.body import Turns
from gateway.errors import ApiError, internal_error
from gateway.events import log_failure
from gateway.fleet import Fleet
from gateway.headers import request_id_of
from gateway.keys import Keys
from gateway.loader import Loader
from gateway.made_responses import MadeResponses
from gateway.metrics import Metrics
from gateway.protocols import protocol_of
from gateway.recent import RecentRequests
from gateway.request_context import CLIENT_LEFT, CURRENT, RequestContext, RequestsInFlight
from gateway.routes import UNKNOWN
from gateway.tenancy import Tenancy
from gateway.tls import ServerTls
from gateway.tokens import Tokens
from gateway.traces import Traces


@dataclass(slots=True, eq=False)
class Gateway:
    """Everything that handlers share. One per process; tests make many."""

    fleet: Fleet
    tenancy: Tenancy = field(default_factory=lambda: Tenancy(Keys(None)))
    metrics: Metrics = field(default_factory=Metrics)
    requests: RequestsInFlight = field(default_factory=RequestsInFlight)
    recent: RecentRequests = field(default_factory=RecentRequests)
    turns: Turns = field(default_factory=Turns)
    started: float = field(default_factory=time.monotonic)
    responses: MadeResponses = field(default_factory=MadeResponses)
    tls: ServerTls | None = None
    created: int = field(default_factory=lambda: int(time.time()))
    loader: Loader = field(init=False)
    traces: Traces = field(init=False)

    def __post_init__(self) -> None:
        self.loader = Loader(self)
        self.traces = Traces(lambda: self.fleet.config.otlp_socket, self.metrics.spans_lost.inc)
        if (tls := self.tls) is not None:
            self.metrics.watch_certificate(lambda: tls.ends_s)

    @property
    def is_ready(self) -> bool:
        """Whether new requests have a chance here."""
        return bool(self.fleet.servable_models()) and not self.requests.is_draining


GATEWAY = web.AppKey("gateway", Gateway)


@web.middleware
async def access_log(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request an id, every failure the error envelope, and every end a line in the log."""
    gateway = request.app[GATEWAY]
    context = RequestContext(
        request_id=request_id_of(request.headers.get("X-Request-Id")),
        method=request.method,
        route=_route(request),
        protocol=protocol_of(request.path, request.headers),
    )
    CURRENT.set(context)
    if gateway.fleet.config.otlp_socket is not None:  # its span says them
        context.tokens = Tokens()
    gateway.requests.begin(context)
    try:
        response = await _answered(request, handler, context)
        if not response.prepared:
            context.status = response.status
            context.bytes_sent = response.content_length or 0
            response.headers["X-Request-Id"] = context.request_id
            if context.model is not None:
                response.headers["X-Served-Model"] = context.served or context.model
            if context.route_reason is not None:
                response.headers["X-Route-Reason"] = context.route_reason
        return response
    except asyncio.CancelledError:
        context.is_cancelled = True
        raise
    finally:
        gateway.requests.finish(context)
        gateway.metrics.count(context)
        gateway.recent.add(context)
        gateway.tenancy.count(context, gateway.fleet)
        gateway.traces.add(context, request.headers.get("traceparent"))
        context.log()


async def _answered(request: web.Request, handler: Handler, context: RequestContext) -> web.StreamResponse:
    try:
        config = request.app[GATEWAY].fleet.config
        if refused := browsers.refusal(request.method, request.headers, config):
            raise refused
        if browsers.is_preflight(request.method, request.headers):  # it carries no key
            return web.Response(status=204)
        request.app[GATEWAY].tenancy.admit(request, context)
        response: web.StreamResponse = await handler(request)
        return response
    except ApiError as error:
        return _refused(error, context)
    except web.HTTPException as refusal:
        told = _as_api_error(request, refusal)
        response = _refused(told, context)
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
        return response
    except ConnectionError:  # the client's: those of engines have become ApiErrors
        context.is_cancelled = True
        return context.out or web.Response(status=CLIENT_LEFT)
    except Exception:
        log_failure("request.failed", request_id=context.request_id, route=context.route)
        return _after_a_bug(request, context)


def _as_api_error(request: web.Request, refusal: web.HTTPException) -> ApiError:
    if refusal.status == 405:
        return ApiError(405, "method_not_allowed", f"{request.method} is not allowed here. See the Allow header.")
    if refusal.status == 404:
        return ApiError(404, "not_found", "There is no such route. GET /v1/models lists what is served.")
    return ApiError(refusal.status, "invalid_request", f"{refusal.reason}.")


def _after_a_bug(request: web.Request, context: RequestContext) -> web.StreamResponse:
    if context.out is not None and context.out.prepared:
        context.is_interrupted, context.error = True, "internal_error"
        if request.transport is not None:
            request.transport.abort()
        return context.out
    return _refused(internal_error(), context)


def _refused(error: ApiError, context: RequestContext) -> web.Response:
    context.error = error.code
    return error.response(context.protocol.envelope(error, context.request_id))


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNKNOWN if resource is None else resource.canonical
