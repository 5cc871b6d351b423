"""A model's time limit: what its longest answer takes on a slow machine, computed by hand."""

from pathlib import Path
from typing import Any

import pytest

from deployment.models.answer_time import response_s
from deployment.models.load import load_deployment
from deployment.models.spec import Served

MODELS = load_deployment(Path("models.yaml")).models


def served(name: str, **changes: Any) -> Served:
    return MODELS[name].model_copy(update=changes)


def test_a_27b_models_2048_tokens_are_not_cut_off_at_ten_minutes() -> None:
    """Two tokens a second make 1024 s of them: the limit has room for that, and more than a minute a token for none."""
    assert 1024 < response_s(served("gemma3_multimodal", max_output_tokens=2048), 600) < 4096


def test_the_limit_is_the_context_times_the_bytes_of_a_token_over_what_slow_cores_read() -> None:
    phi = served("phi4_fast")
    read = phi.checkpoint.tensors.loaded_bytes(2, is_online_int4=True)
    assert 2e9 < read < 5e9  # 3.8 billion weights, most of them 4-bit
    assert response_s(phi, 600) == -(-4096 * read // 4_500_000_000)  # three cores at 1.5 GB/s


@pytest.mark.parametrize(
    ("changes", "general_s", "limit_s"),
    [
        ({}, 600.0, 7200),  # 24,576 tokens would take longer than anybody waits
        ({}, 9000.0, 9000),  # the general limit is what somebody asked for
        ({"max_output_tokens": 1}, 600.0, 600),
        ({"response_s": 42.0}, 600.0, 42),
    ],
)
def test_the_limit_has_a_floor_and_a_ceiling_and_may_be_set(
    changes: dict[str, Any], general_s: float, limit_s: float
) -> None:
    assert response_s(served("gemma3_multimodal", **changes), general_s) == limit_s
