"""Who asks, whether that caller may, and what it has used: keys, limits and usage, as a request meets them."""

import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from gateway.config import ServedModel
from gateway.errors import ApiError, model_not_allowed, model_not_found
from gateway.keys import Keys
from gateway.limits import Limits
from gateway.request_context import CURRENT, RequestContext
from gateway.tokens import Tokens
from gateway.usage import Usage

if TYPE_CHECKING:
    from gateway.fleet import Fleet, Registry


class Tenancy:
    """What the gateway knows of its callers."""

    def __init__(self, keys: Keys, usage: Usage | None = None) -> None:
        self.keys = keys
        self.usage = usage or Usage()
        self._limits = Limits()

    def admit(self, request: web.Request, context: RequestContext) -> None:
        """Note who asks. Raises ApiError unless that caller may ask now; only a POST counts, what else there is costs
        nothing."""
        key = self.keys.caller(request, context.route)
        if key is None:
            return
        context.key, context.caller = key, key.name
        if request.method == "POST":
            context.tokens = Tokens()
            used = self.usage.tokens_today(key.name)
            context.limit_headers, refusal = self._limits.judge(
                key, used_tokens=used, monotonic_s=time.monotonic(), now_s=time.time()
            )
            if refusal is not None:
                raise refusal

    def count(self, context: RequestContext, fleet: "Fleet") -> None:
        """Count a finished request for its caller."""
        upstream = fleet.upstreams.get(context.model or "")
        self.usage.count(context, upstream.max_model_len if upstream else None)


def check_model(context: RequestContext, registry: "Registry", model: str, served: str) -> None:
    """Raise ApiError unless the caller may use a model, or an adapter of it that is `served`."""
    allowed = allowed_models(context, registry)
    if allowed is not None and model not in allowed and served not in allowed:
        raise model_not_allowed(served, allowed)


def nobody_serves(context: RequestContext, registry: "Registry", asked: str) -> ApiError:
    """Return the refusal of a name that is nobody's. It lists what the caller may use, and nothing else."""
    allowed = allowed_models(context, registry)
    return model_not_found(asked, registry.models if allowed is None else allowed)


def allowed_models(context: RequestContext, registry: "Registry") -> list[str] | None:
    """Return the models that the caller may use, and adapters of others; None for all.

    A list may name an alias. It is what clients may write, so it is what an operator may write.
    """
    key = context.key
    if key is None or key.models is None:
        return None
    return allowed_of(key.models, registry.owner, registry.adapters)


def offered(context: RequestContext, registry: "Registry") -> list[tuple[ServedModel, str]]:
    """Return what every list shows the caller: models with their names, each followed by its adapters' names."""
    allowed = allowed_models(context, registry)
    return [
        (model, name)
        for model in registry.models.values()
        for name in (model.name, *model.adapters)
        if allowed is None or model.name in allowed or name in allowed
    ]


def allowed_of(named: Iterable[str], owner: Mapping[str, str], adapters: frozenset[str]) -> list[str]:
    """Turn what a key's list names into models and adapters that are served."""
    found = [name if name in adapters else owner[name] for name in named if name in owner]
    return list(dict.fromkeys(found))


def tell_limits(response: web.StreamResponse) -> None:
    """Say in an answer's head what its caller's limits leave."""
    context = CURRENT.get(None)
    if context is not None and context.limit_headers:
        response.headers.update(context.limit_headers)
