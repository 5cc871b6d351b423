"""Models on demand, decided: the rules one by one."""

from typing import Any

import pytest

from gateway.on_demand import Order, Roster, Terms
from gateway.probe import State


class Desk:
    """A roster whose engines obey at once, for the rules one by one."""

    def __init__(self, budget: int = 10, **sizes: Any) -> None:
        self.now_s = 0.0
        self.state = dict.fromkeys(sizes, State.LOADING)
        self.requests: dict[str, tuple[int, int]] = dict.fromkeys(sizes, (0, 0))
        self.roster = Roster()
        terms = {
            name: Terms(**size) if isinstance(size, dict) else Terms(memory_bytes=size) for name, size in sizes.items()
        }
        self.roster.adopt(terms, budget_bytes=budget, load_s=100.0)
        for name in sizes:
            self.roster.told(name, "STOPPED", 0.0)

    def turn(self, after_s: float = 0.0) -> list[tuple[str, str, str]]:
        self.now_s += after_s
        for name, (running, waiting) in self.requests.items():
            self.roster.noticed(name, state=self.state[name], running=running, waiting=waiting, now_s=self.now_s)
        return [(order.do, order.name, order.why) for order in self.roster.decide(self.now_s)]

    def loaded(self, name: str, after_s: float = 1.0) -> None:
        """Have a model asked for and loaded, and its request answered."""
        self.requests[name] = (0, 1)
        assert self.turn() == [("start", name, "asked")]
        self.state[name], self.requests[name] = State.READY, (0, 0)
        assert self.turn(after_s) == []

    def stopped(self, name: str) -> None:
        self.state[name] = State.LOADING
        self.roster.told(name, "STOPPED", self.now_s)


def test_the_least_recently_asked_idle_model_makes_room() -> None:
    desk = Desk(a=4, b=4, c=4)
    desk.loaded("a")
    desk.loaded("b")
    desk.requests["a"] = (1, 0)
    desk.turn(1)
    desk.requests["a"] = (0, 0)
    desk.turn(1)
    desk.requests["c"] = (0, 1)
    assert desk.turn(1) == [("stop", "b", "room")]
    assert desk.turn(1) == []  # its memory is not free before its process is gone
    desk.stopped("b")
    assert desk.turn() == [("start", "c", "asked")]


def test_a_busy_model_keeps_its_memory_for_as_long_as_its_load_took_and_then_answers_what_it_has() -> None:
    desk = Desk(a=6, b=6)
    desk.loaded("a", after_s=20)
    desk.requests |= {"a": (2, 0), "b": (0, 1)}
    assert desk.turn(19) == []
    assert desk.roster.residents["a"].is_open
    assert desk.turn(1) == []
    assert not desk.roster.residents["a"].is_open  # nothing new from here on
    desk.requests["a"] = (1, 3)
    assert desk.turn(60) == []
    desk.requests["a"] = (0, 3)
    assert desk.turn(1) == [("stop", "a", "room")]
    desk.stopped("a")
    assert desk.turn() == [("start", "b", "asked")]


def test_a_model_that_was_to_make_room_goes_on_when_nobody_waits_for_it_any_more() -> None:
    desk = Desk(a=6, b=6)
    desk.loaded("a", after_s=5)
    desk.requests |= {"a": (2, 0), "b": (0, 1)}
    desk.turn(6)
    assert not desk.roster.residents["a"].is_open
    desk.requests["b"] = (0, 0)
    assert desk.turn(1) == []
    assert desk.roster.residents["a"].is_open


def test_whoever_waits_longest_is_next_and_a_younger_one_goes_first_only_beside_it() -> None:
    desk = Desk(a=6, small=3, large=7, medium=4)
    desk.loaded("a", after_s=20)
    desk.requests |= {"a": (1, 0), "large": (0, 1)}
    assert desk.turn(1) == []  # a has its turn
    desk.requests |= {"medium": (0, 1)}
    assert desk.turn(1) == []  # medium and large together are too much: it waits behind large
    desk.requests |= {"small": (0, 1)}
    assert desk.turn(1) == [("start", "small", "asked")]  # it fits beside both


def test_nobody_is_made_to_leave_for_a_model_that_does_not_fit_all_the_same() -> None:
    desk = Desk(a=4, b=4, large=10)
    desk.loaded("a", after_s=20)
    desk.loaded("b")
    desk.requests |= {"b": (1, 0), "large": (0, 1)}
    assert desk.turn(0.5) == []  # b has its turn, and a alone would not do
    assert desk.turn(1) == [("stop", "a", "room")]
    assert not desk.roster.residents["b"].is_open


def test_an_unused_model_is_stopped_unless_it_is_kept_warm() -> None:
    desk = Desk(a={"memory_bytes": 4, "idle_stop_s": 60.0}, warm={"memory_bytes": 4, "keep_warm": True})
    assert desk.turn() == [("start", "warm", "warm")]
    desk.state["warm"] = State.READY
    desk.turn(1)
    desk.loaded("a")
    assert desk.turn(59) == []
    assert desk.turn(1) == [("stop", "a", "idle")]
    desk.stopped("a")
    assert desk.turn(100_000) == []


def test_a_warm_model_makes_room_last_and_comes_back_when_there_is_some() -> None:
    desk = Desk(warm={"memory_bytes": 5, "keep_warm": True}, a=5, b={"memory_bytes": 5, "idle_stop_s": 30.0})
    desk.turn()
    desk.state["warm"] = State.READY
    desk.turn(1)
    desk.loaded("a")
    desk.requests["b"] = (0, 1)
    assert desk.turn(1) == [("stop", "a", "room")]  # although warm was asked less recently
    desk.stopped("a")
    desk.loaded("b")
    desk.requests |= {"b": (1, 0), "a": (0, 1)}
    assert desk.turn(0.5) == [("stop", "warm", "room")]
    desk.stopped("warm")
    desk.loaded("a")
    desk.requests["b"] = (0, 0)
    assert desk.turn(1) == []
    assert desk.turn(30) == [("stop", "b", "idle")]
    desk.stopped("b")
    assert desk.turn() == [("start", "warm", "warm")]


@pytest.mark.parametrize("word", ["BACKOFF", "FATAL"])
def test_a_start_that_fails_is_told_and_tried_again_later(word: str) -> None:
    desk = Desk(a=4, b=8)
    desk.requests |= {"a": (0, 1)}
    desk.turn()
    ended = desk.roster.told("a", word, desk.now_s)
    assert [(order.do, order.why) for order in ended] == ([("stop", "failed")] if word == "BACKOFF" else [])
    desk.stopped("a")
    assert desk.turn(1) == []
    assert desk.roster.residents["a"].is_failed
    desk.requests["b"] = (0, 1)
    assert desk.turn(1) == [("start", "b", "asked")]  # it does not stand in anybody's way
    desk.roster.told("b", "BACKOFF", desk.now_s)
    desk.stopped("b")
    assert desk.turn(28) == [("start", "a", "asked")]
    assert not desk.roster.residents["a"].is_failed


def test_a_model_that_does_not_become_ready_in_time_gives_its_memory_back() -> None:
    desk = Desk(a=10)
    desk.requests["a"] = (0, 1)
    desk.turn()
    assert desk.turn(99) == []
    assert desk.turn(1) == [("stop", "a", "failed")]
    desk.stopped("a")
    assert desk.turn(29) == []
    assert desk.turn(1) == [("start", "a", "asked")]


def test_a_crashed_model_is_stopped_and_its_next_request_starts_it() -> None:
    desk = Desk(a=10)
    desk.loaded("a")
    assert [order.do for order in desk.roster.told("a", "BACKOFF", desk.now_s)] == ["stop"]
    desk.stopped("a")
    assert desk.turn(1) == []
    desk.requests["a"] = (0, 1)
    assert desk.turn(1) == [("start", "a", "asked")]


def test_a_stop_that_is_under_way_is_not_ordered_again_and_again() -> None:
    desk = Desk(a=10)
    desk.loaded("a")
    assert len(desk.roster.told("a", "BACKOFF", desk.now_s)) == 1
    assert desk.roster.told("a", "BACKOFF", desk.now_s + 1) == []
    assert len(desk.roster.told("a", "BACKOFF", desk.now_s + 30)) == 1


def test_a_gateway_that_ends_starts_what_is_waited_for_and_leaves_the_rest() -> None:
    desk = Desk(a={"memory_bytes": 4, "idle_stop_s": 60.0}, warm={"memory_bytes": 4, "keep_warm": True}, b=6)
    desk.requests["a"] = (0, 1)
    assert [order.name for order in desk.roster.decide(0.0, is_ending=True)] == []
    assert desk.turn() == [("start", "a", "asked")]
    desk.state["a"], desk.requests["a"] = State.READY, (0, 0)
    desk.roster.noticed("a", state=State.READY, running=0, waiting=0, now_s=1.0)
    assert desk.roster.decide(1000.0, is_ending=True) == []
    desk.roster.noticed("b", state=State.LOADING, running=0, waiting=1, now_s=1000.0)
    assert [order.name for order in desk.roster.decide(1000.0, is_ending=True)] == ["b"]


def test_after_a_reload_with_less_memory_models_leave_until_the_rest_fits() -> None:
    desk = Desk(a=4, b=4)
    desk.loaded("a")
    desk.loaded("b")
    desk.requests["b"] = (1, 0)
    desk.roster.adopt({name: one.terms for name, one in desk.roster.residents.items()}, budget_bytes=5, load_s=100.0)
    assert desk.turn(10) == [("stop", "a", "room")]
    assert desk.roster.residents["b"].is_open


def test_a_model_that_was_unloaded_by_hand_stays_so_until_it_is_asked() -> None:
    desk = Desk(a={"memory_bytes": 4, "keep_warm": True})
    desk.turn()
    desk.state["a"] = State.READY
    desk.turn(1)
    assert desk.roster.unload("a", desk.now_s) == Order(do="stop", name="a", why="asked")
    desk.stopped("a")
    assert desk.turn(100) == []
    desk.requests["a"] = (0, 1)
    assert desk.turn(1) == [("start", "a", "asked")]


def test_a_busy_or_loading_model_is_not_unloaded() -> None:
    desk = Desk(a=4)
    desk.requests["a"] = (0, 1)
    desk.turn()
    assert desk.roster.unload("a", desk.now_s) is None
    desk.state["a"], desk.requests["a"] = State.READY, (1, 0)
    desk.turn(1)
    assert desk.roster.unload("a", desk.now_s) is None


def test_what_runs_is_not_started_again_by_the_next_gateway() -> None:
    desk = Desk(a=4, b=8)
    desk.loaded("a")
    successor = Roster()
    successor.adopt({name: one.terms for name, one in desk.roster.residents.items()}, budget_bytes=10, load_s=100.0)
    successor.noticed("b", state=State.LOADING, running=0, waiting=1, now_s=50.0)
    assert successor.decide(50.0) == []  # nobody has said what runs
    successor.told("a", "RUNNING", 50.0)
    successor.noticed("a", state=State.READY, running=0, waiting=0, now_s=50.0)
    assert successor.decide(50.0) == []  # nor whether b does: for what may be, nobody is made to leave
    successor.told("b", "STOPPED", 50.0)
    successor.noticed("a", state=State.READY, running=0, waiting=0, now_s=50.0)
    assert successor.decide(50.0) == [Order(do="stop", name="a", why="room")]
