"""Requests for a model whose engine is being restarted on purpose: they wait for it, a while and not too many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.app import Gateway
from gateway.errors import EngineLeavingError, model_not_found, model_restarting
from gateway.request_context import RequestContext
from gateway.upstream import Upstream

Answer = TypeVar("Answer")


async def asked_when_ready(
    gateway: Gateway, context: RequestContext, model: str, ask: Callable[[Upstream], Awaitable[Answer]]
) -> Answer:
    """Ask a model's engine; when it leaves for a restart before it has begun to answer, ask its successor.

    Raises ApiError when there is nothing to wait for, or when the wait was too long or too crowded. A client that
    leaves cancels the wait.
    """
    loop = asyncio.get_running_loop()
    until_s = loop.time() + gateway.fleet.config.timeouts.hold_s
    while True:
        upstream = gateway.fleet.upstreams.get(model)
        if upstream is None:  # a reload took it away while this waited
            raise model_not_found(model, gateway.fleet.upstreams)
        if (refusal := upstream.refusal()) and not upstream.is_restarting:
            raise refusal
        if refusal:
            await _wait(gateway, context, upstream, until_s)
            continue
        try:
            return await ask(upstream)
        except EngineLeavingError as leaving:
            if not upstream.is_restarting or loop.time() >= until_s:
                raise leaving.refusal from leaving.__cause__


async def _wait(gateway: Gateway, context: RequestContext, upstream: Upstream, until_s: float) -> None:
    """Wait until the engine's state changes, counted as waiting."""
    loop = asyncio.get_running_loop()
    config, name = gateway.fleet.config, upstream.name
    if loop.time() >= until_s or (not context.was_queued and gateway.requests.queued(name) >= config.max_held):
        raise model_restarting(name)
    if not context.was_queued:
        context.was_queued = True
        gateway.metrics.count_queued(name)
    context.is_queued = True
    try:
        async with asyncio.timeout_at(until_s):
            await upstream.changed()
    except TimeoutError:
        raise model_restarting(name) from None
    finally:
        context.is_queued = False
    context.extend(config.timeouts.response_s)  # the wait is ours: the engine has all of its time
