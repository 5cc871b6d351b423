"""What each optimisation brings, from engines that were restarted with and without it, in rounds of random order.

A start of an engine is the unit: how its memory lies and what the compiler made last as long as it does, so two
hundred requests of one start say less than four starts. Each round starts the model once as it is and once without
each optimisation. What changes slowly on a computer hits all of a round alike, so the ratio within a round is what is
averaged, in logarithms, and Student's distribution over the rounds gives the interval.
"""

import math
import random
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Literal

from pydantic import Field

from build.benchmark.document import CellPair, CellReport, Checkout, Quality
from build.benchmark.figures import Frozen, Load

BASE = "as it is"
LEAST_ROUNDS = 2

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120,
    2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045,
)  # fmt: skip
"""Student's t for 95 % on both sides, by degrees of freedom from 1 on. NIST/SEMATECH e-Handbook, 1.3.6.7.2."""
T_80 = (
    1.376, 1.061, 0.978, 0.941, 0.920, 0.906, 0.896, 0.889, 0.883, 0.879, 0.876, 0.873, 0.870, 0.868, 0.866, 0.865,
    0.863, 0.862, 0.861, 0.860, 0.859, 0.858, 0.858, 0.857, 0.856, 0.856, 0.855, 0.855, 0.854,
)  # fmt: skip
"""The same for 80 % on one side: of five effects as large as what is called visible, four are seen."""


class Block(Frozen):
    """One start of an engine, and the loads that it then had."""

    round: int
    variant: str
    release: str
    place: int
    """In the order of its round, from 0."""
    loads: tuple[CellPair, ...]
    quality: Quality | None
    """Of the first round alone: it does not differ between starts."""


class Variant(Frozen):
    """The model without one optimisation, or as it is."""

    name: str
    what: str
    """What is served instead."""
    release: str
    quality: Quality | None


class Effect(Frozen):
    """What an optimisation changes in one figure of one load: the model with it against the model without it."""

    variant: str
    cell: str
    figure: str
    with_it: float
    without_it: float
    """Both are geometric means over the rounds."""
    change: float
    """0.2 for a figure that is a fifth larger with it."""
    low: float
    high: float
    """The interval of 95 % around it."""
    visible: float
    """The smallest change that so many rounds, as different as these were, show four times out of five."""
    rounds: int

    @property
    def is_seen(self) -> bool:
        return self.low > 0 or self.high < 0


class AblationReport(Frozen):
    """What one model's optimisations bring on one host. Every figure is measured."""

    document_schema: Literal["axion.bench-ablation/1"] = Field("axion.bench-ablation/1", alias="schema")
    host: str
    model: str
    began_at: str
    is_quick: bool
    checkout: Checkout
    pins_digest: str
    engine_environment: str
    variants: tuple[Variant, ...]
    left_out: Mapping[str, str]
    """What could not be served without it, and why."""
    blocks: tuple[Block, ...]
    effects: tuple[Effect, ...]


FIGURES: Mapping[str, Callable[[Load], float]] = {
    "tokens/s": lambda load: load.output_tokens_per_s,
    "TTFT": lambda load: load.ttft_s.p50,
    "time per token": lambda load: load.tpot_s.p50,
}


def order(variants: Sequence[str], round_index: int, seed: int) -> list[str]:
    """Return a round's order: any as likely as any other, and the same one whenever it is asked for."""
    return random.Random(f"{seed}/{round_index}").sample(list(variants), len(variants))  # noqa: S311 - no secret


def effects(blocks: Sequence[Block], variants: Sequence[str]) -> list[Effect]:
    """Hold each variant against the model as it is, in the rounds that have both."""
    return list(_effects(blocks, variants))


def _effects(blocks: Sequence[Block], variants: Sequence[str]) -> Iterator[Effect]:
    by_block = {(block.round, block.variant): _figures(block) for block in blocks}
    rounds = sorted({block.round for block in blocks})
    for variant in variants:
        pairs = [
            (by_block[index, BASE], by_block[index, variant])
            for index in rounds
            if (index, BASE) in by_block and (index, variant) in by_block
        ]
        for key in pairs[0][0] if pairs else ():
            both = [(base[key], other[key]) for base, other in pairs if key in base and key in other]
            if len(both) >= LEAST_ROUNDS:
                yield effect(variant, *key, both)


def effect(variant: str, cell: str, figure: str, pairs: Sequence[tuple[float, float]]) -> Effect:
    """Average the logarithms of what is with it over what is without it; at least two pairs, all above zero."""
    ratios = [math.log(base / other) for base, other in pairs]
    mean, freedom = statistics.fmean(ratios), min(len(ratios) - 1, len(T_975))
    error = statistics.stdev(ratios) / math.sqrt(len(ratios))
    half = T_975[freedom - 1] * error
    return Effect(
        variant=variant,
        cell=cell,
        figure=figure,
        with_it=statistics.geometric_mean(base for base, _ in pairs),
        without_it=statistics.geometric_mean(other for _, other in pairs),
        change=math.expm1(mean),
        low=math.expm1(mean - half),
        high=math.expm1(mean + half),
        visible=math.expm1(half + T_80[freedom - 1] * error),
        rounds=len(ratios),
    )


def _figures(block: Block) -> dict[tuple[str, str], float]:
    """Each figure of each load that is to be believed."""
    found: dict[tuple[str, str], float] = {}
    for cell in (each for pair in block.loads for each in (pair.cold, pair.warm)):
        (load,) = cell.loads
        values = {figure: value(load) for figure, value in FIGURES.items()} if load.is_exact else {}
        found |= {(short_name(cell), figure): value for figure, value in values.items() if value > 0}
    return found


def short_name(cell: CellReport) -> str:
    """A load's name without the model's, which is one for all."""
    return f"{cell.profile}, {cell.concurrency} in flight, {'warm' if cell.is_warm else 'cold'}"
