"""One request on its way through the gateway, and the set of those that are on their way."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp import web

from agent.client_keys import ClientKey
from gateway.events import log_event
from gateway.ollama.answering import Times
from gateway.ollama.translation import Translation
from gateway.protocols.api import OPENAI, ApiProtocol
from gateway.routes import LIGHT_ROUTES, QUIET_ROUTES, UNKNOWN
from gateway.sse import EventStream
from gateway.tokens import Tokens

CLIENT_LEFT = 499
"""Written to the log for a client that left before it was answered; nginx's number, never sent."""

SLACK = 0.02
"""The part by which a deadline may be late: to move it for every event of a stream costs more than the event."""


@dataclass(slots=True, eq=False, kw_only=True)
class RequestContext:
    """What is known about one request so far."""

    request_id: str
    method: str
    route: str
    protocol: ApiProtocol = OPENAI
    translation: Translation | None = None
    """How it is put to an engine, where engines do not speak its API."""
    started: float = field(default_factory=time.monotonic)
    """Not the event loop's clock, which under uvloop stands still within a millisecond and longer."""
    asked: float = 0.0
    """When an engine was asked last."""
    duration_s: float = 0.0
    """Known at its end."""
    model: str | None = None
    """The served model that it is for: only canonical names get here, so labels of metrics stay few."""
    caller: str = ""
    """The name of the key it came with; nothing where no key is asked for. Callers have their turns one by one."""
    key: ClientKey | None = None
    limit_headers: Mapping[str, str] = field(default_factory=dict)
    """What its answer says of its key's limits."""
    tokens: Tokens | None = None
    """What it took, where that counts for somebody."""
    asked_bytes: int = 0
    """The length of its body."""
    served: str | None = None
    """What the engine is asked for: the model, or an adapter of it."""
    route_reason: str | None = None
    """Why the rules chose the model, where the client left it to them."""
    status: int = 0
    error: str | None = None
    bytes_sent: int = 0
    first_byte: float | None = None
    spoke: float = 0.0
    """When bytes of the answer last went to the client."""
    is_cancelled: bool = False
    is_interrupted: bool = False
    is_cut: bool = False
    was_held: bool = False
    """Whether it has waited for an engine that was being restarted."""
    waited_s: float = 0.0
    """For its turn, or for such an engine."""
    body_bytes: int = 0
    """Held of its body until it ends."""
    deadline: asyncio.Timeout | None = None
    out: web.StreamResponse | None = None
    """The answer, once its head has gone to the client: from then on no other status can be given."""
    events: EventStream | None = None

    @property
    def age_s(self) -> float:
        """How long ago it began."""
        return time.monotonic() - self.started

    @property
    def is_light(self) -> bool:
        """Whether no engine computes anything for it."""
        return self.route in LIGHT_ROUTES or (self.translation is not None and self.translation.is_load)

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Count the time of a block as waited."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.waited_s += time.monotonic() - began

    def begin_answer(self, out: web.StreamResponse) -> None:
        """Note that the answer's head is about to go out."""
        self.out, self.status = out, out.status

    def sent(self, size: int) -> None:
        """Note bytes of the answer's body."""
        self.spoke = time.monotonic()
        if self.first_byte is None:
            self.first_byte = self.spoke
        self.bytes_sent += size

    def times(self) -> Times:
        """Return when what happened to it, for Ollama's clients."""
        return Times(began=self.started, asked=self.asked, clock=time.monotonic)

    def extend(self, seconds: float) -> None:
        """Allow so much more time from now, and up to SLACK more. A cut request gets none."""
        if self.deadline is None or self.is_cut:
            return
        end, present = asyncio.get_running_loop().time() + seconds, self.deadline.when()
        if present is None or not end <= present <= end + SLACK * seconds:
            self.deadline.reschedule(end + SLACK * seconds)

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
            caller=self.caller or None,
            status=self.status,
            error=self.error,
            bytes=self.bytes_sent,
            events=None if self.events is None else self.events.events,
            ttfb_s=self.ttfb_s,
            duration_s=self.duration_s,
            cancelled=self.is_cancelled,
            held=self.was_held or None,
            waited_s=self.waited_s or None,
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
