"""One request on its way through the gateway, and the set of those that are on their way."""

import asyncio
import logging
import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp import web

from gateway.events import log_event
from gateway.routes import QUIET_ROUTES, UNKNOWN
from gateway.sse import EventStream

CLIENT_LEFT = 499
"""Written to the log for a client that left before it was answered; nginx's number, never sent."""


@dataclass(slots=True, eq=False, kw_only=True)
class RequestContext:
    """What is known about one request so far."""

    request_id: str
    method: str
    route: str
    started: float = field(default_factory=time.monotonic)
    """Not the event loop's clock, which under uvloop stands still within a millisecond and longer."""
    duration_s: float = 0.0
    """Known at its end."""
    model: str | None = None
    """The served model that it is for: only canonical names get here, so labels of metrics stay few."""
    served: str | None = None
    """What the engine is asked for: the model, or an adapter of it."""
    status: int = 0
    error: str | None = None
    bytes_sent: int = 0
    first_byte: float | None = None
    is_cancelled: bool = False
    is_interrupted: bool = False
    is_cut: bool = False
    is_queued: bool = False
    """Whether it waits now for an engine that is being restarted."""
    was_queued: bool = False
    """Whether it ever did."""
    body_bytes: int = 0
    """Held of its body until it ends."""
    deadline: asyncio.Timeout | None = None
    out: web.StreamResponse | None = None
    """The answer, once its head has gone to the client: from then on no other status can be given."""
    events: EventStream | None = None

    def begin_answer(self, out: web.StreamResponse) -> None:
        """Note that the answer's head is about to go out."""
        self.out, self.status = out, out.status

    def sent(self, size: int) -> None:
        """Note bytes of the answer's body."""
        if self.first_byte is None:
            self.first_byte = time.monotonic()
        self.bytes_sent += size

    def extend(self, seconds: float) -> None:
        """Allow so much more time from now. A cut request gets none."""
        if self.deadline is not None and not self.is_cut:
            self.deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    def cut(self) -> None:
        """End the request now; its client is told why. For use by a gateway that stops."""
        self.is_cut = True
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time())

    @property
    def ttfb_s(self) -> float | None:
        """From its head to the first byte of its answer."""
        return None if self.first_byte is None else self.first_byte - self.started

    def log(self) -> None:
        """Write the access log line: never a word of the prompt or of the answer."""
        log_event(
            "request",
            level=logging.DEBUG if self.route in QUIET_ROUTES else logging.INFO,
            request_id=self.request_id,
            method=self.method,
            route=self.route,
            model=self.model or UNKNOWN,
            status=self.status,
            error=self.error,
            bytes=self.bytes_sent,
            events=None if self.events is None else self.events.events,
            ttfb_s=self.ttfb_s,
            duration_s=self.duration_s,
            cancelled=self.is_cancelled,
            held=self.was_queued or None,
            interrupted=self.is_interrupted or None,
        )


CURRENT: ContextVar[RequestContext] = ContextVar("request_context")
"""Of the request that the running task answers; aiohttp gives each request a task of its own."""


class RequestsInFlight:
    """All requests in flight: counted, and cut together when the gateway stops."""

    def __init__(self) -> None:
        self.is_draining = False
        """Whoever comes now comes over an old connection, and is answered: a refusal would be a failed request."""
        self.is_cut = False
        self.begun = 0
        self.body_bytes = 0
        """Of the bodies of all requests in flight."""
        self._open: set[RequestContext] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._open)

    def of(self, model: str) -> int:
        """How many of a served model are in flight."""
        return sum(context.model == model for context in self._open)

    def queued(self, model: str) -> int:
        """How many of them wait for its engine to be restarted."""
        return sum(context.model == model and context.is_queued for context in self._open)

    def begin(self, context: RequestContext) -> None:
        """Count a request as in flight."""
        self._open.add(context)
        self.begun += 1
        self._idle.clear()

    def hold_body(self, context: RequestContext, size: int) -> None:
        """Count bytes of a body that are held in memory until the request ends."""
        context.body_bytes += size
        self.body_bytes += size

    def finish(self, context: RequestContext) -> None:
        """Count a request as done, whatever became of it."""
        self._open.discard(context)
        self.hold_body(context, -context.body_bytes)
        if not self._open:
            self._idle.set()
        context.duration_s = time.monotonic() - context.started
        if context.is_cancelled:
            context.status = context.status or CLIENT_LEFT

    async def wait_idle(self, seconds: float) -> bool:
        """Wait until nothing is in flight; False if the time did not suffice."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    def cut_all(self) -> None:
        """End everything that is in flight, and refuse what comes."""
        self.is_cut = True
        for context in tuple(self._open):
            context.cut()
