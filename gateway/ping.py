"""Signs of life to the client of a stream whose engine is silent: SSE comments, which no client takes for an event.

The first one sends the head with status 200: what goes wrong after it can only be told as an error event. Until then
nothing has gone out, and every failure has its status.
"""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

from aiohttp import web

from gateway.request_context import RequestContext

PING = b": ping\n\n"


@contextlib.asynccontextmanager
async def pinging(
    context: RequestContext, ping_s: float, begin: Callable[[], Awaitable[web.StreamResponse]]
) -> AsyncIterator[None]:
    """Write a comment after each `ping_s` of silence for as long as the block lasts.

    `begin` sends the head of a stream for which no engine has sent one yet.
    """
    pinger = asyncio.create_task(_ping(context, ping_s, begin), name="ping")
    try:
        yield
    finally:
        pinger.cancel()
        await asyncio.wait([pinger])


async def _ping(context: RequestContext, ping_s: float, begin: Callable[[], Awaitable[web.StreamResponse]]) -> None:
    silent_since = context.started
    with contextlib.suppress(ConnectionError):  # the client left, which ends the request by other ways
        while True:
            silent_since = max(silent_since, context.spoke)
            rest_s = silent_since + ping_s - time.monotonic()
            if rest_s > 0:
                await asyncio.sleep(rest_s)
                continue
            out = await begin() if context.out is None else context.out
            if context.events is None or out is not context.out:
                return  # a whole answer is on its way
            if not context.events.is_mid_event:
                await out.write(PING)
            silent_since = time.monotonic()
