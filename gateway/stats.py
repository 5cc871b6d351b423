"""Figures about the present process for GET /stats: counts, and percentiles over a bounded window."""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

WINDOW = 1024
"""Requests that the percentiles look back on."""


def percentile(values: Iterable[float], percent: int) -> float | None:
    """Return the nearest-rank percentile, None of nothing."""
    ordered = sorted(values)
    if not ordered:
        return None
    return ordered[-(-len(ordered) * percent // 100) - 1]


def _window() -> deque[float]:
    return deque(maxlen=WINDOW)


@dataclass(slots=True)
class ModelStats:
    """The figures of one served model since the process started; they outlive a reload."""

    in_flight: int = 0
    requests: int = 0
    errors: int = 0
    cancelled: int = 0
    interrupted: int = 0
    events: int = 0
    size: int = 0
    held: int = 0
    held_total: int = 0
    latencies_s: deque[float] = field(default_factory=_window)
    first_bytes_s: deque[float] = field(default_factory=_window)

    def count(  # noqa: PLR0913 - one call with named figures reads better than a record made for it
        self,
        *,
        duration_s: float,
        ttfb_s: float | None,
        is_error: bool,
        is_cancelled: bool,
        is_interrupted: bool,
        events: int,
        size: int,
    ) -> None:
        """Add one finished request."""
        self.requests += 1
        self.errors += is_error
        self.cancelled += is_cancelled
        self.interrupted += is_interrupted
        self.events += events
        self.size += size
        if not (is_error or is_cancelled):  # a refusal in a millisecond would flatter the model
            self.latencies_s.append(duration_s)
            if ttfb_s is not None:
                self.first_bytes_s.append(ttfb_s)

    def figures(self) -> dict[str, object]:
        """Return the figures under the names that /stats shows."""
        return {
            "in_flight": self.in_flight,
            "requests_total": self.requests,
            "errors_total": self.errors,
            "cancelled_total": self.cancelled,
            "interrupted_total": self.interrupted,
            "held": self.held,
            "held_total": self.held_total,
            "streamed_events_total": self.events,
            "sent_bytes_total": self.size,
            "latency_s": _summary(self.latencies_s),
            "time_to_first_byte_s": _summary(self.first_bytes_s),
        }


class Stats:
    """The figures of all models."""

    def __init__(self) -> None:
        self._by_model: dict[str, ModelStats] = {}

    def of(self, model: str) -> ModelStats:
        """Return the figures of a served model; call with canonical names only."""
        return self._by_model.setdefault(model, ModelStats())


def _summary(values: Iterable[float]) -> dict[str, float | None]:
    return {"p50": percentile(values, 50), "p95": percentile(values, 95)}


def process_rss_bytes() -> int:
    """Return the resident memory of this process."""
    return _kib(Path("/proc/self/status"), "VmRSS") * 1024


def ram_usage_percent() -> float:
    """Return how much of the machine's memory is in use, as clients of earlier servers read it."""
    memory = Path("/proc/meminfo")
    total = _kib(memory, "MemTotal")
    return round(100 * (1 - _kib(memory, "MemAvailable") / total), 1) if total else 0.0


def _kib(table: Path, key: str) -> int:
    try:
        lines = table.read_text().splitlines()
    except OSError:  # not Linux
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{key}:")), 0)
