"""What two reports differ in: the level is kept on equal ones, and a slowdown is found."""

import math
import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from build.benchmark.compare import blocks_of, compare, holm, left_out, permutation_p
from build.benchmark.document import Report
from build.benchmark.figures import load_of
from tests.support.bench_reports import cell, generated, report
from tests.unit.build.benchmark.recorded import RECORDED

PAIRS = 200


def replayed(chance: random.Random, *, factor: float = 1.0) -> Report:
    """A report whose requests are drawn from recorded ones."""
    drawn = chance.choices(RECORDED, k=16)
    ttfts, latencies = ([factor * each for each in column] for column in zip(*drawn, strict=True))
    return report(cell([load_of("alpha", generated(latencies, ttfts))]))


def test_equal_runs_differ_no_more_often_than_the_level_allows() -> None:
    """Of 200 pairs with a true level of 5 %, 17 or fewer differ in 98 of 100 cases (binomial)."""
    chance = random.Random(3)  # noqa: S311 - no secret
    found = sum(
        any(each.is_significant for each in compare(replayed(chance), replayed(chance), times=400))
        for _ in range(PAIRS)
    )  # fmt: skip
    print(f"{found} of {PAIRS} equal pairs were called different")
    assert found <= 17


def test_half_the_speed_is_found() -> None:
    chance = random.Random(4)  # noqa: S311 - no secret
    found = compare(replayed(chance), replayed(chance, factor=2.0), times=2000)
    assert {each.figure: each.is_significant for each in found} == {"ttft_s": True, "tpot_s": True, "latency_s": True}
    assert all(each.change > 0.5 for each in found)


def test_p_is_that_of_all_permutations() -> None:
    """Two of the 20 ways to choose three of six are as far apart as 1, 2, 3 and 4, 5, 6."""
    assert permutation_p([1, 2, 3], [4, 5, 6], times=20_000) == pytest.approx(0.1, abs=0.01)
    assert permutation_p([1, 1, 1, 1], [1, 1, 1, 1], times=200) == 1


def test_requests_that_were_in_flight_together_are_one_sample() -> None:
    load = load_of("a", generated([1.0, 3.0, 5.0, 7.0, 9.0]))
    assert blocks_of(load, lambda request: request.latency_s, 2) == [2.0, 7.0]
    assert blocks_of(load, lambda request: request.latency_s, 8) == [5.0]


@pytest.mark.parametrize(
    ("ps", "significant"),
    [
        ((0.016, 0.03, 0.02), [True, True, True]),  # against 0.0167, 0.05 and 0.025
        ((0.017, 0.03, 0.02), [False, False, False]),
        ((0.001, 0.06, 0.02), [True, False, True]),
    ],
)
def test_holm_asks_more_of_each_where_there_are_many(ps: Sequence[float], significant: list[bool]) -> None:
    told = compare(report(), report(), times=10)
    found = holm([replace(each, p=p) for each, p in zip(told, ps, strict=True)])
    assert [each.is_significant for each in found] == significant


def test_what_cannot_be_compared_is_told() -> None:
    few = report(cell([load_of("alpha", generated([1.5] * 4))], concurrency=2))
    assert left_out(few, few) == ["alpha-chat-c2-cold of alpha: 2 blocks of 2 requests, and 4 are needed"]
    assert left_out(few, report()) == [
        "alpha-chat-c2-cold of alpha: in the first report only",
        "alpha-chat-c1-cold of alpha: in the second report only",
    ]
    assert math.isclose(compare(report(), report(), times=10)[0].p, 1)
