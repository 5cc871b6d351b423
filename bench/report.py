"""Figures about the gateway beside the bars they are held against, for people and as JSON."""

import json
import os
import platform
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, field

from bench.client import Streamed


@dataclass(slots=True)
class Sample:
    """One way's figures of one round: straight to the engine, or through the gateway."""

    latencies_s: list[float] = field(default_factory=list)
    """With one request at a time."""
    requests_per_s: float = 0.0
    busy_latencies_s: list[float] = field(default_factory=list)
    paced: list[Streamed] = field(default_factory=list)
    events_per_s: float = 0.0
    flooded: list[Streamed] = field(default_factory=list)

    def transits_s(self) -> list[float]:
        return [transit for streamed in self.paced for transit in streamed.transits_s]

    def first_events_s(self) -> list[float]:
        return [streamed.first_event_s for streamed in self.paced]

    def streams(self) -> list[Streamed]:
        return [*self.paced, *self.flooded]


Pair = tuple[Sample, Sample]
"""Direct and through the gateway, of the same round."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One measured value and its bar."""

    name: str
    unit: str
    value: float
    bar: float | None = None
    is_more_better: bool = False
    direct: float | None = None
    """The same without the gateway; what is added is a difference already and has none."""

    @property
    def verdict(self) -> str:
        if self.bar is None:
            return ""
        return "pass" if (self.value >= self.bar if self.is_more_better else self.value <= self.bar) else "worse"


def percentile(values: Iterable[float], percent: int) -> float:
    """Return the nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[-(-len(ordered) * percent // 100) - 1]


def added_ms(pairs: Sequence[Pair], values_of: Callable[[Sample], list[float]], percent: int) -> float:
    """Return the median over the rounds of the difference within a round."""
    differences = (
        percentile(values_of(through), percent) - percentile(values_of(direct), percent) for direct, through in pairs
    )
    return 1000 * statistics.median(differences)


def figures_of(pairs: Sequence[Pair], rss_mb: float) -> list[Figure]:
    """Condense the rounds to what is held against the bars."""

    def added(name: str, values_of: Callable[[Sample], list[float]], bars_ms: tuple[float, float]) -> list[Figure]:
        bars = zip((50, 99), bars_ms, strict=True)
        return [
            Figure(name=f"{name}, p{at}", unit="ms", value=added_ms(pairs, values_of, at), bar=bar) for at, bar in bars
        ]

    def rate(name: str, value_of: Callable[[Sample], float], bar: float) -> Figure:
        direct, through = (statistics.median(value_of(pair[way]) for pair in pairs) for way in (0, 1))
        return Figure(name=name, unit="/s", value=through, bar=bar, is_more_better=True, direct=direct)

    streams = [streamed for _, through in pairs for streamed in through.streams()]
    paced = [streamed for _, through in pairs for streamed in through.paced]
    return [
        *added("added to an answer, 1 client", lambda taken: taken.latencies_s, (0.7, 5)),
        rate("requests, 16 clients", lambda taken: taken.requests_per_s, 1500),
        *added("added to the first token, 32 streams", Sample.first_events_s, (5, 15)),
        *added("added to a token's way, 32 streams", Sample.transits_s, (1, 8)),
        rate("events, 32 streams", lambda taken: taken.events_per_s, 6000),
        Figure(name="events lost or out of order", unit="", value=sum(each.lost for each in streams), bar=0),
        # Of the paced streams only: under a flood the engine's events wait in the socket, and are read together.
        Figure(name="events merged into one chunk", unit="", value=sum(each.merged for each in paced), bar=0),
        Figure(name="memory of the gateway", unit="MB", value=rss_mb, bar=80),
    ]


def show(figures: Sequence[Figure], *, loads: tuple[float, float], rounds: int, as_json: bool) -> None:
    """Print the figures with what they were measured on."""
    where = f"{os.cpu_count()} x {platform.machine()}, Python {platform.python_version()}"
    if as_json:
        rows = [asdict(figure) | {"verdict": figure.verdict} for figure in figures]
        print(json.dumps({"measured_on": where, "rounds": rounds, "load_average": loads, "figures": rows}, indent=1))
        return
    for figure in figures:
        direct = "" if figure.direct is None else f"direct {figure.direct:.0f}{figure.unit}"
        bar = "" if figure.bar is None else f"bar {figure.bar:g} {figure.unit}"
        print(f"{figure.name:<40}{figure.value:>10.2f} {figure.unit:<4}{bar:<16}{figure.verdict:<8}{direct}")
    print(f"measured on {where}, {rounds} rounds, load average {loads[0]:.1f} before and {loads[1]:.1f} after")
    if loads[0] > 1:
        print("The machine is busy: times are upper bounds, rates lower ones, and the bars need a calm one.")
