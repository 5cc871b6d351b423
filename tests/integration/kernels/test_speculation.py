"""Real vLLM with the plug-in, with and without guesses from n-grams: the same greedy tokens, and no engine that ends.

How often sampled tokens come is held against no guesses in tests/support/kernels/speculation.py, without an engine.
"""

import json
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.kernels

HERE = Path(__file__).parents[2] / "support" / "kernels"
BOUND_S = 1800  # a minute on a quiet machine
TOKENS = 40

Told = Mapping[str, Mapping[str, Any]]


@pytest.fixture(scope="module")
def told(engine_python: str, kernels_site: Path, tmp_path_factory: pytest.TempPathFactory) -> Told:
    directory = tmp_path_factory.mktemp("speculation")

    def run(*words: str, **more: str) -> None:
        env = {**os.environ, "VLLM_CPU_OMP_THREADS_BIND": "nobind", **more}
        done = subprocess.run(
            [engine_python, "-P", *words],
            env=env, cwd=directory, capture_output=True, text=True, timeout=BOUND_S, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr[-4000:]

    run(str(HERE / "checkpoints.py"), str(directory))
    answers = directory / "answers.json"
    caches = {"VLLM_CACHE_ROOT": str(directory / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor")}
    run(str(HERE / "speculate.py"), str(directory / "qwen2"), str(answers), PYTHONPATH=str(kernels_site), **caches)
    made: Told = json.loads(answers.read_text())
    return made


@pytest.mark.parametrize("kind", ["greedy", "greedy, penalties", "greedy, logprobs", "top_k 1", "top_p 0"])
def test_where_one_token_can_come_it_is_that_of_no_speculation(kind: str, told: Told) -> None:
    assert told["on"][kind] == told["off"][kind]


def test_settings_of_one_request_do_not_reach_another(told: Told) -> None:
    mixed = told["on"]["mixed"]
    assert mixed[0] == told["off"]["greedy"][0]
    assert mixed[2] == told["off"]["greedy, penalties"][2]


def test_the_comparison_is_worth_making(told: Told) -> None:
    """Guesses were made, some kept and some not; penalties change what is said, and so do draws."""
    on = told["on"]
    assert 0 < on["accepted_tokens"] < on["draft_tokens"]
    assert "draft_tokens" not in told["off"] or told["off"]["draft_tokens"] == 0
    assert on["greedy"] != on["greedy, penalties"]
    assert on["greedy"] != on["temperature"]


@pytest.mark.parametrize("kind", ["top_k", "top_p", "both, penalties", "temperature", "mixed"])
def test_a_request_that_samples_is_answered_to_the_end(kind: str, told: Told) -> None:
    """Stock vLLM 0.32 draws these from uninitialised memory, and dies of a top_k in it."""
    assert [len(tokens) for tokens in told["on"][kind]] == [TOKENS] * 3


def test_a_seed_repeats_what_was_drawn(told: Told) -> None:
    assert told["on"]["top_k"] == told["on"]["top_k again"]
