"""How many tokens a step has where nobody says: what the cores compute in a quarter of a second, within bounds."""

from pathlib import Path

import pytest

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.lock import lock_path, read_lock
from deployment.models.step import step_tokens

MODELS = read_lock(lock_path(Path("models.yaml")))


def checkpoint(name: str = "qwen_coder", linear: int | None = None) -> Checkpoint:
    found = MODELS.models[name].checkpoint
    if linear is None:
        return found
    part = found.tensors.parts["linear"].model_copy(update={"parameters": linear})
    return found.model_copy(update={"tensors": found.tensors.model_copy(update={"parts": {"linear": part}})})


@pytest.mark.parametrize(
    ("name", "cores", "tokens"),
    [
        ("phi4_fast", 3, 128),
        ("qwen_coder", 5, 128),
        ("mistral_balanced", 6, 128),
        ("gemma3_multimodal", 14, 512),
        ("phi4_fast", 28, 192),  # 0.25 s x 28 x 89e9 / 3.22e9 = 193
        ("phi4_fast", 60, 384),  # 414
    ],
)
def test_the_production_models_have_steps_for_their_cores(name: str, cores: int, tokens: int) -> None:
    assert step_tokens(checkpoint(name), cores=cores, sequences=8) == tokens


def test_a_lock_file_of_a_newer_checkout_may_name_an_architecture_that_is_unknown_here() -> None:
    known = checkpoint("phi4_fast")
    newer = known.model_copy(update={"shape": known.shape.model_copy(update={"architecture": "Qwen9ForCausalLM"})})
    assert step_tokens(newer, cores=3, sequences=8) == 128


@pytest.mark.parametrize(
    ("linear", "cores", "sequences", "tokens"),
    [
        (106_000_000, 1, 8, 192),  # SmolLM2-135M: 209
        (500_000, 1, 8, 2048),
        (0, 1, 8, 2048),
        (7_000_000_000, 1, 300, 300),
    ],
)
def test_a_small_model_has_vllms_own_step_and_a_step_has_room_for_every_sequence(
    linear: int, cores: int, sequences: int, tokens: int
) -> None:
    assert step_tokens(checkpoint(linear=linear), cores=cores, sequences=sequences) == tokens
