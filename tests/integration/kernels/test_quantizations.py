"""Real vLLM's verdict on every quantization that the table of verdicts holds."""

import json
import math
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from tests.support.quantization_cases import CASES

pytestmark = pytest.mark.kernels

REPOSITORY = Path(__file__).parents[3]
BOUND_S = 3600  # seven minutes on a quiet machine


@pytest.fixture(scope="module")
def answers(
    engine_python: str, kernels_site: Path, tmp_path_factory: pytest.TempPathFactory
) -> Mapping[str, Mapping[str, Any]]:
    directory = tmp_path_factory.mktemp("quantizations")
    caches = {"VLLM_CACHE_ROOT": str(directory / "vllm"), "TORCHINDUCTOR_CACHE_DIR": str(directory / "inductor")}
    ours = {"PYTHONPATH": f"{kernels_site}:{REPOSITORY}", "AXION_KERNELS": "linear_w4"}
    env = {**os.environ, "VLLM_CPU_OMP_THREADS_BIND": "nobind", **caches, **ours}
    command = [engine_python, "-m", "tests.support.kernels.quantizations", str(directory)]
    done = subprocess.run(command, env=env, cwd=directory, capture_output=True, text=True, timeout=BOUND_S, check=False)
    assert done.returncode == 0, done.stderr[-4000:]
    read: Mapping[str, Mapping[str, Any]] = json.loads((directory / "answers.json").read_text())
    return read


def error_of(answer: Mapping[str, Any], twin: Mapping[str, Any]) -> float:
    """The distance of the logits, over the spread of those of the same weights in bfloat16."""
    mean = sum(twin["logits"]) / len(twin["logits"])
    return math.dist(answer["logits"], twin["logits"]) / math.dist(twin["logits"], [mean] * len(twin["logits"]))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.served])
def test_vllm_answers_like_the_same_weights_in_bfloat16(
    name: str, answers: Mapping[str, Mapping[str, Mapping[str, Any]]]
) -> None:
    assert answers[name]["got"].get("error") is None
    assert error_of(answers[name]["got"], answers[name]["wanted"]) < 0.02


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.served])
def test_vllm_raises_what_the_table_refuses(name: str, answers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
    assert "error" in answers[name]["got"]
