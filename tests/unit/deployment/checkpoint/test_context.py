"""The context of a checkpoint, and what of its attention is not served. vLLM 0.32 itself derived the lengths."""

from collections.abc import Mapping
from typing import Any

import pytest

from deployment.checkpoint.context import config_problems, context, hf_overrides

QWEN = {"model_type": "qwen2", "hidden_size": 3584, "num_attention_heads": 28, "num_hidden_layers": 28}
LLAMA = {"model_type": "llama", "hidden_size": 4096, "num_attention_heads": 32}
MISTRAL = {"model_type": "mistral", "head_dim": 128}
PHI = {"model_type": "phi3", "hidden_size": 3072, "num_attention_heads": 24}
YARN = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 32768}
LONG = {"type": "longrope", "short_factor": [1.0] * 48, "long_factor": [1.5] * 48}
NO_FACTOR = {"type": "linear", "factor": None}
LLAMA3 = {
    "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}  # fmt: skip
# Phi-4-mini-instruct's, a window beyond its context included.
PHI_4 = {
    **PHI, "max_position_embeddings": 131072, "original_max_position_embeddings": 4096, "rope_scaling": LONG,
    "sliding_window": 262144, "partial_rotary_factor": 0.75,
}  # fmt: skip
# Gemma 3's: the published text_config leaves its length out.
GEMMA = {"model_type": "gemma3", "text_config": {"rope_scaling": {"rope_type": "linear", "factor": 8.0}}}

DERIVED: Mapping[str, tuple[Mapping[str, Any], int]] = {
    "Qwen 2.5": ({**QWEN, "max_position_embeddings": 32768, "sliding_window": 131072, "max_window_layers": 28}, 32768),
    "Qwen 2 without a length": (QWEN, 32768),
    "scaled by YaRN already": ({**QWEN, "max_position_embeddings": 131072, "rope_scaling": YARN}, 131072),
    "YaRN without its origin": (
        {**QWEN, "max_position_embeddings": 32768, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 32768,
    ),
    "Qwen 2 with windows": ({**QWEN, "max_position_embeddings": 32768, "use_sliding_window": True}, 32768),
    "linear": ({**LLAMA, "max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0}}, 8192),
    "dynamic": ({**LLAMA, "max_position_embeddings": 4095, "rope_scaling": {"type": "dynamic", "factor": 2.5}}, 10237),
    "Llama 3.1": ({**LLAMA, "max_position_embeddings": 131072, "rope_scaling": LLAMA3}, 131072),
    "Llama without a length": (LLAMA, 2048),
    "rope_scaling null": ({**LLAMA, "max_position_embeddings": 4096, "rope_scaling": None}, 4096),
    "factor null": ({**LLAMA, "max_position_embeddings": 4096, "rope_scaling": NO_FACTOR}, 4096),
    "both names": (
        {
            **LLAMA, "max_position_embeddings": 4096, "rope_scaling": {"type": "linear", "factor": 2.0},
            "rope_parameters": {"rope_type": "dynamic", "factor": 4.0},
        },
        8192,
    ),
    "model_max_length": ({**LLAMA, "max_position_embeddings": 4096, "model_max_length": 2048}, 2048),
    "a longer model_max_length": (
        {
            **LLAMA, "max_position_embeddings": 4096, "model_max_length": 8192,
            "rope_scaling": {"type": "linear", "factor": 2.0},
        },
        16384,
    ),
    "max_sequence_length": ({**LLAMA, "max_position_embeddings": 4096, "max_sequence_length": 2048}, 2048),
    "seq_length": ({**LLAMA, "max_position_embeddings": 4096, "seq_length": 1024}, 1024),
    "Mistral without a length": (MISTRAL, 131072),
    "Mistral's window": ({**MISTRAL, "max_position_embeddings": 32768, "sliding_window": 4096}, 32768),
    "Mistral's YaRN": (
        {
            **MISTRAL, "max_position_embeddings": 131072,
            "rope_parameters": {"rope_type": "yarn", "factor": 16.0, "original_max_position_embeddings": 8192},
        },
        131072,
    ),
    "Phi-4-mini": (PHI_4, 131072),
    "Phi without a length": (PHI, 4096),
    "Gemma 3": (GEMMA, 131072),
    "Gemma 3, text alone": (
        {
            "model_type": "gemma3_text", "max_position_embeddings": 32768,
            "rope_parameters": {
                "sliding_attention": {"rope_type": "default"},
                "full_attention": {"rope_type": "linear", "factor": 8.0},
            },
        },
        32768,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", DERIVED)
def test_the_context_is_the_one_that_vllm_derives(name: str) -> None:
    config, tokens = DERIVED[name]
    assert context(config) == tokens
    assert hf_overrides(config) == {}


@pytest.mark.parametrize("key", ["rope_scaling", "rope_parameters"])
def test_yarn_added_to_an_unscaled_length_multiplies_it_once_vllm_is_told(key: str) -> None:
    config = {**QWEN, "max_position_embeddings": 32768, key: YARN}
    assert context(config) == 131072
    assert hf_overrides(config) == {"max_position_embeddings": 131072}


@pytest.mark.parametrize("name", [name for name in DERIVED if name != "factor null"])
def test_what_is_served_has_no_problems(name: str) -> None:
    assert config_problems(DERIVED[name][0]) == []


WINDOWS = {**QWEN, "use_sliding_window": True, "sliding_window": 4096}


SOME = (
    "max_window_layers: vLLM computes windows of Qwen in all layers or in none, got {} of {} with use_sliding_window "
    "true. Take a checkpoint with use_sliding_window false."
)
KINDS = "default, linear, dynamic, ntk, yarn, llama3 and longrope"


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({**WINDOWS, "max_window_layers": 21}, SOME.format(21, 28)),
        ({**WINDOWS, "num_hidden_layers": 32}, SOME.format(28, 32)),
        (
            {**LLAMA, "max_position_embeddings": None},
            "max_position_embeddings: transformers wants a number, got null. Take a checkpoint that has one.",
        ),
        (
            {**LLAMA, "rope_scaling": {"type": "linear", "rope_type": "dynamic", "factor": 2.0}},
            "rope_scaling: rope_type and type differ, got dynamic and linear. Take a checkpoint where they agree.",
        ),
        (
            {**LLAMA, "rope_scaling": NO_FACTOR},
            "rope_scaling: linear needs factor. Take a checkpoint that has it.",
        ),
        (
            {**LLAMA, "rope_scaling": {"type": "fractal"}},
            f"rope_scaling: no such rotary embedding in vLLM, got fractal. Take a checkpoint with {KINDS}.",
        ),
        (
            {**PHI, "rope_scaling": {**LONG, "type": "su"}},
            "rope_scaling: longrope needs original_max_position_embeddings. Take a checkpoint that has it.",
        ),
        (
            {**LLAMA, "head_dim": 40},
            "head_dim: attention on Arm is compiled for 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512, got 40. "
            "Take a model with one of these.",
        ),
    ],
)
def test_what_vllm_would_die_of_is_said(config: Mapping[str, Any], problem: str) -> None:
    assert config_problems(config) == [problem]


@pytest.mark.parametrize(
    "change",
    [{"use_sliding_window": False}, {"sliding_window": None}, {"max_window_layers": 28}, {"max_window_layers": 0}],
)
def test_windows_of_qwen_that_are_off_or_alike_in_all_layers_are_served(change: Mapping[str, Any]) -> None:
    assert config_problems({**WINDOWS, "max_window_layers": 21, **change}) == []
