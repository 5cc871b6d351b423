"""One request on its way through the gateway, and the set of those that are on their way."""

import asyncio
import logging
import time
from dataclasses import dataclass, field

from aiohttp import web

from gateway.events import log_event
from gateway.metrics import Metrics
from gateway.routes import QUIET_ROUTES, UNKNOWN
from gateway.sse import EventStream
from gateway.stats import ModelStats, Stats

CLIENT_LEFT = 499
"""Written to the log for a client that left before it was answered; nginx's number, never sent."""


@dataclass(slots=True, eq=False, kw_only=True)
class Exchange:
    """What is known about one request so far."""

    request_id: str
    method: str
    route: str
    started: float = field(default_factory=time.monotonic)
    """Not the event loop's clock, which under uvloop stands still within a millisecond and longer."""
    model: str | None = None
    served: str | None = None
    """What the engine is asked for: the model, or an adapter of it."""
    status: int = 0
    error: str | None = None
    bytes_sent: int = 0
    first_byte: float | None = None
    is_cancelled: bool = False
    is_interrupted: bool = False
    is_cut: bool = False
    was_held: bool = False
    """Whether it had to wait for an engine that was being restarted."""
    deadline: asyncio.Timeout | None = None
    out: web.StreamResponse | None = None
    """The answer, once its head has gone to the client: from then on no other status can be given."""
    events: EventStream | None = None
    stats: ModelStats | None = None

    def begin_answer(self, out: web.StreamResponse) -> None:
        """Note that the answer's head is about to go out."""
        self.out, self.status = out, out.status

    def sent(self, size: int) -> None:
        """Note bytes of the answer's body."""
        if self.first_byte is None:
            self.first_byte = time.monotonic()
        self.bytes_sent += size

    def extend(self, seconds: float) -> None:
        """Allow so much more time from now. A cut exchange gets none."""
        if self.deadline is not None and not self.is_cut:
            self.deadline.reschedule(asyncio.get_running_loop().time() + seconds)

    def cut(self) -> None:
        """End the exchange now; its client is told why. For use by a gateway that stops."""
        self.is_cut = True
        if self.deadline is not None and not self.deadline.expired():
            self.deadline.reschedule(asyncio.get_running_loop().time())

    def log(self, duration_s: float) -> None:
        """Write the access log line: never a word of the prompt or of the answer."""
        ttfb_s = None if self.first_byte is None else self.first_byte - self.started
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
            ttfb_s=ttfb_s,
            duration_s=duration_s,
            cancelled=self.is_cancelled,
            held=self.was_held or None,
            interrupted=self.is_interrupted or None,
        )


class Exchanges:
    """All requests in flight: counted, and cut together when the gateway stops."""

    def __init__(self, stats: Stats, metrics: Metrics) -> None:
        self.is_draining = False
        """Whoever comes now comes over an old connection, and is answered: a refusal would be a failed request."""
        self.is_cut = False
        self.begun = 0
        self._stats = stats
        self._metrics = metrics
        self._open: set[Exchange] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, exchange: Exchange) -> None:
        """Count a request as in flight."""
        self._open.add(exchange)
        self.begun += 1
        self._idle.clear()

    def attribute(self, exchange: Exchange, model: str) -> None:
        """Count a request for a served model; only canonical names get here, so labels stay few."""
        exchange.model = model
        exchange.stats = self._stats.of(model)
        exchange.stats.in_flight += 1

    def finish(self, exchange: Exchange) -> None:
        """Count a request as done, whatever became of it, and log it."""
        self._open.discard(exchange)
        if not self._open:
            self._idle.set()
        if exchange.is_cancelled:
            exchange.status = exchange.status or CLIENT_LEFT
        duration_s = time.monotonic() - exchange.started
        ttfb_s = None if exchange.first_byte is None else exchange.first_byte - exchange.started
        if exchange.stats is not None:
            exchange.stats.in_flight -= 1
            exchange.stats.count(
                duration_s=duration_s,
                ttfb_s=ttfb_s,
                is_error=exchange.status >= 400 and not exchange.is_cancelled,
                is_cancelled=exchange.is_cancelled,
                is_interrupted=exchange.is_interrupted,
                events=0 if exchange.events is None else exchange.events.events,
                size=exchange.bytes_sent,
            )
        if exchange.route not in QUIET_ROUTES:
            self._metrics.count(exchange.model or UNKNOWN, exchange.route, exchange.status, duration_s, ttfb_s)
            if exchange.is_cancelled:
                self._metrics.cancelled.labels(exchange.model or UNKNOWN, exchange.route).inc()
            if exchange.is_interrupted:
                self._metrics.interrupted.labels(exchange.model or UNKNOWN, exchange.route).inc()
        exchange.log(duration_s)

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
        for exchange in tuple(self._open):
            exchange.cut()
