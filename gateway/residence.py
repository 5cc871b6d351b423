"""What is loaded, and its end: llama-swap's routes, for the models that a caller's key may use."""

import math

from aiohttp import web

from gateway.app import GATEWAY, Gateway
from gateway.errors import ApiError, model_not_found
from gateway.on_demand import Phase
from gateway.probe import State
from gateway.request_context import CURRENT
from gateway.tenancy import allowed_models, check_model, offered
from gateway.upstream import Upstream

STATES = {State.READY.value: "ready", State.LOADING.value: "starting", Phase.STOPPING.value: "stopping"}
"""llama-swap's words, where it has one."""
BUSY_RETRY_S = 5


def add_routes(router: web.UrlDispatcher) -> None:
    """Add them. llama-swap unloads by GET as well, which any web page and any crawler sends: that is not offered."""
    router.add_get("/running", running)
    router.add_post("/unload", unload_all)
    router.add_post("/api/models/unload", unload_all)
    router.add_post("/api/models/unload/{model:.+}", unload_one)


async def running(request: web.Request) -> web.Response:
    """Every model that is loaded, or comes or goes."""
    gateway = request.app[GATEWAY]
    upstreams = [gateway.fleet.upstreams[name] for name in _offered(gateway)]
    found = [_told(each) for each in upstreams if each.told_state != Phase.STOPPED]
    return web.json_response({"running": found})


async def unload_all(request: web.Request) -> web.Response:
    """Unload each model on demand that nobody uses."""
    gateway = request.app[GATEWAY]
    names = _offered(gateway)
    return web.json_response({"unloaded": await gateway.loader.unload(names)})


async def unload_one(request: web.Request) -> web.Response:
    """Unload one model on demand. One that is busy, or loading, is left alone."""
    gateway, asked = request.app[GATEWAY], request.match_info["model"]
    registry = gateway.fleet.registry
    name = registry.owner.get(registry.named(asked) or "")
    if name is None:
        allowed = allowed_models(CURRENT.get(), registry)
        raise model_not_found(asked, gateway.fleet.upstreams if allowed is None else allowed)
    check_model(CURRENT.get(), registry, name, name)
    upstream = gateway.fleet.upstreams[name]
    if not upstream.is_on_demand:
        what = f"The model {name!r} always runs. Its operator can make it one on demand."
        raise ApiError(409, "model_not_on_demand", what, param="model")
    if upstream.told_state in (Phase.STOPPED, Phase.STOPPING):
        return web.json_response({"unloaded": []})
    unloaded = await gateway.loader.unload([name])
    if not unloaded:
        what = f"The model {name!r} is busy or loading, and is not unloaded now. Ask again in {BUSY_RETRY_S} s."
        raise ApiError(409, "model_busy", what, param="model", retry_after_s=BUSY_RETRY_S)
    return web.json_response({"unloaded": unloaded})


def _offered(gateway: Gateway) -> list[str]:
    """Models of which the caller may use all: of one whose adapters alone it may use it ends nothing."""
    return [model.name for model, name in offered(CURRENT.get(), gateway.fleet.registry) if name == model.name]


def _told(upstream: Upstream) -> dict[str, object]:
    """Return one model as llama-swap tells of it, without what is the operator's: command and address."""
    resident = upstream.resident
    idle_s = 0 if resident is None or resident.terms.keep_warm else math.ceil(resident.terms.idle_stop_s)
    return {
        "model": upstream.name,
        "state": STATES.get(upstream.told_state, upstream.told_state),
        "ttl": idle_s,
        "on_demand": upstream.is_on_demand,
    }
