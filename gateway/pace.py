"""How fast a model has served of late, and what that says to those who wait: pure arithmetic."""

import math
from collections import deque
from collections.abc import Iterable
from statistics import fmean

RECENT = 32
"""Answers that are looked back on."""
EVIDENCE = 8
"""Fewer say too little to refuse anybody for."""
SHORTEST_RETRY_S, LONGEST_RETRY_S = 1, 120
UNKNOWN_RETRY_S = 5
"""Before anything was served."""


class Pace:
    """How long the last answers occupied their places at the engine."""

    def __init__(self, served_s: Iterable[float] = ()) -> None:
        self._served_s = deque(served_s, maxlen=RECENT)

    def note(self, seconds: float) -> None:
        """Add an answer that came to its end. One that was refused or cut off says nothing about the next."""
        self._served_s.append(seconds)

    def wait_s(self, ahead: int, places: int) -> float | None:
        """How long until so many have got a place: with each of `places` free every mean time. None: not known."""
        if not self._served_s:
            return None
        return ahead * fmean(self._served_s) / places

    def retry_after_s(self, waiting: int, places: int) -> int:
        """When those who wait now will have been served, in whole seconds for Retry-After."""
        wait_s = self.wait_s(waiting, places)
        if wait_s is None:
            return UNKNOWN_RETRY_S
        return min(LONGEST_RETRY_S, max(SHORTEST_RETRY_S, math.ceil(wait_s)))

    def soonest_end_s(self, ahead: int, places: int) -> float | None:
        """When a request behind so many could end if it were as short as the shortest of late. None: not known.

        Its own turn counts as well: it needs a place that somebody has.
        """
        if len(self._served_s) < EVIDENCE:
            return None
        return (self.wait_s(ahead + 1, places) or 0.0) + min(self._served_s)
