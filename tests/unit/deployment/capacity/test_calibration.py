"""Fitting the model of a step to measurements: those of a simulated host, whose truth is known, with noise."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from deployment.capacity.calibration import Point, by_model, calibrated, closed_loop, errors, read_points
from deployment.capacity.engine import Engine, engine_of
from deployment.capacity.machine import Machine
from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from tests.support.engine_simulation import closed

GUESS = engine_of(
    load_deployment(Path("models.yaml")).models["qwen_coder"], Machine(vcpus=8), Path("kernels/bench/baseline.json")
)
TRUTH = replace(
    GUESS,
    machine=replace(
        GUESS.machine, host_bytes_per_s=90e9, core_bytes_per_s=11e9, gemv_share=0.3, gemm_share=0.5,
        step_overhead_s=0.008,
    ),
)  # fmt: skip
"""Another computer than the one that is guessed: a third of the bandwidth, slower kernels, a larger overhead."""


def measured(engine: Engine, noise: float) -> list[Point]:
    """As a benchmark sees it: clients that always have a request open, simulated step by step."""
    source = random.Random(7)  # noqa: S311 - the same ones each time are what is wanted
    found = []
    for prompt in (64, 256, 512):
        for clients in (1, 2, 4, 8):
            rate, ttft_s = closed(
                engine.step_s, clients=clients, prompt=prompt, output=64, step_tokens=engine.step_tokens, rounds=6
            )
            off = [1 + source.uniform(-noise, noise) for _ in range(2)]
            found.append(
                Point(model="qwen_coder", concurrency=clients, prompt_tokens=prompt, output_tokens=64,
                      tokens_per_s=rate * off[0], ttft_s=ttft_s * off[1])
            )  # fmt: skip
    return found


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_what_it_did_not_see_is_within_the_bars(noise: float) -> None:
    points = measured(TRUTH, noise)
    before = errors(GUESS, points)
    found = calibrated("qwen_coder", GUESS, points)
    assert found.held_out is not None
    assert found.held_out.throughput <= 0.15 < before.throughput
    assert found.held_out.ttft <= 0.25 < before.ttft


def test_what_follows_the_formula_is_fitted_exactly() -> None:
    points = []
    for point in measured(TRUTH, 0.0):
        rate, ttft_s = closed_loop(TRUTH, point)
        points.append(point.model_copy(update={"tokens_per_s": rate, "ttft_s": ttft_s}))
    found = calibrated("qwen_coder", GUESS, points)
    assert found.fitted.throughput < 0.01
    assert found.fitted.ttft < 0.01


def test_measurements_that_mean_nothing_are_not_fitted() -> None:
    """Negative control: without a relation between load and speed, what was held out is far off."""
    points = measured(TRUTH, 0.0)
    source = random.Random(3)  # noqa: S311 - the same ones each time are what is wanted
    wild = [point.model_copy(update={"tokens_per_s": point.tokens_per_s * source.choice([0.2, 5])}) for point in points]
    found = calibrated("qwen_coder", GUESS, wild)
    assert found.held_out is not None
    assert found.held_out.throughput > 0.5


def test_questions_far_outside_of_what_was_measured_are_refused() -> None:
    found = calibrated("qwen_coder", GUESS, measured(TRUTH, 0.0))
    assert found.beyond(concurrency=16, prompt_tokens=1024) is None
    assert found.beyond(concurrency=17, prompt_tokens=64) == (
        "concurrency: measured from 1 to 8, got 17. Measure nearer to it."
    )
    assert found.beyond(concurrency=1, prompt_tokens=31) == (
        "prompt_tokens: measured from 64 to 512, got 31. Measure nearer to it."
    )


def test_too_few_points_and_what_are_none_are_sentences() -> None:
    points = measured(TRUTH, 0.0)
    with pytest.raises(ConfigError) as caught:
        calibrated("qwen_coder", GUESS, points[:3])
    assert caught.value.problems == (
        "qwen_coder: 4 measurements are fitted, got 3. Measure two prompts, each at two concurrencies.",
    )
    with pytest.raises(ConfigError, match=r"^report\.json: no points of a benchmark: schema: missing"):
        read_points({"vcpus": 2, "points": []}, "report.json")
    said = {"schema": "axion.capacity.points/1", "vcpus": 2, "points": [points[0].model_dump()]}
    assert by_model(read_points(said, "report.json"), {"qwen_coder": 1}) == {"qwen_coder": [points[0]]}
    with pytest.raises(ConfigError, match="qwen_coder: measured, but not served"):
        by_model(read_points(said, "report.json"), {"phi4_fast": 1})
