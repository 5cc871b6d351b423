"""The gateway as an aiohttp application: its routes, and the one edge where every answer is accounted for."""

import asyncio
from collections.abc import AsyncIterator

from aiohttp import web
from aiohttp.typedefs import Handler

from gateway import health, models
from gateway.errors import ApiError
from gateway.events import log_failure
from gateway.exchange import CLIENT_LEFT, Exchange
from gateway.gateway import CURRENT, GATEWAY, Gateway
from gateway.headers import request_id_of
from gateway.proxy import pass_on
from gateway.routes import MODEL_ROUTES, UNKNOWN


def create_app(gateway: Gateway) -> web.Application:
    """Return the application. Starting and stopping it starts and closes the gateway's upstreams."""
    app = web.Application(middlewares=[account])
    app[GATEWAY] = gateway
    app.cleanup_ctx.append(_run_fleet)
    app.on_response_prepare.append(_close_while_draining)
    app.router.add_get("/", health.index)
    app.router.add_get("/livez", health.livez)
    app.router.add_get("/readyz", health.readyz)
    app.router.add_get("/health", health.health)
    app.router.add_get("/stats", health.stats)
    app.router.add_get("/metrics", health.metrics)
    app.router.add_get("/v1/models", models.list_models)
    app.router.add_get("/v1/models/{id:.+}", models.one_model)
    for route in MODEL_ROUTES:
        app.router.add_post(route, pass_on)
    return app


@web.middleware
async def account(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Give every request an id, every failure the error envelope, and every end a line in the log."""
    exchanges = request.app[GATEWAY].exchanges
    exchange = Exchange(
        request_id=request_id_of(request.headers.get("X-Request-Id")), method=request.method, route=_route(request)
    )
    CURRENT.set(exchange)
    exchanges.begin(exchange)
    try:
        response = await _answered(request, handler, exchange)
        if not response.prepared:
            exchange.status = response.status
            exchange.bytes_sent = response.content_length or 0
            response.headers["X-Request-Id"] = exchange.request_id
            if exchange.model is not None:
                response.headers["X-Served-Model"] = exchange.served or exchange.model
        return response
    except asyncio.CancelledError:
        exchange.is_cancelled = True
        raise
    finally:
        exchanges.finish(exchange)


async def _answered(request: web.Request, handler: Handler, exchange: Exchange) -> web.StreamResponse:
    try:
        request.app[GATEWAY].keys.check(request, exchange.route)
        response: web.StreamResponse = await handler(request)
        return response
    except ApiError as error:
        exchange.error = error.code
        return error.response()
    except web.HTTPException as refusal:
        told = _as_api_error(request, refusal)
        exchange.error = told.code
        response = told.response()
        if "Allow" in refusal.headers:
            response.headers["Allow"] = refusal.headers["Allow"]
        return response
    except ConnectionError:  # the client's: those of engines have become ApiErrors
        exchange.is_cancelled = True
        return exchange.out or web.Response(status=CLIENT_LEFT)
    except Exception:
        log_failure("request.failed", request_id=exchange.request_id, route=exchange.route)
        exchange.error = "internal_error"
        return _after_a_bug(request, exchange)


def _as_api_error(request: web.Request, refusal: web.HTTPException) -> ApiError:
    if refusal.status == 405:
        return ApiError(405, "method_not_allowed", f"{request.method} is not allowed here. See the Allow header.")
    if refusal.status == 404:
        return ApiError(404, "not_found", "There is no such route. GET /v1/models lists what is served.")
    return ApiError(refusal.status, "invalid_request", f"{refusal.reason}.")


def _after_a_bug(request: web.Request, exchange: Exchange) -> web.StreamResponse:
    if exchange.out is not None and exchange.out.prepared:
        exchange.is_interrupted = True
        if request.transport is not None:
            request.transport.abort()
        return exchange.out
    return ApiError(500, "internal_error", "The gateway failed on this request. Report its X-Request-Id.").response()


def _route(request: web.Request) -> str:
    resource = request.match_info.route.resource
    return UNKNOWN if resource is None else resource.canonical


async def _close_while_draining(request: web.Request, response: web.StreamResponse) -> None:
    """Close a connection only when the answer's head can say so: a client that was not told may be sending already."""
    if request.app[GATEWAY].exchanges.is_draining:
        response.force_close()
        response.headers["Connection"] = "close"


async def _run_fleet(app: web.Application) -> AsyncIterator[None]:
    await app[GATEWAY].fleet.start()
    yield
    await app[GATEWAY].fleet.close()
