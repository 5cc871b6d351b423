"""Models on demand at the edge: the roster is told what is seen, and agent/starter.py carries out what it decides.

The gateway itself may start nothing. Behind one Unix socket, which only its account can open, is a program that starts
and stops the engines of models on demand and does nothing else.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

from agent.message import MessageError
from agent.running import StarterAnswer, StarterOrder
from gateway.events import log_event, log_failure
from gateway.on_demand import Order, Phase, Roster, Terms
from gateway.upstream import Upstream

if TYPE_CHECKING:
    from gateway.app import Gateway

TICK_S = 1.0
BRISK_S = 0.5
"""While a model comes or goes: somebody may wait for it."""
LOOK_S = 5.0
"""Between two questions to the runner while nothing happens: engines are started and stopped by hand as well."""
ANSWER_S = 30.0
"""For the starter, which waits for no engine."""
ANSWER_BYTES = 64 * 1024


class Loader:
    """Has the models on demand started and stopped. One per gateway; `running()` works it."""

    def __init__(self, gateway: "Gateway") -> None:
        self._gateway = gateway
        self.roster = Roster()
        self._woken = asyncio.Event()
        self._lock = asyncio.Lock()
        """One order at a time: what is said of processes has to come after the orders before it."""
        self._begun: set[str] = set()
        """Models with an order that is decided, and that the starter has not got yet."""
        self._looked_s = float("-inf")
        self._is_silent = False

    @contextlib.asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look after the models for as long as the block lasts."""
        work = asyncio.create_task(self._work(), name="loader")
        try:
            yield
        finally:
            work.cancel()
            await asyncio.wait([work])

    def wake(self) -> None:
        """Look again now: somebody waits for a model that is not there."""
        self._woken.set()

    async def unload(self, names: list[str]) -> list[str]:
        """Stop those of the models that nobody uses; return their names."""
        async with self._lock:
            self._notice()
            orders = [self.roster.unload(name, _now_s()) for name in names if name in self.roster.residents]
            given = [order for order in orders if order is not None]
            await self._carry_out(given)
        return [name for name in (order.name for order in given) if not self.roster.residents[name].is_open]

    async def _work(self) -> None:
        while True:
            try:
                async with self._lock:
                    await self._turn()
            except Exception:  # the loop is what brings models back: it must outlive a bug
                log_failure("loader.failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(BRISK_S if self._is_moving else TICK_S):
                    await self._woken.wait()
            self._woken.clear()

    @property
    def _is_moving(self) -> bool:
        rest = (Phase.READY, Phase.STOPPED)
        return any(one.phase not in rest or one.wanted_s is not None for one in self.roster.residents.values())

    async def _turn(self) -> None:
        """Look once at everything, and do what follows."""
        self._adopt()
        if not self.roster.residents:
            return
        if self._is_moving or _now_s() - self._looked_s >= LOOK_S:
            await self._ask(StarterOrder(do="look"))
        self._notice()
        await self._carry_out(self.roster.decide(_now_s(), is_ending=self._gateway.requests.is_draining))

    def _adopt(self) -> None:
        config, upstreams = self._gateway.fleet.config, self._gateway.fleet.upstreams
        terms = {
            model.name: Terms(**model.on_demand.model_dump()) for model in config.models if model.on_demand is not None
        }
        budget_bytes = config.memory.budget_bytes if config.memory else 0
        self.roster.adopt(terms, budget_bytes=budget_bytes, load_s=config.timeouts.load_s)
        for name, upstream in upstreams.items():
            upstream.resident = self.roster.residents.get(name)

    def _notice(self) -> None:
        for name, one in self._present():
            running = one.admission.running + one.light.running
            self.roster.noticed(name, state=one.state, running=running, waiting=one.waiting, now_s=_now_s())

    def _have_upstreams_look(self) -> None:
        for _, upstream in self._present():
            upstream.look_at_resident()

    def _present(self) -> list[tuple[str, Upstream]]:
        return [(name, each) for name, each in self._gateway.fleet.upstreams.items() if each.resident is not None]

    async def _carry_out(self, orders: list[Order]) -> None:
        self._begun = {order.name for order in orders}
        self._have_upstreams_look()
        for order in orders:
            await self._do(order)

    async def _do(self, order: Order) -> None:
        name, upstream = order.name, self._gateway.fleet.upstreams.get(order.name)
        if order.do == "stop" and order.why != "failed" and upstream is not None and await upstream.is_answering():
            self.roster.is_busy_after_all(name, _now_s())  # for another gateway, or for somebody on the host
            self._begun.discard(name)
            self._have_upstreams_look()
            return
        log_event(f"model.{order.do}", model=name, why=order.why)
        self._gateway.metrics.count_order(order)
        await self._ask(StarterOrder(do=order.do, name=name))

    async def _ask(self, order: StarterOrder) -> None:
        """Put an order to the starter, and take in what it says of every process."""
        memory, roster = self._gateway.fleet.config.memory, self.roster
        self._begun.discard(order.name)
        try:
            if memory is None:
                raise OSError("no starter is configured")
            answer = await ask(memory.starter, order)
        except (OSError, TimeoutError, MessageError) as error:
            if not self._is_silent:
                log_event("loader.no_starter", reason=type(error).__name__)
            self._is_silent = True
            if order.name in roster.residents:
                roster.not_done(order.name, _now_s())
            return
        self._is_silent = False
        self._looked_s = _now_s()
        more: list[Order] = []
        for name, process in answer.engines.items():
            if name in roster.residents and name not in self._begun:
                more += roster.told(name, process, _now_s())
        if answer.refusal is not None and order.name in roster.residents:
            log_event("loader.refused", model=order.name, reason=answer.refusal)
            roster.not_done(order.name, _now_s())
        self._have_upstreams_look()
        for each in more:
            await self._do(each)


async def ask(starter: Path, order: StarterOrder) -> StarterAnswer:
    """Put one order to the starter. Raises OSError, TimeoutError or MessageError."""
    async with asyncio.timeout(ANSWER_S):
        reader, writer = await asyncio.open_unix_connection(str(starter), limit=ANSWER_BYTES)
        try:
            writer.write(order.to_json().encode() + b"\n")
            await writer.drain()
            try:
                line = await reader.readline()
            except ValueError as error:
                raise MessageError(f"the starter said too much: {error}") from error
        finally:
            writer.close()
    return StarterAnswer.from_json(line)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
