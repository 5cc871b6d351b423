"""Requests for a model whose engine is being restarted on purpose: they wait for it, a while and not too many."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from gateway.errors import EngineLeavingError, model_not_found, model_restarting
from gateway.exchange import Exchange
from gateway.gateway import Gateway
from gateway.upstream import Upstream

Answer = TypeVar("Answer")


async def asked_when_ready(
    gateway: Gateway, exchange: Exchange, model: str, ask: Callable[[Upstream], Awaitable[Answer]]
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
            await _wait(gateway, exchange, upstream, until_s)
            continue
        try:
            return await ask(upstream)
        except EngineLeavingError as leaving:
            if not upstream.is_restarting or loop.time() >= until_s:
                raise leaving.refusal from leaving.__cause__


async def _wait(gateway: Gateway, exchange: Exchange, upstream: Upstream, until_s: float) -> None:
    """Wait until the engine's state changes, counted as waiting."""
    loop = asyncio.get_running_loop()
    stats, timeouts = gateway.stats.of(upstream.name), gateway.fleet.config.timeouts
    if loop.time() >= until_s or (not exchange.was_held and stats.held >= gateway.fleet.config.max_held):
        raise model_restarting(upstream.name)
    if not exchange.was_held:
        exchange.was_held = True
        stats.held_total += 1
        gateway.metrics.held_total.labels(upstream.name).inc()
    stats.held += 1
    try:
        async with asyncio.timeout_at(until_s):
            await upstream.changed()
    except TimeoutError:
        raise model_restarting(upstream.name) from None
    finally:
        stats.held -= 1
    exchange.extend(timeouts.response_s)  # the wait is ours: the engine has all of its time
