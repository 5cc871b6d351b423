"""How much of a processor one gets just now: bounds in seconds are meant for a machine that does nothing else."""

import time
from collections.abc import Callable
from typing import Any

SPIN_S = 0.5


def stretched(bound_s: float) -> float:
    """Return the bound for now of what alone takes `bound_s`: that very bound alone, a longer one beside others."""
    return bound_s * (1 + 1.5 * max(0.0, _seconds_for_one() - 1.05))


def eventually(condition: Callable[[], Any], what: str, bound_s: float = 15.0) -> Any:
    """Wait until a condition holds, and return what it gave; a test that waits says what for."""
    began = time.monotonic()
    while not (found := condition()):
        waited_s = time.monotonic() - began
        # How busy the machine is is asked only of one that took too long for an idle one.
        assert waited_s < bound_s or waited_s < stretched(bound_s), f"not within {bound_s:g} s: {what}"
        time.sleep(0.02)
    return found


def _seconds_for_one() -> float:
    """Seconds by the clock for a second of processor time."""
    began, spent = time.monotonic(), time.thread_time()
    while time.thread_time() - spent < SPIN_S:
        pass
    return (time.monotonic() - began) / SPIN_S
