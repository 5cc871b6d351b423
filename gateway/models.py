"""GET /v1/models: OpenAI's list, with the keys that clients of earlier servers read."""

from aiohttp import web

from gateway.config import ServedModel
from gateway.errors import model_not_found
from gateway.gateway import GATEWAY, Gateway
from gateway.probe import State
from gateway.upstream import Upstream


def model_card(model: ServedModel, upstream: Upstream, *, created: int) -> dict[str, object]:
    """Return what is told about one served model."""
    card: dict[str, object] = {
        "id": model.name,
        "object": "model",
        "created": created,
        "owned_by": model.owned_by,
        "permission": [],
        "root": model.name,
        "parent": None,
        "description": model.description,
        "domain": model.domain,
        "status": "loaded" if upstream.state is State.READY else "available",
        "aliases": list(model.aliases),
    }
    if upstream.max_model_len:
        card["max_model_len"] = upstream.max_model_len
    return card


async def list_models(request: web.Request) -> web.Response:
    """All served models, in the configuration's order."""
    gateway = request.app[GATEWAY]
    cards = [_card(gateway, name) for name in gateway.fleet.upstreams]
    return web.json_response({"object": "list", "data": cards})


async def one_model(request: web.Request) -> web.Response:
    """One served model, by its name or by an alias."""
    gateway = request.app[GATEWAY]
    asked = request.match_info["id"]
    name = gateway.fleet.registry.resolve(asked)
    if name is None:
        raise model_not_found(asked, gateway.fleet.upstreams)
    return web.json_response(_card(gateway, name))


def _card(gateway: Gateway, name: str) -> dict[str, object]:
    return model_card(gateway.fleet.registry.models[name], gateway.fleet.upstreams[name], created=gateway.created)
