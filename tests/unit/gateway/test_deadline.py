"""The deadline of a request moves with it: never earlier than promised, and at little cost for each event."""

import asyncio

from gateway.request_context import RequestContext

ROUNDING_S = 1e-9
"""uvloop's clock moves in whole milliseconds, so that a bound can be met to the last bit."""


async def test_a_deadline_is_kept_to_a_fiftieth_and_never_early() -> None:
    loop = asyncio.get_running_loop()
    context = RequestContext(request_id="r", method="POST", route="/")
    async with asyncio.timeout(None) as context.deadline:
        moved, before = 0, None
        for _ in range(10_000):
            context.extend(60.0)
            end = context.deadline.when()
            assert end is not None
            assert 59.9 < end - loop.time() <= 61.2 + ROUNDING_S
            moved, before = moved + (end != before), end
        assert moved <= 2, "most events move nothing"
        context.extend(600.0)
        assert 599.9 < (context.deadline.when() or 0) - loop.time() <= 612 + ROUNDING_S
        context.extend(1.0)
        assert 0.9 < (context.deadline.when() or 0) - loop.time() <= 1.02 + ROUNDING_S, (
            "what was allowed before is taken back"
        )
        context.is_cut = True
        context.extend(60.0)
        assert (context.deadline.when() or 0) - loop.time() <= 1.02 + ROUNDING_S
