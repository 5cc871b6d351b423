"""Which cores an engine may use now: its own always, and its part of those whose owners rest. Decided, not done."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Kind = Literal["loading", "stepping", "resting"]

LINGER_NS = 50_000_000
"""An engine keeps its cores so long after a step. Between two tokens of an answer pass some milliseconds, and who gets
cores for less time than this pays more for new threads than they compute."""
STALL_NS = 60_000_000_000
"""A step that takes longer is that of a stopped process. Its cores are lent; should it go on, the kernel prefers it."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine of the host as its card in the table tells."""

    name: str
    home: tuple[int, ...]
    kind: Kind
    since_ns: int
    """When that began, on the monotonic clock."""
    is_alive: bool = True
    """Whether the process that wrote this still exists."""

    @property
    def may_step(self) -> bool:
        """Whether it may begin a step at any moment."""
        return self.is_alive and self.kind == "resting"

    def keeps_home(self, now_ns: int) -> bool:
        """Whether its cores are not lent now."""
        if not self.is_alive:
            return False
        bound_ns = {"stepping": STALL_NS, "resting": LINGER_NS}.get(self.kind)
        return bound_ns is None or now_ns - self.since_ns < bound_ns


def borrowed(me: Engine, others: Iterable[Engine], every_core: Iterable[int], now_ns: int) -> tuple[int, ...]:
    """Choose the cores that `me`, which is about to work, uses beside its own.

    All engines decide alike: idle cores in ascending order are dealt in equal runs to the working ones, by name.
    Neighbouring numbers stay together. One that loads has its own cores, and asks for no more.
    """
    keeping = [each for each in others if each.keeps_home(now_ns)]
    working = sorted([me.name, *(each.name for each in keeping if each.kind != "loading")])
    taken = set(me.home).union(*(each.home for each in keeping))
    idle = [core for core in sorted(every_core) if core not in taken]
    place = working.index(me.name)
    return tuple(idle[len(idle) * place // len(working) : len(idle) * (place + 1) // len(working)])


def cores_of(text: str) -> tuple[int, ...]:
    """Read cores as the kernel writes them: `4-7,9`."""
    ranges = [part.partition("-") for part in text.split(",")]
    return tuple(core for low, _, high in ranges for core in range(int(low), int(high or low) + 1))
