"""What each caller used of each model: counted in memory, added to the day's file every few seconds and at the end."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from agent.usage import UsageDay, UsageRow, add, day_of
from gateway.errors import ENGINE_REFUSED
from gateway.events import log_event
from gateway.form import FORM_ROUTES
from gateway.limits import day_at
from gateway.request_context import RequestContext
from gateway.routes import UNKNOWN
from gateway.tokens import Tokens, estimate

WRITE_S = 10.0
"""So much is lost at most when the process is killed. A stop and a restart lose nothing."""

Rows = dict[tuple[str, str], UsageRow]
"""By key and model, so there are never more than the configuration has."""


class Usage:
    """The counts of one gateway. Without a directory they live as long as it does."""

    def __init__(self, directory: Path | None = None, clock: Callable[[], float] = time.time) -> None:
        self.error: str | None = None
        """Why nothing can be written at present. It is tried again, and nothing is lost meanwhile."""
        self._directory = directory
        self._clock = clock
        self._unwritten: dict[str, Rows] = {}
        """By day."""
        self._day = ""
        self._used: dict[str, dict[str, UsageRow]] = {}
        """What each caller used of each model on that day, as far as this gateway knows."""
        self._is_over = asyncio.Event()

    def recall(self) -> None:
        """Read what the present day has already."""
        self._turn_page()
        if self._directory is not None:
            try:
                self._learn(day_of(self._directory, self._day))
            except OSError as error:
                self._failed(error)

    def tokens_today(self, caller: str) -> int:
        """Return what a caller has used since midnight, in UTC."""
        return sum(row.prompt_tokens + row.completion_tokens for row in self.today(caller))

    def today(self, caller: str) -> Collection[UsageRow]:
        """Return what a caller used of each model since then."""
        self._turn_page()
        return self._used.get(caller, {}).values()

    def count(self, context: RequestContext, longest: int | None) -> None:
        """Count a caller's finished request; `longest` is the context of its model, in tokens."""
        if not context.caller or context.method != "POST":
            return
        self._turn_page()
        row = usage_of(context, longest)
        self._keep_unwritten(self._day, (row,))
        self._note((row,))

    async def keep(self) -> None:
        """Write every few seconds until this is closed, and then once more."""
        while not self._is_over.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WRITE_S):
                    await self._is_over.wait()
            await self.write()

    def close(self) -> None:
        """End `keep`. Never cancel it: what is being written would be written again, and count twice."""
        self._is_over.set()

    async def write(self) -> None:
        """Add what is not written yet to its day's file."""
        directory = self._directory
        if directory is None:
            self._unwritten.clear()
            return
        for day in tuple(self._unwritten):
            rows = self._unwritten.pop(day).values()
            try:
                total = await asyncio.to_thread(add, directory, day, rows)
            except OSError as error:
                self._keep_unwritten(day, rows)
                self._failed(error)
            else:
                self.error = None
                self._learn(total)

    def _keep_unwritten(self, day: str, rows: Iterable[UsageRow]) -> None:
        kept = self._unwritten.setdefault(day, {})
        for row in rows:
            before = kept.get((row.key, row.model))
            kept[row.key, row.model] = row if before is None else before.plus(row)

    def _failed(self, error: OSError) -> None:
        reason = error.strerror or type(error).__name__
        if self.error != reason:
            log_event("gateway.usage_unwritten", reason=reason)
        self.error = reason

    def _learn(self, total: UsageDay) -> None:
        """Take over what the file says of today: another gateway may have added to it."""
        if total.day == self._day:
            self._used = {}
            self._note((*total.rows, *self._unwritten.get(self._day, {}).values()))

    def _note(self, rows: Iterable[UsageRow]) -> None:
        for row in rows:
            used = self._used.setdefault(row.key, {})
            before = used.get(row.model)
            used[row.model] = row if before is None else before.plus(row)

    def _turn_page(self) -> None:
        if (day := day_at(self._clock())) != self._day:
            self._day, self._used = day, {}


def usage_of(context: RequestContext, longest: int | None) -> UsageRow:
    """Return what one finished request counts for."""
    tokens = context.tokens or Tokens()
    prompt, completion, events = tokens.prompt, tokens.completion, context.events
    is_estimated = _is_untold(context, tokens)
    if is_estimated:
        prompt, completion = estimate(events, body_bytes=context.asked_bytes, longest=longest)
    return UsageRow(
        key=context.caller,
        model=context.model or UNKNOWN,
        requests=1,
        errors=int(context.status >= 400 and not context.is_cancelled),
        prompt_tokens=prompt,
        completion_tokens=completion,
        estimated=int(is_estimated),
    )


def _is_untold(context: RequestContext, tokens: Tokens) -> bool:
    """Whether an engine worked on a request and could not say how much: a stream without counts, or one that was left.

    An engine that was not asked yet, or that refused, did not work; a ping may have begun such a stream all the same.
    """
    if tokens.is_told or not context.asked or context.is_light or context.error == ENGINE_REFUSED:
        return False
    if context.route in FORM_ROUTES:  # recordings are no tokens
        return False
    return context.is_cancelled or (context.events is not None and context.status == 200)
