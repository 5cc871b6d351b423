"""The gateway's state: its engines, the requests in flight, and what is counted about them."""

import time
from contextvars import ContextVar
from dataclasses import dataclass, field

from aiohttp import web

from gateway.exchange import Exchange, Exchanges
from gateway.fleet import Fleet
from gateway.keys import Keys
from gateway.metrics import Metrics
from gateway.stats import Stats


@dataclass(slots=True, eq=False)
class Gateway:
    """Everything that handlers share. One per process; tests make many."""

    fleet: Fleet
    keys: Keys = field(default_factory=lambda: Keys(None))
    stats: Stats = field(default_factory=Stats)
    metrics: Metrics = field(default_factory=Metrics)
    exchanges: Exchanges = field(init=False)
    started: float = field(default_factory=time.monotonic)
    created: int = field(default_factory=lambda: int(time.time()))

    def __post_init__(self) -> None:
        self.exchanges = Exchanges(self.stats, self.metrics)

    @property
    def is_ready(self) -> bool:
        """Whether new requests have a chance here."""
        return bool(self.fleet.ready_models()) and not self.exchanges.is_draining


GATEWAY = web.AppKey("gateway", Gateway)
CURRENT: ContextVar[Exchange] = ContextVar("exchange")
"""The exchange of the request that the running task answers; aiohttp gives each request a task of its own."""
