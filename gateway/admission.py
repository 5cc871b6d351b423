"""Who may ask an engine now: at most so many at once, the others in turn, and nobody waits for ever.

This is the one place where a request waits for an engine, be it busy, being restarted on purpose or loaded on demand.
"""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from gateway.errors import (
    ApiError,
    EngineLeavingError,
    model_loading,
    model_not_loaded,
    model_restarting,
    queue_full,
    queue_too_slow,
    timeout_too_short,
)
from gateway.fair_queue import FairQueue
from gateway.pace import Pace
from gateway.request_context import RequestContext
from gateway.tenancy import nobody_serves

if TYPE_CHECKING:
    from gateway.app import Gateway
    from gateway.upstream import Upstream

Answer = TypeVar("Answer")
_NUMBERS = itertools.count()


class Cause(Enum):
    """What a request waits for."""

    TURN = "turn"
    RESTART = "restart"
    LOAD = "load"


@dataclass(slots=True, eq=False, kw_only=True)
class Ticket:
    """One request's place in line, and later at the engine."""

    caller: str = ""
    number: int = field(default_factory=lambda: next(_NUMBERS))
    is_called: bool = False
    """It has a place at the engine."""
    is_displaced: bool = False
    """Too many wait, and it was the one to refuse."""
    has_waited: bool = False
    """It was taken in once, and is not refused for the length of the line when it comes back."""
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    """Something about it has changed: look again."""


class Admission:
    """The places at one engine and the line before them. Belongs to one event loop; nothing here waits.

    `limit` None: as many as come.
    """

    def __init__(self, *, limit: int | None, max_waiting: int) -> None:
        self.limit = limit
        self.max_waiting = max_waiting
        self.running = 0
        self.pace = Pace()
        self._line: FairQueue[Ticket] = FairQueue()
        self._is_open = False

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._line)

    @property
    def _is_full(self) -> bool:
        return self.limit is not None and self.running >= self.limit

    @contextlib.contextmanager
    def place(self, ticket: Ticket) -> Iterator[None]:
        """Stand in line, and then at the engine, for as long as the block lasts, however it ends."""
        if self._is_open and not (self._line or self._is_full):  # it passes nobody
            ticket.is_called = True
            self.running += 1
        else:
            self._line.add(ticket)
            self._call()
        if not (ticket.is_called or ticket.has_waited) and self.waiting > self.max_waiting:
            self._displace(self._line.newest_of_most(ticket.caller))
        try:
            yield
        finally:
            if ticket.is_called:
                ticket.is_called = False
                self.running -= 1
                self._call()
            else:
                self._line.discard(ticket)

    def look_again(self, *, is_open: bool) -> None:
        """Call whom there is a place for, and have everybody in line see what has changed."""
        self._is_open = is_open
        self._call()
        for ticket in self._line:
            ticket.woken.set()

    def retry_after_s(self) -> int:
        """When to ask again after a refusal."""
        return self.pace.retry_after_s(self.waiting, self.limit or 1)

    def soonest_end_s(self, caller: str) -> float | None:
        """When a request of this caller that came now would end at the earliest; None: at once, or nobody knows."""
        if not self._is_full or self.limit is None:
            return None
        return self.pace.soonest_end_s(self._line.ahead_of_new(caller), self.limit)

    def _call(self) -> None:
        while self._is_open and self._line and not self._is_full:
            ticket = self._line.next()
            ticket.is_called = True
            self.running += 1
            ticket.woken.set()

    def _displace(self, ticket: Ticket) -> None:
        self._line.discard(ticket)
        ticket.is_displaced = True
        ticket.woken.set()


async def asked_in_turn(
    gateway: "Gateway",
    context: RequestContext,
    model: str,
    ask: "Callable[[Upstream], Awaitable[Answer]]",
    *,
    timeout_s: float | None = None,
) -> Answer:
    """Ask a model's engine when it is this request's turn; when it leaves for a restart before it has begun to answer,
    ask its successor. `timeout_s` is how long the client waits for the whole of it, as far as it says.

    Raises ApiError when there is nothing to wait for, or when the wait was too long, too crowded or in vain. A client
    that leaves cancels the wait, and frees its place.
    """
    wait = _Wait(gateway, context, model)
    while True:
        upstream = wait.current()
        admission = upstream.admission_for(is_light=context.is_light)
        if not wait.ticket.has_waited:
            _refuse_if_late(context, admission, timeout_s)
        with admission.place(wait.ticket):
            upstream = await wait.turn(admission)
            if upstream.refusal():
                continue  # it began to restart between the call and now
            context.extend(upstream.response_s)  # the wait was ours: the engine has all of its time
            began = time.monotonic()
            try:
                answer = await ask(upstream)
            except EngineLeavingError as leaving:
                if not upstream.is_awaited or wait.is_over():
                    raise leaving.refusal from leaving.__cause__
                context.asked = 0.0  # it did nothing
                continue
            if context.status < 400 and not context.is_interrupted:
                admission.pace.note(time.monotonic() - began)
            return answer


def _refuse_if_late(context: RequestContext, admission: Admission, timeout_s: float | None) -> None:
    soonest_s = admission.soonest_end_s(context.caller)
    if timeout_s is not None and soonest_s is not None and context.age_s + soonest_s > timeout_s:
        raise timeout_too_short(context.model or "", timeout_s, soonest_s, admission.retry_after_s())


class _Wait:
    """One request's patience: each cause of a wait has its own time, and all of them together have an end."""

    def __init__(self, gateway: "Gateway", context: RequestContext, model: str) -> None:
        self._gateway, self._context, self._model = gateway, context, model
        self.ticket = Ticket(caller=context.caller)
        timeouts = gateway.fleet.config.timeouts
        self._last_s = _now_s() + timeouts.queue_s + timeouts.hold_s
        upstream = gateway.fleet.upstreams.get(model)
        if upstream is not None and upstream.is_on_demand:
            self._last_s += timeouts.load_s
        self._until_s = self._last_s
        self._cause: Cause | None = None

    def current(self) -> "Upstream":
        """Return the model's engine, busy or coming back. Raises ApiError if there is nothing to wait for."""
        upstream = self._gateway.fleet.upstreams.get(self._model)
        if upstream is None:  # a reload took it away while this waited
            raise nobody_serves(self._context, self._gateway.fleet.registry, self._model)
        if (refusal := upstream.refusal()) and not upstream.is_awaited:
            raise refusal
        return upstream

    def is_over(self) -> bool:
        """Whether all time is used up."""
        return _now_s() >= self._until_s

    async def turn(self, admission: Admission) -> "Upstream":
        """Wait for a place at the engine, and return that."""
        ticket = self.ticket
        while True:
            upstream = self.current()
            if ticket.is_called:
                return upstream
            if ticket.is_displaced:
                raise self._too_many(upstream, admission)
            ticket.has_waited = True
            self._is_waiting_for(_cause_of(upstream))
            try:
                with self._context.waiting():
                    async with asyncio.timeout_at(self._until_s):
                        await ticket.woken.wait()
            except TimeoutError:
                if not ticket.is_called:  # it may have been, in the very turn in which its time was up
                    raise self._too_late(upstream, admission) from None
            ticket.woken.clear()

    def _is_waiting_for(self, cause: Cause) -> None:
        if cause is self._cause:
            return
        self._cause = cause
        timeouts = self._gateway.fleet.config.timeouts
        longest_s = {Cause.LOAD: timeouts.load_s, Cause.RESTART: timeouts.hold_s, Cause.TURN: timeouts.queue_s}[cause]
        self._until_s = min(self._last_s, _now_s() + longest_s)
        self._context.extend(self._until_s - _now_s() + timeouts.response_s)
        if cause is Cause.LOAD:
            self._gateway.loader.wake()
        if cause is Cause.RESTART and not self._context.was_held:
            self._context.was_held = True
            self._gateway.metrics.count_held(self._model)

    def _too_many(self, upstream: "Upstream", admission: Admission) -> ApiError:
        if upstream.is_awaited:
            return model_loading(self._model) if upstream.is_on_demand else model_restarting(self._model)
        return queue_full(self._model, admission.waiting, admission.retry_after_s())

    def _too_late(self, upstream: "Upstream", admission: Admission) -> ApiError:
        if upstream.is_restarting:
            return model_restarting(self._model)
        if upstream.is_to_be_loaded:
            return model_not_loaded(self._model)
        return queue_too_slow(self._model, admission.retry_after_s())


def _cause_of(upstream: "Upstream") -> Cause:
    if upstream.is_to_be_loaded:
        return Cause.LOAD
    return Cause.RESTART if upstream.is_restarting else Cause.TURN


def _now_s() -> float:
    return asyncio.get_running_loop().time()
