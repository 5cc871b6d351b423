"""How much of a processor one gets just now: bounds in seconds are meant for a machine that does nothing else."""

import time

SPIN_S = 0.5


def stretched(bound_s: float) -> float:
    """Return the bound for now of what alone takes `bound_s`: that very bound alone, a longer one beside others."""
    return bound_s * (1 + 1.5 * max(0.0, _seconds_for_one() - 1.05))


def _seconds_for_one() -> float:
    """Seconds by the clock for a second of processor time."""
    began, spent = time.monotonic(), time.thread_time()
    while time.thread_time() - spent < SPIN_S:
        pass
    return (time.monotonic() - began) / SPIN_S
