"""What an optimisation brings, by restarts: seen where it is, and not where nothing changed."""

import math
import random
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping

import pytest

from build.benchmark.ablation import BASE, T_80, T_975, AblationReport, Block, Variant, effect, effects, order
from build.benchmark.ablation_page import html, markdown
from build.benchmark.document import CellPair, CellReport, Checkout
from build.benchmark.figures import Load, spread


def block(round_index: int, variant: str, seconds_per_token: float, *, failed: int = 0) -> Block:
    """One start whose every token took so long."""
    load = Load(
        model="a", requests=(), failed=failed, problem="", duration_s=1, output_tokens_per_s=1 / seconds_per_token,
        requests_per_min=1, ttft_s=spread([0.5]), tpot_s=spread([seconds_per_token]), gap_s=spread([]),
        latency_s=spread([]), engine_tokens=1, client_tokens=1, prefix_hit_share=None, preemptions=0,
        client_cpu_per_token_s=0,
    )  # fmt: skip
    cold, warm = (
        CellReport(key="a", models=("a",), profile="chat", concurrency=1, is_warm=warm, seed=1, overlap_share=1,
                   loads=(load,))
        for warm in (False, True)
    )  # fmt: skip
    return Block(
        round=round_index, variant=variant, release="r", place=0, loads=(CellPair(cold=cold, warm=warm),), quality=None
    )  # fmt: skip


def density(t: float, freedom: int) -> float:
    """Student's."""
    front = math.gamma((freedom + 1) / 2) / (math.sqrt(freedom * math.pi) * math.gamma(freedom / 2))
    return front * math.pow(1 + t * t / freedom, -(freedom + 1) / 2)


def area(upto: float, freedom: int, steps: int = 2000) -> float:
    """From the middle, by Simpson's rule."""
    width = upto / steps
    odd = sum(density(width * step, freedom) for step in range(1, steps, 2))
    even = sum(density(width * step, freedom) for step in range(2, steps, 2))
    return width / 3 * (density(0, freedom) + 4 * odd + 2 * even + density(upto, freedom))


@pytest.mark.parametrize(("table", "share"), [(T_975, 0.475), (T_80, 0.3)], ids=["both sides", "one side"])
def test_the_tables_are_students_distribution(table: tuple[float, ...], share: float) -> None:
    for freedom, t in enumerate(table, 1):
        assert area(t, freedom) == pytest.approx(share, abs=2e-4), freedom


def test_a_round_has_each_variant_once_in_an_order_that_any_round_may_have() -> None:
    variants = [BASE, "kernels", "compile"]
    orders = Counter(tuple(order(variants, index, 7)) for index in range(600))
    assert len(orders) == 6
    assert all(60 < count < 140 for count in orders.values()), orders
    assert order(variants, 3, 7) == order(variants, 3, 7)


def test_an_effect_is_the_mean_of_the_ratios_within_rounds() -> None:
    """ln 2, ln 2.2 and ln 1.8; their deviation is 0.100448, and t for two degrees of freedom 4.303."""
    found = effect("kernels", "c", "tokens/s", [(20, 10), (44, 20), (9, 5)])
    assert found.change == pytest.approx(0.9933, abs=1e-3)
    assert found.low == pytest.approx(math.exp(math.log(1.9933) - 4.303 * 0.100448 / math.sqrt(3)) - 1, abs=1e-3)
    assert found.is_seen
    assert (found.rounds, round(found.with_it, 3), round(found.without_it, 3)) == (3, 19.933, 10.0)


def test_half_the_speed_is_found_where_rounds_differ_by_a_third() -> None:
    chance = random.Random(1)  # noqa: S311 - no secret
    blocks = []
    for index in range(4):
        drift = chance.uniform(1, 1.33)
        for variant, slower in ((BASE, 1.0), ("kernels", 2.0), ("compile", 1.0)):
            blocks.append(block(index, variant, 0.1 * slower * drift * chance.uniform(0.97, 1.03)))
    cold = [each for each in effects(blocks, ["kernels", "compile"]) if "cold" in each.cell]
    found = {(each.variant, each.figure): each for each in cold}
    assert found["kernels", "tokens/s"].change == pytest.approx(1.0, abs=0.1)
    assert found["kernels", "tokens/s"].is_seen
    assert found["kernels", "time per token"].change == pytest.approx(-0.5, abs=0.05)
    assert not found["compile", "tokens/s"].is_seen
    assert found["compile", "tokens/s"].visible < 0.2


def test_where_nothing_changed_one_in_twenty_is_called_a_change() -> None:
    """1,000 optimisations that bring nothing, four rounds each: 50 are expected, and fewer than 70 almost certain."""
    chance = random.Random(2)  # noqa: S311 - no secret

    def pairs() -> Iterator[tuple[float, float]]:
        for _ in range(4):
            drift = chance.uniform(1, 2)
            yield drift * chance.lognormvariate(0, 0.05), drift * chance.lognormvariate(0, 0.05)

    seen = sum(effect("none", "c", "tokens/s", list(pairs())).is_seen for _ in range(1000))
    assert 30 < seen < 70


def test_a_change_of_the_visible_size_is_seen_four_times_in_five() -> None:
    chance, hits, sizes = random.Random(3), 0, []  # noqa: S311 - no secret
    for _ in range(400):
        noise = [(chance.lognormvariate(0, 0.05), chance.lognormvariate(0, 0.05)) for _ in range(6)]
        sizes.append(effect("none", "c", "tokens/s", noise).visible)
    size = statistics.fmean(sizes)
    for _ in range(400):
        noise = [((1 + size) * chance.lognormvariate(0, 0.05), chance.lognormvariate(0, 0.05)) for _ in range(6)]
        hits += effect("some", "c", "tokens/s", noise).is_seen
    assert 0.7 < hits / 400 < 0.9


def test_a_round_without_a_figure_to_believe_counts_for_neither_side() -> None:
    blocks = [block(index, variant, 0.1) for index in range(3) for variant in (BASE, "kernels")]
    blocks[3] = block(1, "kernels", 0.4, failed=1)
    blocks += [block(0, "compile", 0.1)]
    found = effects(blocks, ["kernels", "compile"])
    assert {(each.variant, each.rounds) for each in found} == {("kernels", 2)}, "one round shows nothing"


def test_a_report_says_what_was_seen_and_what_was_not() -> None:
    chances: Mapping[str, float] = {"kernels": 0.2, "compile": 0.1}
    blocks = [
        block(index, variant, seconds * (1 + index / 50 + (variant == "compile") * (-1) ** index / 20))
        for index in range(4)
        for variant, seconds in {BASE: 0.1, **chances}.items()
    ]
    report = AblationReport(
        host="h",
        model="a",
        began_at="now",
        is_quick=False,
        checkout=Checkout(commit="c", is_changed=False),
        pins_digest="p",
        engine_environment="e",
        variants=tuple(Variant(name=name, what="w", release="r", quality=None) for name in (BASE, *chances)),
        left_out={"int4": "does not fit"},
        blocks=tuple(blocks),
        effects=tuple(effects(blocks, [*chances])),
    )
    text = markdown(report)
    assert "| kernels | chat, 1 in flight, cold | tokens/s |" in text
    assert "+100.0%" in text
    assert "(not seen)" in text
    assert "| int4 | does not fit |" in text
    assert html(report).count("<svg") == 2
