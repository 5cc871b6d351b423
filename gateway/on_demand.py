"""Which models on demand run: the decisions alone, without processes, sockets or a clock.

A model has its memory from the order to start until its process is gone, and all that have some stay within one budget.
One loads at a time: vLLM measures free memory when it starts, and two that load at once refuse each other. Whoever has
waited longest is next. A younger one goes first only where both fit into the memory together.

Room is made by models that nobody asks, the one least recently asked first, then by busy ones whose turn is over. A
busy one gets nothing new from then on and is stopped when it has answered what it has. Those who want it meanwhile
wait, and are served together when it is back: two models that do not fit beside each other take turns, and do not
thrash.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from gateway.probe import State

RETRY_S = 30.0
"""After a start that failed, until the next."""
BLOCKED_S = 2.0
"""After one that nobody could carry out."""
LONGEST_TURN = 0.25
"""Of the time in which a model must load: whoever waits has to be served within it as well."""
Why = Literal["asked", "warm", "room", "idle", "failed"]


class Phase(StrEnum):
    """What is known of a model's process and its memory."""

    UNKNOWN = "unknown"
    """Nobody has said yet whether it runs."""
    STOPPED = "stopped"
    LOADING = "loading"
    READY = "ready"
    STOPPING = "stopping"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What the configuration says of one model on demand."""

    memory_bytes: int
    idle_stop_s: float = 900.0
    keep_warm: bool = False


@dataclass(slots=True, eq=False, kw_only=True)
class Resident:
    """One model on demand, in memory or not."""

    name: str
    terms: Terms
    phase: Phase = Phase.UNKNOWN
    is_open: bool = True
    """Whether its engine, if it is ready, may be asked."""
    is_failed: bool = False
    """It could not be started, and the next try is not due: nobody waits for that."""
    running: int = 0
    waiting: int = 0
    wanted_s: float | None = None
    """Since when somebody waits for its engine to be there."""
    used_s: float = 0.0
    """When it last had a request."""
    began_s: float = 0.0
    """When its present phase began."""
    load_took_s: float = 0.0
    is_put_away: bool = False
    """Somebody had it unloaded: until it is asked again, it is not kept warm."""
    failed_until_s: float = float("-inf")
    blocked_until_s: float = float("-inf")

    @property
    def holds_memory(self) -> bool:
        """Whether its memory is taken. What is not known counts as taken."""
        return self.phase is not Phase.STOPPED

    @property
    def may_be_loading(self) -> bool:
        """Whether nothing else may load now. An order whose answer got lost was perhaps carried out."""
        return self.phase in (Phase.LOADING, Phase.UNKNOWN)

    @property
    def is_idle(self) -> bool:
        """Whether its engine is ready, and nobody has a place at it."""
        return self.phase is Phase.READY and not self.running

    def enter(self, phase: Phase, now_s: float) -> None:
        """Begin a phase; requests may go to an engine that is there or comes."""
        self.phase, self.began_s = phase, now_s
        self.is_open = phase not in (Phase.STOPPED, Phase.STOPPING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What to do with a model's process."""

    do: Literal["start", "stop"]
    name: str
    why: Why


@dataclass(slots=True)
class Roster:
    """All models on demand. Whoever drives it says what is seen and what time it is, and carries out what it decides.

    An order counts from when it is decided, so what is said of a process must come after the orders before it.
    """

    budget_bytes: int = 0
    load_s: float = 600.0
    residents: dict[str, Resident] = field(default_factory=dict)

    @property
    def used_bytes(self) -> int:
        """The memory that is taken, or may be."""
        return sum(each.terms.memory_bytes for each in self.residents.values() if each.holds_memory)

    def adopt(self, terms: Mapping[str, Terms], *, budget_bytes: int, load_s: float) -> None:
        """Take over a configuration; a model that stays keeps its phase."""
        self.budget_bytes, self.load_s = budget_bytes, load_s
        known = self.residents
        self.residents = {name: known.get(name) or Resident(name=name, terms=each) for name, each in terms.items()}
        for name, each in terms.items():
            self.residents[name].terms = each

    def told(self, name: str, process: str, now_s: float) -> list[Order]:
        """Take in what the runner says of a process, in supervisord's words; return what has to be ended for it."""
        one = self.residents[name]
        match process:
            case "STARTING" | "RUNNING":
                if one.phase not in (Phase.LOADING, Phase.READY):
                    one.used_s = now_s
                    one.enter(Phase.LOADING, now_s)
            case "STOPPING":
                if one.phase is not Phase.STOPPING:
                    one.enter(Phase.STOPPING, now_s)
            case "BACKOFF":  # it ended by itself, and would be started again by nobody's wish
                if one.phase is Phase.STOPPING and now_s - one.began_s < RETRY_S:
                    return []
                return [self._stop(one, "failed", now_s)]
            case _:
                if process == "FATAL" and one.phase is Phase.LOADING:
                    one.failed_until_s = now_s + RETRY_S
                if one.phase is not Phase.STOPPED:
                    one.enter(Phase.STOPPED, now_s)
        return []

    def noticed(self, name: str, *, state: State, running: int, waiting: int, now_s: float) -> None:
        """Take in how a model's engine is, how many have a place at it and how many wait."""
        one = self.residents[name]
        one.running, one.waiting = running, waiting
        if running or waiting:
            one.used_s = now_s
        if state is State.READY and one.phase in (Phase.UNKNOWN, Phase.LOADING):
            one.load_took_s = now_s - one.began_s if one.phase is Phase.LOADING else 0.0
            one.used_s = now_s
            one.enter(Phase.READY, now_s)
        elif state in (State.LOADING, State.DRAINING) and one.phase is Phase.READY:  # somebody restarts it
            one.enter(Phase.LOADING, now_s)
        if not waiting or (one.phase is Phase.READY and one.is_open):
            one.wanted_s = None
        elif one.wanted_s is None:
            one.wanted_s = now_s

    def decide(self, now_s: float, *, is_ending: bool = False) -> list[Order]:
        """Return what is to be done now, and note it as begun. A gateway that ends serves those who wait, and leaves
        the rest to its successor.
        """
        orders: list[Order] = []
        for one in self.residents.values():
            if one.phase is Phase.LOADING and now_s - one.began_s >= self.load_s:
                orders.append(self._stop(one, "failed", now_s))
            is_unused = one.is_idle and not one.waiting and now_s - one.used_s >= one.terms.idle_stop_s
            if is_unused and not (one.terms.keep_warm or is_ending):
                orders.append(self._stop(one, "idle", now_s))
        started, leaving = self._next(now_s, is_ending=is_ending)
        for one in self.residents.values():
            one.is_failed = now_s < one.failed_until_s and not one.holds_memory
            if one.phase is Phase.READY:
                one.is_open = one not in leaving
                if one.is_idle and not one.is_open:
                    orders.append(self._stop(one, "room", now_s))
        return orders + started

    def unload(self, name: str, now_s: float) -> Order | None:
        """Stop a model because somebody asks for that; None where it is loading, busy, or not there."""
        one = self.residents[name]
        if not one.is_idle or one.waiting:
            return None
        one.is_put_away = True
        return self._stop(one, "asked", now_s)

    def is_busy_after_all(self, name: str, now_s: float) -> None:
        """Take back a stop that was not carried out: its engine answers somebody who did not come through here."""
        one = self.residents[name]
        one.used_s = now_s
        one.enter(Phase.READY, now_s)

    def not_done(self, name: str, now_s: float) -> None:
        """Note that an order could not be carried out; what became of the process is to be said anew."""
        one = self.residents[name]
        one.blocked_until_s = now_s + BLOCKED_S
        one.enter(Phase.UNKNOWN, now_s)

    def _next(self, now_s: float, *, is_ending: bool) -> "tuple[list[Order], set[Resident]]":
        """Return the next start, and who has to make room for it."""
        free = self.budget_bytes - self.used_bytes
        unknown = sum(one.terms.memory_bytes for one in self.residents.values() if one.phase is Phase.UNKNOWN)
        over = self._room(-free - unknown, set(), now_s)  # after a reload the budget may be smaller
        leaving = set(self._evictable(now_s) if over is None else over)
        if any(one.may_be_loading for one in self.residents.values()):
            return [], leaving
        coming = sum(one.terms.memory_bytes for one in self.residents.values() if one.phase is Phase.STOPPING)
        coming += sum(one.terms.memory_bytes for one in leaving)
        ahead = 0
        for one in self._wanted(now_s):
            memory = one.terms.memory_bytes
            if ahead + memory > self.budget_bytes:
                continue
            ahead += memory
            room = self._room(memory - free - coming, leaving, now_s)
            if room is None:
                continue
            leaving |= set(room)
            coming += sum(each.terms.memory_bytes for each in room) - memory
            if one.phase is Phase.STOPPED and memory <= free:
                return [self._start(one, "asked", now_s)], leaving
        if not (ahead or is_ending):
            for one in self.residents.values():
                is_due = one.phase is Phase.STOPPED and now_s >= max(one.failed_until_s, one.blocked_until_s)
                is_warm = one.terms.keep_warm and not one.is_put_away
                if is_warm and is_due and one.terms.memory_bytes <= free:
                    return [self._start(one, "warm", now_s)], leaving
        return [], leaving

    def _wanted(self, now_s: float) -> "list[Resident]":
        wanted = [
            (one.wanted_s, one.name, one)
            for one in self.residents.values()
            if one.wanted_s is not None
            and one.phase in (Phase.STOPPED, Phase.STOPPING)
            and now_s >= max(one.failed_until_s, one.blocked_until_s)
        ]
        return [one for _, _, one in sorted(wanted, key=lambda each: each[:2])]

    def _room(self, needed: int, taken: "set[Resident]", now_s: float) -> "list[Resident] | None":
        """Choose who makes room for so many bytes; None where all who may do not suffice, and then nobody should."""
        chosen: list[Resident] = []
        for one in sorted(self._evictable(now_s), key=_least_missed):
            if needed <= 0:
                break
            if one not in taken:
                chosen.append(one)
                needed -= one.terms.memory_bytes
        return chosen if needed <= 0 else None

    def _evictable(self, now_s: float) -> "Iterable[Resident]":
        for one in self.residents.values():
            turn_s = min(one.load_took_s, LONGEST_TURN * self.load_s)
            if one.phase is Phase.READY and (one.is_idle or now_s - one.began_s >= turn_s):
                yield one

    def _start(self, one: Resident, why: Why, now_s: float) -> Order:
        assert one.phase is Phase.STOPPED, f"{one.name} is {one.phase}"
        one.is_put_away = False
        one.enter(Phase.LOADING, now_s)
        return Order(do="start", name=one.name, why=why)

    def _stop(self, one: Resident, why: Why, now_s: float) -> Order:
        if why == "failed" and one.phase is Phase.LOADING:
            one.failed_until_s = now_s + RETRY_S
        one.enter(Phase.STOPPING, now_s)
        return Order(do="stop", name=one.name, why=why)


def _least_missed(one: Resident) -> tuple[bool, bool, float]:
    """Order those who may make room: idle ones by when they were last asked, busy ones by how long they have served."""
    return bool(one.running), one.terms.keep_warm, one.began_s if one.running else one.used_s
