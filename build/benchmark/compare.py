"""Did something change between two reports, or is it noise? A permutation test for each figure of each cell.

Requests that are in flight together share steps of the engine, so they are no independent samples. What is exchanged
between the reports is therefore a block: as many requests, in the order of their start, as were in flight at once. The
test assumes that blocks of one cell are exchangeable if nothing changed: no drift within a run, and the same computer
with the same other work on it. It knows nothing of what differs between two starts of an engine.

One cell and figure is one question; over all of them Holm's method keeps the level.
"""

import itertools
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from build.benchmark.document import Report
from build.benchmark.figures import Load, Request

LEVEL = 0.05
PERMUTATIONS = 4000
LEAST_BLOCKS = 4
"""Of each side. With fewer than this not even the clearest difference could be called one."""

FIGURES: Mapping[str, Callable[[Request], float]] = {
    "ttft_s": lambda request: request.ttft_s,
    "tpot_s": lambda request: request.tpot_s,
    "latency_s": lambda request: request.latency_s,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One figure of one cell in both reports."""

    cell: str
    model: str
    figure: str
    before: float
    after: float
    blocks: tuple[int, int]
    p: float
    """How often chance alone makes a difference as large: of this figure by itself."""
    is_significant: bool = False
    """At the level, all figures considered."""

    @property
    def change(self) -> float:
        return self.after / self.before - 1 if self.before else 0.0


def blocks_of(load: Load, value: Callable[[Request], float], size: int) -> list[float]:
    """The mean of each block; a last one that is not full belongs to the one before."""
    values = [value(each) for each in load.requests]
    count = max(1, len(values) // size)
    edges = [index * size for index in range(count)] + [len(values)]
    return [statistics.fmean(values[begin:end]) for begin, end in itertools.pairwise(edges) if end > begin]


def permutation_p(one: Sequence[float], other: Sequence[float], *, seed: int = 0, times: int = PERMUTATIONS) -> float:
    """Two-sided, of the difference of means; the observed order counts as one of the permutations."""
    pooled, size, total = [*one, *other], len(one), sum(one) + sum(other)

    def distance(first: float) -> float:
        return abs(first / size - (total - first) / (len(pooled) - size))

    observed, chance = distance(sum(one)) * (1 - 1e-12), random.Random(seed)  # noqa: S311 - no secret
    return (1 + sum(distance(sum(chance.sample(pooled, size))) >= observed for _ in range(times))) / (times + 1)


def holm(differences: Sequence[Difference], level: float = LEVEL) -> list[Difference]:
    """Say which are significant together: the smallest p first, each against level / what is left."""
    ordered = sorted(differences, key=lambda each: each.p)
    passed: set[int] = set()
    for index, each in enumerate(ordered):
        if each.p > level / (len(ordered) - index):
            break
        passed.add(id(each))
    return [replace(each, is_significant=id(each) in passed) for each in differences]


def compare(before: Report, after: Report, *, level: float = LEVEL, times: int = PERMUTATIONS) -> list[Difference]:
    """Test each figure of the cells that both have, in the first one's order."""
    return holm(list(_differences(before, after, times)), level)


def _differences(before: Report, after: Report, times: int) -> Iterator[Difference]:
    theirs = {(cell.name, load.model): load for cell, load in after.loads}
    for cell, load in before.loads:
        other = theirs.get((cell.name, load.model))
        if other is None:
            continue
        for figure, value in FIGURES.items():
            one, two = (blocks_of(each, value, cell.concurrency) for each in (load, other))
            if min(len(one), len(two)) < LEAST_BLOCKS:
                continue
            yield Difference(
                cell=cell.name,
                model=load.model,
                figure=figure,
                before=statistics.fmean(one),
                after=statistics.fmean(two),
                blocks=(len(one), len(two)),
                p=permutation_p(one, two, times=times),
            )


def left_out(before: Report, after: Report) -> list[str]:
    """Name what cannot be compared, and why."""
    theirs = {(cell.name, load.model): load for cell, load in after.loads}
    ours = {(cell.name, load.model) for cell, load in before.loads}
    said = [f"{key} of {model}: in the first report only" for key, model in sorted(ours - theirs.keys())]
    said += [f"{key} of {model}: in the second report only" for key, model in sorted(theirs.keys() - ours)]
    for cell, load in before.loads:
        if other := theirs.get((cell.name, load.model)):
            least = min(len(each.requests) // cell.concurrency for each in (load, other))
            if least < LEAST_BLOCKS:
                what = f"{cell.name} of {load.model}: {least} blocks of {cell.concurrency} requests"
                said.append(f"{what}, and {LEAST_BLOCKS} are needed")
    if before.machine.processor != after.machine.processor:
        said.append("the computers differ: what changed may be theirs")
    return said
