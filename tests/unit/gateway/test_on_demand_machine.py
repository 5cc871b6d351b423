"""Models on demand, decided in every order of events: a state machine against a host that is played beside it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import Phase as Part
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from gateway.on_demand import Order, Phase, Resident, Roster, Terms
from gateway.probe import State

BUDGET, LOAD_S, IDLE_S = 10, 100.0, 50.0
SIZES = {"a": 4, "b": 6, "c": 5, "d": 10}
NAMES = st.sampled_from(sorted(SIZES))


class Played:
    """One engine as it really is, and who waits for it or has a place at it."""

    def __init__(self) -> None:
        self.process = "STOPPED"
        self.is_ready = False
        self.line: list[float] = []
        """When each of those who wait came."""
        self.running = 0


class Host(RuleBasedStateMachine):
    """A host whose engines do what they like, requests that come and go, and a gateway that may be replaced."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.engines = {name: Played() for name in SIZES}
        self.refused = self.asked = self.served = 0
        self.roster = Roster()

    @initialize(warm=st.sets(NAMES))
    def begin(self, warm: set[str]) -> None:
        self.terms = {
            name: Terms(memory_bytes=size, idle_stop_s=IDLE_S, keep_warm=name in warm) for name, size in SIZES.items()
        }
        self.adopt()

    def adopt(self) -> None:
        self.roster.adopt(self.terms, budget_bytes=BUDGET, load_s=LOAD_S)

    def told(self) -> None:
        for name, engine in self.engines.items():
            for order in self.roster.told(name, engine.process, self.now_s):
                self.carry_out(order)

    def notice(self) -> None:
        for name, engine in self.engines.items():
            state = State.READY if engine.is_ready else State.LOADING
            self.roster.noticed(name, state=state, running=engine.running, waiting=len(engine.line), now_s=self.now_s)

    def call(self) -> None:
        """Give places at engines to those who wait, as an admission does at once."""
        for name, engine in self.engines.items():
            if self.roster.residents[name].is_open and engine.is_ready:
                engine.running += len(engine.line)
                engine.line.clear()

    def carry_out(self, order: Order) -> None:
        engine = self.engines[order.name]
        if order.do == "start":
            assert engine.process in ("STOPPED", "FATAL"), f"{order} while it is {engine.process}"
            engine.process, engine.is_ready = "STARTING", False
            return
        is_loading = engine.process in ("STARTING", "RUNNING") and not engine.is_ready
        assert order.why == "failed" or not is_loading, f"{order}: evicts a loading model"
        assert order.why == "failed" or not engine.running, f"{order}: evicts a busy model"
        engine.is_ready = False
        engine.process = "STOPPED" if engine.process in ("STOPPED", "FATAL", "BACKOFF") else "STOPPING"

    @rule(is_told=st.booleans(), is_done=st.booleans(), is_heard=st.booleans())
    def turn(self, *, is_told: bool = True, is_done: bool = True, is_heard: bool = True) -> None:
        """What the loader does every second. The starter may not get an order, or its answer may be lost."""
        if is_told:
            self.told()
        self.notice()
        for order in self.roster.decide(self.now_s):
            if is_done:
                self.carry_out(order)
            if not (is_done and is_heard):
                self.roster.not_done(order.name, self.now_s)
        if is_done and is_heard:
            self.told()
        self.call()
        for name, engine in self.engines.items():
            if self.roster.residents[name].is_failed:
                self.refused += len(engine.line)
                engine.line.clear()

    @rule(name=NAMES)
    def arrive(self, name: str) -> None:
        self.asked += 1
        self.engines[name].line.append(self.now_s)
        self.call()

    @rule(name=NAMES)
    def finish(self, name: str) -> None:
        engine = self.engines[name]
        self.served += bool(engine.running)
        engine.running = max(0, engine.running - 1)

    @rule(name=NAMES)
    def leave(self, name: str) -> None:
        if self.engines[name].line:
            self.engines[name].line.pop()
            self.refused += 1

    @rule(name=NAMES)
    def load(self, name: str) -> None:
        engine = self.engines[name]
        if engine.process in ("STARTING", "RUNNING"):
            engine.process, engine.is_ready = "RUNNING", True
            self.call()

    @rule(name=NAMES)
    def end(self, name: str) -> None:
        if self.engines[name].process == "STOPPING":
            self.engines[name].process = "STOPPED"

    @rule(name=NAMES, word=st.sampled_from(["BACKOFF", "FATAL"]))
    def crash(self, name: str, word: str) -> None:
        engine = self.engines[name]
        if engine.process in ("STARTING", "RUNNING"):
            engine.process, engine.is_ready = word, False
            self.refused += engine.running  # these got a 502, for their engine died
            engine.running = 0

    @rule(seconds=st.sampled_from([0.5, 5.0, 30.0, LOAD_S]))
    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        for engine in self.engines.values():  # every wait has its bound, which is another module's
            late = [came for came in engine.line if self.now_s - came >= LOAD_S]
            self.refused += len(late)
            engine.line = [came for came in engine.line if self.now_s - came < LOAD_S]

    @rule(name=NAMES)
    def unload(self, name: str) -> None:
        self.told()
        self.notice()
        if (order := self.roster.unload(name, self.now_s)) is not None:
            self.carry_out(order)

    @rule()
    def replace_gateway(self) -> None:
        """The next one knows nothing but what it is told."""
        self.roster = Roster()
        self.adopt()
        self.notice()
        self.call()

    @invariant()
    def memory_is_never_over_budget(self) -> None:
        held = [name for name, each in self.engines.items() if each.process not in ("STOPPED", "FATAL")]
        assert sum(SIZES[name] for name in held) <= BUDGET, held

    @invariant()
    def one_loads_at_a_time(self) -> None:
        loading = [n for n, e in self.engines.items() if e.process in ("STARTING", "RUNNING") and not e.is_ready]
        assert len(loading) <= 1, loading

    @invariant()
    def no_request_is_lost(self) -> None:
        here = sum(len(each.line) + each.running for each in self.engines.values())
        assert here + self.served + self.refused == self.asked

    @precondition(lambda self: any(engine.line for engine in self.engines.values()))
    @rule()
    def whoever_waits_is_served_when_engines_do_as_they_are_told(self) -> None:
        """From any state: nobody waits for ever while what is asked ends, stops and loads in its time."""
        waiting = sum(len(each.line) for each in self.engines.values())
        for _ in range(120):
            self.turn()
            for name in SIZES:
                self.end(name)
                self.load(name)
                self.finish(name)
            self.now_s += 1.0
            if not any(each.line for each in self.engines.values()):
                return
        raise AssertionError(f"{waiting} waited, and still {[(n, len(e.line)) for n, e in self.engines.items()]}")


SLOW = [HealthCheck.too_slow]
TestHost = Host.TestCase
TestHost.settings = settings(max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=SLOW)
BRIEF = settings(
    max_examples=200, stateful_step_count=40, deadline=None, suppress_health_check=SLOW, phases=[Part.generate],
    database=None, derandomize=True, print_blob=False,
)  # fmt: skip


def blind(**changed: Any) -> Callable[..., Any]:
    """Take in what is noticed with something of it wrong."""
    right = Roster.noticed

    def noticed(self: Roster, name: str, **given: Any) -> None:
        right(self, name, **{**given, **changed})

    return noticed


BROKEN: dict[str, tuple[type, str, Any]] = {
    "a stopping model's memory counts as free": (
        Resident, "holds_memory", property(lambda self: self.phase not in (Phase.STOPPED, Phase.STOPPING)),
    ),
    "what is not known does not load": (
        Resident, "may_be_loading", property(lambda self: self.phase is Phase.LOADING),
    ),
    "a busy model counts as idle": (Resident, "is_idle", property(lambda self: self.phase is Phase.READY)),
    "a loading model counts as idle": (
        Resident, "is_idle", property(lambda self: self.phase in (Phase.READY, Phase.LOADING) and not self.running),
    ),
    "running requests are not seen": (Roster, "noticed", blind(running=0)),
    "nobody is seen to wait": (Roster, "noticed", blind(waiting=0)),
    "nobody makes room": (Roster, "_evictable", lambda self, now_s: []),
}  # fmt: skip


def make_room_too_early(host: Host) -> None:
    """d gets the memory of a, which has not ended yet."""
    host.arrive(name="a")
    host.turn()
    host.load(name="a")
    host.turn()
    host.finish(name="a")
    host.arrive(name="d")
    host.turn()
    host.turn()


def lose_an_answer(host: Host) -> None:
    """a was started, and nobody knows that."""
    host.arrive(name="a")
    host.turn(is_heard=False)
    host.arrive(name="b")
    host.turn(is_told=False)


RARE = {
    "a stopping model's memory counts as free": make_room_too_early,
    "what is not known does not load": lose_an_answer,
}
"""What chance seldom meets."""


@pytest.mark.parametrize("fault", BROKEN)
def test_the_state_machine_finds_what_is_broken(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if fault in RARE:
        play_out(fault)
    where, name, wrong = BROKEN[fault]
    monkeypatch.setattr(where, name, wrong)
    with pytest.raises(AssertionError):
        if fault in RARE:
            play_out(fault)
        else:
            run_state_machine_as_test(Host, settings=BRIEF)


def play_out(fault: str) -> None:
    host = Host()
    host.begin(warm=set())
    RARE[fault](host)
    host.memory_is_never_over_budget()
    host.one_loads_at_a_time()
