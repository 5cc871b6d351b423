"""config.json read as vLLM and transformers read it: what is absent, null, or said in another place."""

from typing import Any

import pytest

from deployment.checkpoint.shape import read_shape, shape_problems
from tests.integration.engine.test_kv_cache import CHECKPOINTS
from tests.support.hollow import TINY
from tests.support.published import CONFIGS

LLAMA = {**TINY, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "num_attention_heads": 4}
MISTRAL = {**LLAMA, "architectures": ["MistralForCausalLM"], "model_type": "mistral"}
QWEN = {**TINY, "num_hidden_layers": 4}
GEMMA = {**TINY, "architectures": ["Gemma3ForCausalLM"], "num_hidden_layers": 7, "sliding_window": 512}
FULL, SLIDING = "full_attention", "sliding_attention"


def bent(config: dict[str, Any], without: tuple[str, ...] = (), **changes: Any) -> dict[str, Any]:
    return {key: value for key, value in {**config, **changes}.items() if key not in without}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gemma3_multimodal", (62, 32, 16, 128, 262208, 131072, True, 1024, 52)),
        ("mistral_balanced", (32, 32, 8, 128, 32768, 32768, False, None, 0)),
        ("qwen_coder", (28, 28, 4, 128, 152064, 32768, False, None, 0)),
        ("phi4_fast", (32, 24, 8, 128, 200064, 131072, True, 262144, 32)),
    ],
)
def test_the_published_configurations_are_understood(name: str, expected: tuple[Any, ...]) -> None:
    assert list(shape_problems(CONFIGS[name])) == []
    shape = read_shape(CONFIGS[name])
    assert expected == (
        *(shape.num_hidden_layers, shape.num_attention_heads, shape.num_key_value_heads, shape.head_dim),
        *(shape.vocab_size, shape.max_position_embeddings, shape.tie_word_embeddings),
        *(shape.sliding_window, shape.sliding_layers),
    )


@pytest.mark.parametrize(
    ("config", "heads"),
    [
        (bent(LLAMA, without=("num_key_value_heads",)), 4),
        (bent(LLAMA, num_key_value_heads=None), 4),
        (bent(MISTRAL, num_attention_heads=16, without=("num_key_value_heads",)), 8),
        (bent(MISTRAL, num_key_value_heads=None), 4),
        (bent(QWEN, num_key_value_heads=None), 2),
        (bent(GEMMA, num_attention_heads=8, without=("num_key_value_heads",)), 4),
    ],
)
def test_heads_that_are_absent_or_null_are_what_the_class_says(config: dict[str, Any], heads: int) -> None:
    assert read_shape(config).num_key_value_heads == heads


@pytest.mark.parametrize(
    ("config", "window", "layers"),
    [
        (bent(MISTRAL, sliding_window=None), None, 0),
        (bent(MISTRAL, sliding_window=0), None, 0),
        (MISTRAL, 4096, 2),  # the class's own window where none is said
        (bent(MISTRAL, sliding_window=4096, layer_types=[FULL, FULL]), None, 0),
        (bent(MISTRAL, sliding_window=64, layer_types=[SLIDING, FULL]), 64, 1),
        (LLAMA, None, 0),
        (bent(LLAMA, sliding_window=128), 128, 2),
        (bent(QWEN, sliding_window=64), None, 0),  # published and off
        (bent(QWEN, sliding_window=64, use_sliding_window=True, max_window_layers=0), 64, 4),
        (bent(QWEN, sliding_window=64, use_sliding_window=True, max_window_layers=4), None, 0),
        (GEMMA, 512, 6),  # every sixth layer looks back over everything
        (bent(GEMMA, sliding_window_pattern=2), 512, 4),
        (bent(GEMMA, layer_types=[FULL] * 7), None, 0),
        (bent(GEMMA, layer_types=[SLIDING] * 7), 512, 7),
    ],
)
def test_a_window_is_of_those_layers_that_vllm_gives_one(
    config: dict[str, Any], window: int | None, layers: int
) -> None:
    shape = read_shape(config)
    assert (shape.sliding_window, shape.sliding_layers) == (window, layers)


@pytest.mark.parametrize(
    ("config", "width"),
    [
        (bent(LLAMA, without=("head_dim",)), 16),
        (bent(LLAMA, head_dim=None), 16),
        (bent(GEMMA, without=("head_dim",)), 256),
        (bent(TINY, architectures=["Qwen3ForCausalLM"], without=("head_dim",)), 128),
    ],
)
def test_the_width_of_a_head_is_said_or_follows(config: dict[str, Any], width: int) -> None:
    assert read_shape(config).head_dim == width


@pytest.mark.parametrize(
    ("config", "dtype"),
    [
        ({**TINY, "torch_dtype": "float16"}, "float16"),
        ({**bent(TINY, without=("torch_dtype",)), "dtype": "float32"}, "float32"),
        ({**bent(CONFIGS["gemma3_multimodal"], without=("torch_dtype",)), "dtype": "bfloat16"}, "bfloat16"),
    ],
)
def test_the_type_of_the_weights_is_read_by_its_old_and_its_new_name(config: dict[str, Any], dtype: str) -> None:
    assert read_shape(config).dtype == dtype


def test_a_multimodal_head_is_tied_unless_the_file_says_otherwise() -> None:
    config = CONFIGS["gemma3_multimodal"]
    assert read_shape(config).tie_word_embeddings is True
    assert read_shape({**config, "tie_word_embeddings": False}).tie_word_embeddings is False


@pytest.mark.parametrize(
    ("config", "sentence"),
    [
        (bent(TINY, architectures=["MambaForCausalLM"]), 'not an architecture that is served here, got ["MambaFor'),
        (bent(TINY, without=("architectures",)), "not an architecture that is served here, got null."),
        (bent(TINY, architectures="Qwen2ForCausalLM"), "not an architecture that is served here, got"),
        (bent(TINY, num_hidden_layers=0), "num_hidden_layers is no positive whole number, got 0."),
        (bent(TINY, vocab_size="512"), 'vocab_size is no positive whole number, got "512".'),
        (bent(TINY, num_key_value_heads=3), "num_key_value_heads does not divide num_attention_heads 2, got 3."),
        (bent(TINY, layer_types=[FULL]), "layer_types names each of num_hidden_layers 2, got 1."),
    ],
)
def test_a_configuration_that_is_not_understood_is_a_sentence(config: dict[str, Any], sentence: str) -> None:
    problems = list(shape_problems(config))
    assert len(problems) == 1
    assert sentence in problems[0]


@pytest.mark.parametrize("name", CHECKPOINTS)
def test_layers_are_windowed_as_vllm_itself_builds_them(name: str) -> None:
    """The table's other column is held against vLLM where there is one (tests/integration/engine/test_kv_cache.py)."""
    config, attention = CHECKPOINTS[name]
    assert read_shape(config).attention == attention
