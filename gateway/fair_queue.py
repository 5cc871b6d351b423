"""Who is next among callers that wait: one of each in turn, and of each the one that came first."""

from bisect import insort
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar


class Waiter(Protocol):
    """Whoever waits: on whose behalf, and a number that grows with each arrival."""

    @property
    def caller(self) -> str: ...
    @property
    def number(self) -> int: ...


W = TypeVar("W", bound=Waiter)


def _number(waiter: Waiter) -> int:
    return waiter.number


class FairQueue(Generic[W]):
    """Round robin over callers, first come first served within each. Not bounded by itself: see `newest_of_most`."""

    def __init__(self) -> None:
        self._of: dict[str, list[W]] = {}  # in the order in which callers have their turns

    def __len__(self) -> int:
        return sum(map(len, self._of.values()))

    def __bool__(self) -> bool:
        return bool(self._of)

    def __iter__(self) -> Iterator[W]:
        return (waiter for line in self._of.values() for waiter in line)

    def add(self, waiter: W) -> None:
        """Take a place among one's own by number: whoever comes back has the place that he had."""
        insort(self._of.setdefault(waiter.caller, []), waiter, key=_number)

    def discard(self, waiter: W) -> None:
        """Leave, if this waits here."""
        line = self._of.get(waiter.caller, [])
        if waiter in line:
            line.remove(waiter)
            if not line:
                del self._of[waiter.caller]

    def next(self) -> W:
        """Take out whose turn it is; his caller's next turn comes after everybody else's."""
        caller = next(iter(self._of))
        line = self._of.pop(caller)
        first = line.pop(0)
        if line:
            self._of[caller] = line
        return first

    def newest_of_most(self, caller: str) -> W:
        """Whom to refuse of too many: the newest of whoever has most here; of equals, of this caller."""
        most = max(self._of, key=lambda each: (len(self._of[each]), each == caller))
        return self._of[most][-1]

    def ahead_of_new(self, caller: str) -> int:
        """How many go before a request that this caller would add now, if nobody else adds any."""
        own = len(self._of.get(caller, ()))
        return own + sum(min(len(line), own + 1) for each, line in self._of.items() if each != caller)
