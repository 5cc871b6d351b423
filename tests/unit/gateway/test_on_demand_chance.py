"""Ten thousand arrivals for three models of which two fit, on a clock that jumps: nobody is lost, or waits too long."""

import asyncio
import heapq
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from agent.running import StarterAnswer, StarterOrder
from gateway import loader
from gateway.admission import asked_in_turn
from gateway.app import Gateway
from gateway.config import GatewayConfig
from gateway.config_file import LoadedConfig
from gateway.errors import ApiError
from gateway.fleet import Fleet
from gateway.on_demand import Resident, Roster
from gateway.probe import EngineState, State
from gateway.request_context import RequestContext
from gateway.upstream import Upstream
from tests.unit.gateway.test_stage import CHAT

ARRIVALS = 10_000
BUDGET = 10
SIZES = {"a": 5, "b": 5, "c": 4}
LOAD_S, QUEUE_S, HOLD_S = 600.0, 300.0, 30.0


class JumpingClock(asyncio.SelectorEventLoop):
    """Nothing takes time but timers: when all have run, it is as late as the next that somebody waits for."""

    now_s = 0.0

    def time(self) -> float:
        return self.now_s

    def _run_once(self) -> None:
        loop: Any = self
        while loop._scheduled and loop._scheduled[0]._cancelled:  # a jump to it would be followed by a real wait
            loop._timer_cancelled_count -= 1
            heapq.heappop(loop._scheduled)._scheduled = False
        if not loop._ready and loop._scheduled:
            self.now_s = max(self.now_s, loop._scheduled[0].when())
        loop.__class__.__base__._run_once(self)


def config() -> GatewayConfig:
    models = [
        {
            "name": name, "socket": f"/{name}.sock", "concurrency": 4,
            "on_demand": {"memory_bytes": size, "idle_stop_s": 120.0, "keep_warm": name == "c"},
        }
        for name, size in SIZES.items()
    ]  # fmt: skip
    return GatewayConfig.model_validate(
        {
            "listen": [{"port": 0}], "default_model": "a", "models": models, "max_held": ARRIVALS,
            "timeouts": {"load_s": LOAD_S, "queue_s": QUEUE_S, "hold_s": HOLD_S},
            "memory": {"budget_bytes": BUDGET, "starter": "/starter.sock"},
        }
    )  # fmt: skip


class Host:
    """Engines that load and end in their time, behind a starter that carries out whatever it is told."""

    def __init__(self, gateway: Gateway, chance: random.Random) -> None:
        self.gateway, self.chance = gateway, chance
        self.process = dict.fromkeys(SIZES, "STOPPED")
        self.present: Counter[str] = Counter()
        self.orders: Counter[tuple[str, str]] = Counter()
        self.most_bytes = 0
        self.faults: list[str] = []
        self.tasks: set[asyncio.Task[None]] = set()

    async def ask(self, starter: Path, order: StarterOrder) -> StarterAnswer:
        if order.do == "start" and self.process[order.name] == "STOPPED":
            self.process[order.name] = "STARTING"
            self.begin(self.load(order.name))
        if order.do == "stop" and self.process[order.name] in ("STARTING", "RUNNING"):
            if self.process[order.name] != "RUNNING":
                self.faults.append(f"{order.name} was evicted while it was loading")
            if self.present[order.name]:
                self.faults.append(f"{order.name} was evicted with {self.present[order.name]} requests")
            self.process[order.name] = "STOPPING"
            self.upstream(order.name).mark_draining()
            self.begin(self.end(order.name))
        self.orders[order.do, order.name] += 1
        held = sum(SIZES[name] for name, word in self.process.items() if word != "STOPPED")
        self.most_bytes = max(self.most_bytes, held)
        if held > BUDGET:
            self.faults.append(f"{held} bytes held")
        return StarterAnswer(dict(self.process))

    def begin(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def load(self, name: str) -> None:
        await asyncio.sleep(self.chance.uniform(15, 60))
        self.process[name] = "RUNNING"
        self.upstream(name)._enter(EngineState(state=State.READY))

    async def end(self, name: str) -> None:
        await asyncio.sleep(self.chance.uniform(1, 9))
        self.upstream(name)._enter(EngineState(state=State.LOADING))
        self.process[name] = "STOPPED"

    def upstream(self, name: str) -> Upstream:
        return self.gateway.fleet.upstreams[name]


class Play:
    """Requests at random for models at random, in waves in which one or two are asked most."""

    def __init__(self, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
        self.chance = random.Random(seed)  # noqa: S311 - the same play each time
        self.gateway = Gateway(Fleet(LoadedConfig(config=config(), digest="")))
        self.gateway.fleet.upstreams = {model.name: Upstream(model, config()) for model in config().models}
        self.host = Host(self.gateway, self.chance)
        monkeypatch.setattr(loader, "ask", self.host.ask)
        monkeypatch.setattr(Upstream, "is_answering", self.is_answering)
        self.outcomes: Counter[str] = Counter()
        self.longest_wait_s = 0.0

    async def is_answering(self) -> bool:
        return False

    async def engine(self, upstream: Upstream, entered_s: float) -> str:
        name, loop = upstream.name, asyncio.get_running_loop()
        assert self.host.process[name] == "RUNNING", f"asked at {name}, which is {self.host.process[name]}"
        self.longest_wait_s = max(self.longest_wait_s, loop.time() - entered_s)
        self.host.present[name] += 1
        try:
            await asyncio.sleep(self.chance.choice((0.2, 1.0, 2.0, 8.0)))
            assert self.host.process[name] == "RUNNING", f"{name} was evicted beneath a request"
        finally:
            self.host.present[name] -= 1
        return "served"

    async def request(self, name: str, number: int) -> None:
        entered_s = asyncio.get_running_loop().time()
        context = RequestContext(request_id=str(number), method="POST", route=CHAT, model=name)
        try:
            outcome = await asked_in_turn(
                self.gateway, context, name, lambda upstream: self.engine(upstream, entered_s)
            )
            self.outcomes[outcome] += 1
        except ApiError as error:
            self.longest_wait_s = max(self.longest_wait_s, asyncio.get_running_loop().time() - entered_s)
            self.outcomes[error.code] += 1

    async def run(self) -> None:
        requests, weights = [], [1, 1, 1]
        async with self.gateway.loader.running():
            for number in range(ARRIVALS):
                if number % 500 == 0:
                    weights = self.chance.choice(([1, 1, 1], [8, 1, 1], [6, 6, 1], [0, 1, 1], [5, 0, 5]))
                (name,) = self.chance.choices(list(SIZES), weights)
                requests.append(asyncio.create_task(self.request(name, number)))
                await asyncio.sleep(self.chance.expovariate(1.0) if self.chance.random() < 0.997 else 200)
            await asyncio.gather(*requests)


def test_no_request_is_lost_and_memory_is_never_over_budget(monkeypatch: pytest.MonkeyPatch) -> None:
    play = played(0, monkeypatch)
    print(f"{dict(play.outcomes)}, longest wait {play.longest_wait_s:.0f} s, {dict(play.host.orders)}")
    assert sum(play.outcomes.values()) == ARRIVALS
    assert play.outcomes["served"] == ARRIVALS
    assert play.host.faults == []
    assert play.host.most_bytes <= BUDGET
    assert play.longest_wait_s <= LOAD_S + QUEUE_S + HOLD_S
    assert all(play.host.orders["start", name] > 3 for name in SIZES)  # the play is one of evictions


@pytest.mark.parametrize("fault", ["busy counts as idle", "stopping counts as free", "nobody makes room"])
def test_a_fault_would_be_noticed(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault == "busy counts as idle":
        monkeypatch.setattr(Resident, "is_idle", property(lambda self: self.phase == "ready"))
    elif fault == "stopping counts as free":
        free = property(lambda self: self.phase not in ("stopped", "stopping"))
        monkeypatch.setattr(Resident, "holds_memory", free)
    else:
        monkeypatch.setattr(Roster, "_evictable", lambda self, now_s: [])
    monkeypatch.setattr("tests.unit.gateway.test_on_demand_chance.ARRIVALS", 1500)
    try:
        play = played(0, monkeypatch)
    except AssertionError:
        return
    assert play.host.faults or play.outcomes["served"] < 1500


def played(seed: int, monkeypatch: pytest.MonkeyPatch) -> Play:
    with asyncio.Runner(loop_factory=JumpingClock) as runner:
        return runner.run(_played(seed, monkeypatch))


async def _played(seed: int, monkeypatch: pytest.MonkeyPatch) -> Play:
    play = Play(seed, monkeypatch)
    await play.run()
    return play
