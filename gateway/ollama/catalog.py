"""What Ollama's clients ask about models: which there are, which run, what one can do; and what is not offered."""

import hashlib
from datetime import UTC, datetime
from typing import NotRequired, TypedDict

from aiohttp import web

from gateway.app import GATEWAY, Gateway
from gateway.body_intake import take_body
from gateway.bounded_json import read_object
from gateway.config import ServedModel
from gateway.errors import ApiError, bad_request
from gateway.request_context import CURRENT
from gateway.tenancy import check_model, nobody_serves, offered

API_VERSION = "0.12.0"
"""Of Ollama, whose API is answered as it was then: clients ask in order to know what they may use."""
FOREVER = "9999-12-31T23:59:59Z"
"""When a model is unloaded that nobody unloads; Ollama's own clients show it so."""
ABSENT = ("/api/pull", "/api/push", "/api/create", "/api/copy", "/api/delete", "/api/blobs/{digest}")

ARCHITECTURE = "vllm"
"""Under which Ollama's clients look for the length of the context. It is the engine, whatever the model."""


class Details(TypedDict):
    """What a model's files are."""

    parent_model: str
    format: str
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str


class Card(TypedDict):
    """A model in a list."""

    name: str
    model: str
    size: int
    digest: str
    details: Details


DETAILS: Details = {
    "parent_model": "",
    "format": "",
    "family": "",
    "families": [],
    "parameter_size": "",
    "quantization_level": "",
}
"""Of files, which the gateway does not know: empty, as Ollama leaves what it does not know."""


def add_routes(router: web.UrlDispatcher) -> None:
    """Add what is answered here; what engines answer goes the way of all requests for models."""
    router.add_get("/api/version", version)
    router.add_get("/api/tags", tags)
    router.add_get("/api/ps", running)
    router.add_post("/api/show", show)
    for route in ABSENT:
        router.add_route("*", route, not_offered)


async def version(request: web.Request) -> web.Response:
    """The version of Ollama's API."""
    return web.json_response({"version": API_VERSION})


async def tags(request: web.Request) -> web.Response:
    """Every model and every adapter that the caller may use."""
    gateway = request.app[GATEWAY]
    served = offered(CURRENT.get(), gateway.fleet.registry)
    cards = [{**_card(model, name), "modified_at": _created(gateway)} for model, name in served]
    return web.json_response({"models": cards})


async def running(request: web.Request) -> web.Response:
    """Those of them that are ready."""
    gateway = request.app[GATEWAY]
    ready = gateway.fleet.ready_models()
    names = [name for model, name in offered(CURRENT.get(), gateway.fleet.registry) if name == model.name]
    return web.json_response({"models": [_running(gateway, name) for name in names if name in ready]})


async def show(request: web.Request) -> web.Response:
    """What one model is and can do."""
    gateway = request.app[GATEWAY]
    body = read_object(await take_body(request, CURRENT.get(), gateway.requests, gateway.fleet.config))
    asked = body.get("model") or body.get("name")
    if not isinstance(asked, str):
        raise bad_request("'model' is missing. Send a model's name.", param="model")
    name = gateway.fleet.registry.resolve(asked)
    if name is None:
        raise nobody_serves(CURRENT.get(), gateway.fleet.registry, asked)
    check_model(CURRENT.get(), gateway.fleet.registry, name, gateway.fleet.registry.served_name(asked, name))
    model, length = gateway.fleet.registry.models[name], gateway.fleet.upstreams[name].max_model_len
    info: dict[str, str | int] = {"general.basename": model.name, "general.architecture": ARCHITECTURE}
    if length:
        info[f"{ARCHITECTURE}.context_length"] = length
    return web.json_response(
        {
            "license": "",
            "modelfile": "",
            "parameters": "",
            "template": "",
            "system": "",
            "details": DETAILS,
            "model_info": info,
            "capabilities": ["completion", *model.capabilities],
            "modified_at": _created(gateway),
        }
    )


async def not_offered(request: web.Request) -> web.Response:
    """Models come and go by a deployment, never by a request."""
    what = "Models are not changed by requests. Ask the operator; GET /api/tags lists what is served."
    raise ApiError(501, "not_offered", what)


def _card(model: ServedModel, name: str) -> Card:
    # Clients cut it to twelve digits without looking. It changes when the model is described differently.
    digest = hashlib.sha256(f"{name}\n{model.model_dump_json()}".encode()).hexdigest()
    named = f"{name}:latest"
    details: Details = {**DETAILS, "parent_model": "" if name == model.name else model.name}
    return {
        "name": named,
        "model": named,
        "size": 0,
        "digest": digest,
        "details": details,
    }


class Lasting(TypedDict):
    """What a list says of a model that runs, besides what it is."""

    expires_at: str
    size_vram: int
    context_length: NotRequired[int]


class Running(Card, Lasting):
    """A model that runs."""


def _running(gateway: Gateway, name: str) -> Running:
    lasting: Lasting = {"expires_at": FOREVER, "size_vram": 0}
    if length := gateway.fleet.upstreams[name].max_model_len:
        lasting["context_length"] = length
    return {**_card(gateway.fleet.registry.models[name], name), **lasting}


def _created(gateway: Gateway) -> str:
    return datetime.fromtimestamp(gateway.created, UTC).isoformat().replace("+00:00", "Z")
