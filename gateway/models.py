"""GET /v1/models: OpenAI's list, with the keys that clients of earlier servers read."""

from datetime import UTC, datetime

from aiohttp import web

from gateway.app import GATEWAY, Gateway
from gateway.config import ServedModel
from gateway.errors import ApiError
from gateway.probe import State
from gateway.request_context import CURRENT
from gateway.tenancy import check_model, nobody_serves, offered
from gateway.upstream import Upstream


def model_card(
    model: ServedModel, upstream: Upstream, *, created: int, adapter: str | None = None
) -> dict[str, object]:
    """Return what is told about one served model, or about one of its adapters."""
    card: dict[str, object] = {
        "id": adapter or model.name,
        "object": "model",
        "created": created,
        "owned_by": model.owned_by,
        "permission": [],
        "root": adapter or model.name,
        "parent": model.name if adapter else None,
        "description": model.description,
        "domain": model.domain,
        "status": "loaded" if upstream.state is State.READY else "available",
        "aliases": [] if adapter else list(model.aliases),
    }
    if upstream.max_model_len:
        card["max_model_len"] = upstream.max_model_len
    return card


async def list_models(request: web.Request) -> web.Response:
    """All models that the caller may use, in the configuration's order, each followed by its adapters."""
    gateway = request.app[GATEWAY]
    cards = [
        _card(gateway, model.name, None if name == model.name else name)
        for model, name in offered(CURRENT.get(), gateway.fleet.registry)
    ]
    if "anthropic-version" in request.headers:
        return web.json_response(_anthropic_page(cards, gateway.created))
    return web.json_response({"object": "list", "data": cards})


async def list_experts(request: web.Request) -> web.Response:
    """The models that the caller may use, as an earlier server called them."""
    gateway = request.app[GATEWAY]
    names = [name for model, name in offered(CURRENT.get(), gateway.fleet.registry) if name == model.name]
    return web.json_response({"experts": [{"expert_id": name, **_card(gateway, name, None)} for name in names]})


async def one_model(request: web.Request) -> web.Response:
    """One served model, by its name or by an alias, or one adapter."""
    gateway = request.app[GATEWAY]
    asked = request.match_info["id"]
    name = gateway.fleet.registry.resolve(asked)
    if name is None:
        raise nobody_serves(CURRENT.get(), gateway.fleet.registry, asked)
    check_model(CURRENT.get(), gateway.fleet.registry, name, gateway.fleet.registry.served_name(asked, name))
    card = _card(gateway, name, asked if asked in gateway.fleet.registry.adapters else None)
    if "anthropic-version" in request.headers:
        return web.json_response(_anthropic_card(card, gateway.created))
    return web.json_response(card)


def _anthropic_page(cards: list[dict[str, object]], created: int) -> dict[str, object]:
    """Return the list as Anthropic's clients read it: all on one page, whatever page they ask for."""
    listed = [_anthropic_card(card, created) for card in cards]
    first, last = (listed[0]["id"], listed[-1]["id"]) if listed else (None, None)
    return {"data": listed, "has_more": False, "first_id": first, "last_id": last}


def _anthropic_card(card: dict[str, object], created: int) -> dict[str, object]:
    created_at = datetime.fromtimestamp(created, UTC).isoformat().replace("+00:00", "Z")
    return {"type": "model", "id": card["id"], "display_name": card["id"], "created_at": created_at}


async def no_realtime(request: web.Request) -> web.Response:
    """Say that there is no websocket for speech, before a client upgrades to one."""
    raise ApiError(501, "not_offered", "There is no realtime API here. Send whole recordings or texts instead.")


def _card(gateway: Gateway, name: str, adapter: str | None) -> dict[str, object]:
    model, upstream = gateway.fleet.registry.models[name], gateway.fleet.upstreams[name]
    return model_card(model, upstream, created=gateway.created, adapter=adapter)
