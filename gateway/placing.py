"""Which model a request is for, and the body with which its engine is asked."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from gateway.app import Gateway
from gateway.body import read_asked, with_members
from gateway.bounded_json import read_object, written
from gateway.config import Routing
from gateway.fleet import NO_SETTINGS, Fleet
from gateway.form import model_span
from gateway.ollama.asking import ROUTES as TRANSLATED
from gateway.output_cap import capped
from gateway.request_context import RequestContext
from gateway.routing import NO_QUESTION, Question, choose, read_question
from gateway.tenancy import allowed_models, check_model, nobody_serves


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
        await asyncio.sleep(0)  # a long text takes its time to read, and again to write
        raw, route = written(context.translation.body), context.translation.path
    asked = await read_asked(raw, turns)
    model, served = take(
        fleet, context, asked.model, _model_for(fleet, context, asked.model, lambda: read_question(raw))
    )
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
    model, served = take(fleet, context, asked, _model_for(fleet, context, asked, lambda: NO_QUESTION))
    if span is None or asked == served:  # vLLM takes a form without a model for its own
        return Put(model=model, body=raw)
    return Put(model=model, body=raw[: span[0]] + served.encode() + raw[span[1] :])


def take(fleet: Fleet, context: RequestContext, asked: str | None, model: str | None) -> tuple[str, str]:
    """Note which model a request is for; return it, and what its engine is asked for: the model or an adapter of it.

    Raises ApiError where nobody serves what is asked for, or the caller may not use it.
    """
    if model is None:
        raise nobody_serves(context, fleet.registry, asked or "")
    served = fleet.registry.served_name(asked, model)
    check_model(context, fleet.registry, model, served)
    context.model, context.served = model, served
    return model, served


def _model_for(fleet: Fleet, context: RequestContext, asked: str | None, read: Callable[[], Question]) -> str | None:
    """Return the model that is asked for, or the one that is chosen, of those that the caller may use, for who leaves
    it to us."""
    registry, default = fleet.registry, fleet.config.default_model
    if registry.named(asked) != "":
        return registry.resolve(asked)
    allowed = allowed_models(context, registry)
    models = {name: model for name, model in registry.models.items() if allowed is None or name in allowed}
    routing = fleet.config.routing
    if not models or (routing is None and default in models):
        return default
    ready = [name for name in fleet.ready_models() if name in models]
    choice = choose(routing or Routing(), read(), models, ready, default)
    context.route_reason = choice.reason
    return choice.model
