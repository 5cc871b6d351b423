"""Figures from samples of known truth."""

import pytest

from agent.bench_messages import Generated
from build.benchmark.figures import load_of, overlap_share, percentile
from tests.support.bench_reports import generated


def test_figures_are_what_the_samples_say() -> None:
    load = load_of("a", generated([1.5, 1.5, 2.5, 1.5]))
    assert load.output_tokens_per_s == pytest.approx(44 / 7)
    assert load.requests_per_min == pytest.approx(60 * 4 / 7)
    assert load.ttft_s.p50 == 0.5
    assert load.tpot_s.p50 == pytest.approx(0.1)
    assert load.tpot_s.mean == pytest.approx((3 * 0.1 + 0.2) / 4)
    assert load.latency_s.p95 == pytest.approx(2.35)
    assert load.client_cpu_per_token_s == pytest.approx(0.000025)
    assert load.is_exact
    assert load.mark == ""


def test_tokens_that_the_engine_counted_otherwise_are_told() -> None:
    load = load_of("a", generated([1.5] * 4, counted=50))
    assert not load.is_exact
    assert load.mark == "the engine counted 50 tokens, the client 44"


def test_a_generator_that_failed_has_no_figures_and_says_why() -> None:
    load = load_of("a", Generated(None, "not done in time", 0.0, {}, {}))
    assert load.mark == "no result: not done in time"
    assert load.output_tokens_per_s == 0


def test_failed_requests_are_counted_and_have_no_latency() -> None:
    made = generated([1.5] * 4)
    result = {**(made.result or {}), "failed": 1, "errors": ["", "boom", "", ""], "output_lens": [11, 0, 11, 11]}
    load = load_of("a", Generated(result, "", 0.0, made.before, {"generation_tokens_total": 1033.0}))
    assert len(load.requests) == 3
    assert load.mark == "1 requests failed"


@pytest.mark.parametrize(("percent", "value"), [(0, 1.0), (50, 2.5), (95, 3.85), (100, 4.0)])
def test_percentiles_are_numpys(percent: float, value: float) -> None:
    """numpy.percentile([1, 2, 3, 4], [0, 50, 95, 100])."""
    assert percentile([4.0, 1.0, 3.0, 2.0], percent) == pytest.approx(value)


def test_the_overlap_is_the_time_in_which_all_were_asked() -> None:
    long, short = load_of("a", generated([2.0] * 4)), load_of("b", generated([2.0] * 3))
    assert overlap_share([long, short]) == pytest.approx(0.75)
    assert overlap_share([long]) == 1
    assert overlap_share([long, load_of("c", Generated(None, "x", 0, {}, {}))]) == 0
