"""Which model a request is for, and the body with which its engine is asked."""

import json
from dataclasses import dataclass

from gateway.app import Gateway
from gateway.body import read_asked, with_members
from gateway.bounded_json import read_object
from gateway.errors import model_not_found
from gateway.fleet import NO_SETTINGS, Fleet
from gateway.form import model_span
from gateway.ollama.asking import ROUTES as TRANSLATED
from gateway.output_cap import capped
from gateway.request_context import RequestContext
from gateway.routing import choose, read_question
from gateway.tenancy import allowed_models, check_model


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A request as it is put to its engine."""

    model: str
    body: bytes
    is_streamed: bool = False


async def asked_in_json(gateway: Gateway, context: RequestContext, raw: bytes) -> Put:
    """Return the model that a request is for, and the body with which its engine is asked."""
    fleet, turns, route = gateway.fleet, gateway.turns, context.route
    if translate := TRANSLATED.get(route):
        context.translation = translate(read_object(raw))
        raw, route = json.dumps(context.translation.body).encode(), context.translation.path
    asked = await read_asked(raw, turns)
    model, served = take(fleet, context, asked.model, _model_for(fleet, context, asked.model, raw))
    settings = fleet.registry.settings_of(asked.model, model)
    body = raw
    if asked.model != served or settings is not NO_SETTINGS:
        body = await with_members(raw, turns, put={"model": served, **settings.set}, remove=settings.strip)
    body = await capped(body, turns, route, fleet.registry.models[model].max_output_tokens)
    return Put(model=model, body=body, is_streamed=asked.stream)


def asked_in_form(fleet: Fleet, context: RequestContext, raw: bytes, content_type: str) -> Put:
    """Return the model that an uploaded form is for, and the form with the name that its engine knows."""
    span = model_span(raw, content_type)
    asked = raw[slice(*span)].decode(errors="replace") if span else None
    model, served = take(fleet, context, asked, fleet.registry.resolve(asked))
    if span is None or asked == served:  # vLLM takes a form without a model for its own
        return Put(model=model, body=raw)
    return Put(model=model, body=raw[: span[0]] + served.encode() + raw[span[1] :])


def take(fleet: Fleet, context: RequestContext, asked: str | None, model: str | None) -> tuple[str, str]:
    """Note which model a request is for; return it, and what its engine is asked for: the model or an adapter of it.

    Raises ApiError where nobody serves what is asked for, or the caller may not use it.
    """
    if model is None:
        allowed = allowed_models(context, fleet.registry)
        raise model_not_found(asked or "", fleet.upstreams if allowed is None else allowed)
    served = fleet.registry.served_name(asked, model)
    check_model(context, fleet.registry, model, served)
    context.model, context.served = model, served
    return model, served


def _model_for(fleet: Fleet, context: RequestContext, asked: str | None, raw: bytes) -> str | None:
    """Return the model that is asked for, or that the rules choose for who leaves it to us."""
    routing = fleet.config.routing
    if routing is None or fleet.registry.named(asked) != "":
        return fleet.registry.resolve(asked)
    allowed = allowed_models(context, fleet.registry)
    ready = [name for name in fleet.ready_models() if allowed is None or name in allowed]
    choice = choose(routing, read_question(raw), fleet.registry.models, ready, fleet.config.default_model)
    context.route_reason = choice.reason
    return choice.model
