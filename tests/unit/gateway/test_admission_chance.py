"""Thousands of arrivals, departures, restarts and reloads in a seeded order, on a clock that jumps: nothing is lost."""

import asyncio
import random
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from gateway.admission import Admission, asked_in_turn
from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.config_file import LoadedConfig
from gateway.errors import ApiError, EngineLeavingError, upstream_failed
from gateway.fleet import Fleet
from gateway.probe import EngineState, State
from gateway.request_context import RequestContext
from gateway.upstream import Upstream
from tests.unit.gateway.test_stage import CHAT

QUEUE_S, HOLD_S, MOST = 20.0, 30.0, 6
REFUSALS = {"queue_full", "queue_timeout", "model_restarting", "model_unreachable", "model_loading", "model_not_found"}


class JumpingClock(asyncio.SelectorEventLoop):
    """Nothing takes time but timers: when all have run, it is as late as the next one says."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        loop: Any = self
        if not loop._ready and loop._scheduled:
            self.now_s = max(self.now_s, loop._scheduled[0].when())
        loop.__class__.__base__._run_once(self)


def config(**model: Any) -> GatewayConfig:
    served = {"name": "a", "socket": "/a.sock", "concurrency": 4, **model}
    timeouts = {"queue_s": QUEUE_S, "hold_s": HOLD_S}
    return GatewayConfig.model_validate(
        {"listen": [{"port": 0}], "default_model": "a", "models": [served], "max_held": 12, "timeouts": timeouts}
    )


class Drama:
    """A gateway whose engine is played: what happens to it is decided by chance, and every promise is checked."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - the same play each time
        self.gateway = Gateway(Fleet(LoadedConfig(config=config(), digest="")))
        self.upstream = self.raised(config())
        self.outcomes: Counter[str] = Counter()
        self.numbers: Iterator[int] = iter(range(10**9))
        self.begun: dict[str, int] = {}
        self.asked: set[int] = set()
        self.longest_wait_s = 0.0
        self.at_once: Counter[Admission] = Counter()

    def raised(self, adopted: GatewayConfig) -> Upstream:
        upstream = Upstream(adopted.models[0], adopted)
        self.gateway.fleet.upstreams = {"a": upstream}
        upstream._enter(EngineState(state=State.READY))
        return upstream

    async def ask(self, upstream: Upstream, number: int, context: RequestContext, entered_s: float) -> str:
        """The engine's side of one request."""
        loop = asyncio.get_running_loop()
        assert upstream.state is State.READY
        assert upstream is self.gateway.fleet.upstreams["a"], "asked at an engine that a reload took away"
        admission = upstream.admission
        assert admission.running <= (admission.limit or 0)
        if number not in self.asked:  # one that its engine sent back has its place already
            self.asked.add(number)
            self.longest_wait_s = max(self.longest_wait_s, loop.time() - entered_s)
            assert number > self.begun.get(context.caller, -1), "overtaken by a later one of the same caller"
            self.begun[context.caller] = number
        self.at_once[admission] += 1
        assert self.at_once[admission] <= MOST
        try:
            await asyncio.sleep(self.chance.choice((0.0, 0.0, 0.5, 2.0, 5.0)))
            if upstream.state is not State.READY and self.chance.random() < 0.5:
                raise EngineLeavingError(upstream_failed("a"))
            if self.chance.random() < 0.05:
                raise upstream_failed("a")
        finally:
            self.at_once[admission] -= 1
        context.status = 200
        return "served"

    async def request(self, caller: str) -> None:
        number, entered_s = next(self.numbers), asyncio.get_running_loop().time()
        context = RequestContext(request_id=str(number), method="POST", route=CHAT, caller=caller, model="a")
        try:
            await asked_in_turn(self.gateway, context, "a", lambda found: self.ask(found, number, context, entered_s))
            self.outcomes["served"] += 1
        except ApiError as error:
            assert error.code in REFUSALS | {"upstream_error"}
            self.outcomes[error.code] += 1
        except asyncio.CancelledError:
            self.outcomes["left"] += 1
            raise
        finally:
            if number not in self.asked:
                self.longest_wait_s = max(self.longest_wait_s, asyncio.get_running_loop().time() - entered_s)

    async def turn_of_events(self) -> None:
        """One thing that happens to the engine, or to the configuration."""
        what = self.chance.choice(("restart", "restart", "fail", "limit", "move", "remove"))
        if what == "restart":
            self.upstream.mark_draining()
            await asyncio.sleep(self.chance.uniform(0, 5))
            self.upstream._enter(EngineState(state=State.LOADING))
            await asyncio.sleep(self.chance.uniform(0, HOLD_S * 1.2))
            self.upstream._enter(EngineState(state=State.READY))
        elif what == "fail":
            self.upstream._enter(EngineState(state=State.UNREACHABLE))
            for _ in range(3):
                await asyncio.sleep(0)
            assert self.upstream.waiting == 0, "somebody waits for an engine that failed"
            await asyncio.sleep(self.chance.uniform(0, 3))
            self.upstream._enter(EngineState(state=State.READY))
        elif what == "limit":
            limit = self.chance.randint(1, MOST)
            if limit >= self.upstream.admission.running:  # else more run for a while than may begin
                self.upstream.configure(config(concurrency=limit).models[0], config())
        else:
            old = self.upstream
            if what == "move":
                self.upstream = Upstream(old_model := config(socket="/b.sock", concurrency=4).models[0], config())
                while old.admission.running > 4:
                    await asyncio.sleep(0.1)
                self.gateway.fleet.upstreams = {"a": self.upstream}
                self.upstream.take_over(old)
                self.upstream.configure(old_model, config())
            else:
                self.gateway.fleet.upstreams = {}
                await old.retire()
                await asyncio.sleep(self.chance.uniform(0, 1))
                self.upstream = self.raised(config())
            await old.retire()
            await asyncio.sleep(self.chance.uniform(0, 1))
            self.upstream._enter(EngineState(state=State.READY))

    def assert_no_place_is_free_while_somebody_waits(self) -> None:
        admission = self.upstream.admission
        if self.upstream.state is State.READY and self.gateway.fleet.upstreams.get("a") is self.upstream:
            assert not admission.waiting or admission.running >= (admission.limit or 0)

    async def play(self, arrivals: int) -> None:
        events = asyncio.create_task(self._events())
        requests: list[asyncio.Task[None]] = []
        for _ in range(arrivals):
            request = asyncio.create_task(self.request(self.chance.choice("aaaabc")))
            requests.append(request)
            self.assert_no_place_is_free_while_somebody_waits()
            if self.chance.random() < 0.2:
                asyncio.get_running_loop().call_later(self.chance.expovariate(0.3), request.cancel)
            await asyncio.sleep(self.chance.expovariate(3) if self.chance.random() < 0.9 else 0)
        async with asyncio.timeout(300):
            await asyncio.wait(requests)
        events.cancel()
        await asyncio.wait([events])
        ended = await asyncio.gather(*requests, return_exceptions=True)
        assert [each for each in ended if each is not None and not isinstance(each, asyncio.CancelledError)] == []

    async def _events(self) -> None:
        while True:
            await asyncio.sleep(self.chance.expovariate(1 / 20))
            await self.turn_of_events()


@pytest.mark.parametrize("seed", range(4))
def test_everybody_is_served_or_refused_in_time_and_in_order(seed: int) -> None:
    with asyncio.Runner(loop_factory=JumpingClock) as runner:
        drama = runner.run(_played(seed))
    assert sum(drama.outcomes.values()) == 3000
    assert drama.outcomes["served"] > 1000
    assert {"left", "queue_full", "model_not_found", "model_unreachable"} <= drama.outcomes.keys()
    assert drama.longest_wait_s <= QUEUE_S + HOLD_S
    admission = drama.upstream.admission
    assert (admission.running, admission.waiting, sum(drama.at_once.values())) == (0, 0, 0)


async def _played(seed: int) -> Drama:
    drama = Drama(seed)
    await drama.play(3000)
    return drama


@pytest.mark.parametrize("broken", ["no call when a place becomes free", "no look at a change"])
def test_a_lost_wake_up_would_be_noticed(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The comparison can fail."""
    if broken == "no look at a change":
        monkeypatch.setattr(Admission, "look_again", lambda self, *, is_open: setattr(self, "_is_open", is_open))
    else:
        monkeypatch.setattr(Admission, "_call", _call_one_at_a_time)
    with asyncio.Runner(loop_factory=JumpingClock) as runner, pytest.raises(AssertionError):
        runner.run(_played(1))


def _call_one_at_a_time(admission: Any) -> None:
    if admission._is_open and admission._line and not admission.running:
        ticket = admission._line.next()
        ticket.is_called = True
        admission.running += 1
        ticket.woken.set()
