"""What became of each stream under chaos: judged event by event, and each departure by the engine's own log."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

LIMIT_MS = 100.0
"""In which an engine learns that its client has left."""
NEVER_NS = 1 << 62


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What one client saw."""

    user: str
    model: str
    asked_events: int
    status: int = 0
    code: str = ""
    """Of the error that it was told."""
    numbers: list[int] = field(default_factory=list)
    foreign: int = 0
    """Events that are no whole event of this stream."""
    is_done: bool = False
    is_cut: bool = False
    """The connection ended within the stream, and nobody said why."""
    left_ns: int | None = None

    def see(self, event: bytes) -> None:
        """Take one event, without the empty line behind it."""
        if event.startswith(b":"):
            return
        if event == b"data: [DONE]":
            self.is_done = True
            return
        try:
            said = json.loads(event.removeprefix(b"data: "))
            if "error" in said:
                self.code = said["error"]["code"]
            elif said["user"] == self.user and not self.is_done:
                self.numbers.append(said["number"])
            else:
                self.foreign += 1
        except (ValueError, LookupError, TypeError):
            self.foreign += 1

    @property
    def reordered(self) -> int:
        """Events that came after a later one, or twice."""
        return sum(later <= earlier for earlier, later in zip(self.numbers, self.numbers[1:], strict=False))

    @property
    def lost(self) -> int:
        """Events that did not come although later ones did, or although the stream said that it is whole."""
        expected = self.asked_events if self.is_done else max(self.numbers, default=-1) + 1
        return len(set(range(expected)) - set(self.numbers))


@dataclass(frozen=True, slots=True)
class Line:
    """What an engine noted."""

    word: str
    at_ns: int


def read_logs(logs: Iterable[Path]) -> dict[str, Line]:
    """Return the last word on each stream. One that only began was in an engine that was killed, or goes on."""
    found: dict[str, Line] = {}
    for log in logs:
        for word, user, at in (line.split() for line in log.read_text().splitlines()):
            found[user] = Line(word, int(at))
    return found


def cancel_latencies_ms(
    outcomes: Sequence[Outcome], lines: Mapping[str, Line], stops: Sequence[tuple[str, int, int]]
) -> tuple[list[float], int]:
    """Return how long each engine went on for a client that had left, and how many it never heard of.

    `stops` are models with from when to when their engine was stopped, or killed and not back: it hears nothing then.
    """
    latencies, unheard = [], 0
    for each in outcomes:
        line = lines.get(each.user)
        if each.left_ns is None or line is None or line.word == "ended":
            continue
        from_ns, until_ns = each.left_ns, line.at_ns
        if line.word == "began":  # and no more was heard of it: unless its engine was killed since
            from_ns, until_ns = line.at_ns, NEVER_NS
        if any(model == each.model and begin <= until_ns and from_ns <= end for model, begin, end in stops):
            continue
        if line.word == "left":
            latencies.append(max(0, line.at_ns - each.left_ns) / 1e6)
        else:
            unheard += 1
    return sorted(latencies), unheard


def summary(outcomes: Sequence[Outcome]) -> Mapping[str, int]:
    """Count what clients saw, faults among it."""
    counts = Counter(
        "left" if each.left_ns is not None else "whole" if each.is_done else f"told {each.code or each.status}"
        for each in outcomes
        if not each.is_cut
    )
    faults = {
        "lost": sum(each.lost for each in outcomes),
        "merged": sum(each.foreign for each in outcomes),
        "reordered": sum(each.reordered for each in outcomes),
        "cut without a word": sum(each.is_cut for each in outcomes),
    }
    return {**dict(sorted(counts.items())), **faults}
