"""How long one waits for models that come up one after another."""

import time

END_MAX_S = 700.0
"""An engine finishes its requests before the next one of its name starts: its own bound, plus a little."""


class Clock:
    """Says when nothing has come of it for too long.

    Each model has its time from when the one before is done. That shows when a model comes a step further than ever
    before: to its launcher's start, to an engine that is up, to an answer. There are no more such steps.
    """

    def __init__(self, timeout_s: float) -> None:
        self.timeout_s = timeout_s
        self.began = self.advanced = time.monotonic()
        self._steps: set[tuple[str, str]] = set()

    def note(self, model: str, state: str) -> None:
        if (model, state) not in self._steps:
            self._steps.add((model, state))
            self.advanced = time.monotonic()

    def wait_for_an_end(self) -> None:
        """An old engine still answers those that it has: the new one's time has not begun."""
        if self.after_s < END_MAX_S:
            self.advanced = time.monotonic()

    @property
    def after_s(self) -> float:
        return round(time.monotonic() - self.began, 1)

    @property
    def is_over(self) -> bool:
        return time.monotonic() > self.advanced + self.timeout_s
