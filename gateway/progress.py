"""Whether an engine that somebody waits for gets anywhere: by its own count of steps, judged as its watchdog does."""

from agent.watchdog import STEPS, Look, Seen, judge, metrics_of

LOOKS_PER_STALL = 6


class Progress:
    """What one engine was seen to do while it was waited for."""

    def __init__(self) -> None:
        self.awaited = 0
        """Requests that wait for the engine now, and not for a client that reads slowly."""
        self.pieces = 0
        """What has come from it. That is progress too, and all there is of requests that it refuses without a step."""
        self._seen: Seen | None = None
        self._looked_s = float("-inf")

    def is_due(self, now_s: float, stall_s: float) -> bool:
        """Whether to look at the engine's metrics: they are long, so not at every probe."""
        return now_s - self._looked_s >= stall_s / LOOKS_PER_STALL

    def rest(self) -> None:
        """Note that nobody waits: how long there has been no step says nothing then."""
        self._seen = None

    def look(self, metrics: str, now_s: float) -> None:
        """Take in what the engine says of itself."""
        steps = metrics_of(metrics).get(STEPS)
        done = None if steps is None else steps + self.pieces
        before = self._seen or Seen(answered_s=now_s, alive_s=now_s, stepped_s=now_s, steps=done)
        self._seen, _ = judge(before, Look(answers=True, in_flight=float(self.awaited), steps=done), now_s)
        self._looked_s = now_s

    def is_stuck(self, now_s: float, stall_s: float) -> bool:
        """Whether the last looks found no progress for so long."""
        return self._seen is not None and now_s - self._seen.alive_s >= stall_s
