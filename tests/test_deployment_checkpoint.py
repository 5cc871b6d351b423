"""models.yaml held against config.json as the four checkpoints' publishers wrote it."""

import copy
from pathlib import Path
from typing import Any

import pytest

from deployment.checkpoint import mismatches
from deployment.load import load_deployment
from deployment.spec import Model
from tests.deployments import deployment, model

PRODUCTION = load_deployment(Path(__file__).parents[1] / "models.yaml").models
AWQ = {"bits": 4, "group_size": 128, "modules_to_not_convert": None, "quant_method": "awq", "version": "gemm",
       "zero_point": True}  # fmt: skip
# Keys as published; those that say nothing about size or quantization are left out.
CONFIGS: dict[str, dict[str, Any]] = {
    "gemma3_multimodal": {  # the text part names neither heads' count nor vocabulary where they equal the class's
        "architectures": ["Gemma3ForConditionalGeneration"],
        "model_type": "gemma3",
        "mm_tokens_per_image": 256,
        "quantization_config": {**AWQ, "group_size": 32, "modules_to_not_convert": ["lm_head", "vision_tower"]},
        "text_config": {
            "head_dim": 128,
            "hidden_size": 5376,
            "intermediate_size": 21504,
            "model_type": "gemma3_text",
            "num_attention_heads": 32,
            "num_hidden_layers": 62,
            "num_key_value_heads": 16,
            "query_pre_attn_scalar": 168,
            "rope_scaling": {"factor": 8.0, "rope_type": "linear"},
            "sliding_window": 1024,
        },
        "torch_dtype": "bfloat16",
        "vision_config": {"hidden_size": 1152, "image_size": 896, "intermediate_size": 4304, "num_hidden_layers": 27},
    },
    "mistral_balanced": {
        "architectures": ["MistralForCausalLM"],
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "max_position_embeddings": 32768,
        "model_type": "mistral",
        "num_attention_heads": 32,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "quantization_config": AWQ,
        "rope_theta": 1000000.0,
        "sliding_window": None,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "vocab_size": 32768,
    },
    "qwen_coder": {
        "architectures": ["Qwen2ForCausalLM"],
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "max_position_embeddings": 32768,
        "max_window_layers": 28,
        "model_type": "qwen2",
        "num_attention_heads": 28,
        "num_hidden_layers": 28,
        "num_key_value_heads": 4,
        "quantization_config": AWQ,
        "sliding_window": 131072,
        "tie_word_embeddings": False,
        "torch_dtype": "float16",
        "use_sliding_window": False,
        "vocab_size": 152064,
    },
    "phi4_fast": {
        "architectures": ["Phi3ForCausalLM"],
        "auto_map": {"AutoConfig": "configuration_phi3.Phi3Config"},
        "hidden_size": 3072,
        "intermediate_size": 8192,
        "max_position_embeddings": 131072,
        "model_type": "phi3",
        "num_attention_heads": 24,
        "num_hidden_layers": 32,
        "num_key_value_heads": 8,
        "original_max_position_embeddings": 4096,
        "partial_rotary_factor": 0.75,
        "sliding_window": 262144,
        "tie_word_embeddings": True,
        "torch_dtype": "bfloat16",
        "vocab_size": 200064,
    },
}
SLIDING = [*(["sliding_attention"] * 5 + ["full_attention"]) * 10, "sliding_attention", "sliding_attention"]


def said(name: str, changes: dict[str, Any]) -> list[str]:
    """Mismatches of a production model with its config.json bent; a key `text_config.x` bends the text part."""
    config = copy.deepcopy(CONFIGS[name])
    for key, value in changes.items():
        part = config["text_config"] if key.startswith("text_config.") else config
        part[key.rpartition(".")[2]] = value
    return mismatches(name, PRODUCTION[name], config, "/m")


@pytest.mark.parametrize("name", CONFIGS)
def test_the_production_file_agrees_with_what_the_publishers_wrote(name: str) -> None:
    assert mismatches(name, PRODUCTION[name], CONFIGS[name], "/m") == []


def test_a_mismatch_is_a_sentence_with_both_values_and_what_to_do() -> None:
    assert said("phi4_fast", {"num_hidden_layers": 40}) == [
        "models.phi4_fast.architecture.num_hidden_layers: /m/config.json says 40, got 32. "
        "Copy the number from config.json."
    ]


@pytest.mark.parametrize(
    "field",
    [
        "hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
        "vocab_size", "max_position_embeddings",
    ],
)  # fmt: skip
def test_every_number_is_compared(field: str) -> None:
    got = getattr(PRODUCTION["phi4_fast"].architecture, field)
    assert (
        f"models.phi4_fast.architecture.{field}: /m/config.json says 7, got {got}. Copy the number from"
        in "\n".join(said("phi4_fast", {field: 7, "head_dim": 128}))
    )


@pytest.mark.parametrize(
    ("name", "changes", "expected"),
    [
        (
            "phi4_fast",
            {"architectures": ["LlamaForCausalLM"]},
            'architecture.name: /m/config.json says ["LlamaForCausalLM"], got "Phi3ForCausalLM". Point weights at the',
        ),
        ("phi4_fast", {"architectures": None}, "architecture.name: /m/config.json says [], got"),
        ("phi4_fast", {"head_dim": 96}, "architecture.head_dim: /m/config.json says 96, got 128."),
        ("phi4_fast", {"tie_word_embeddings": False}, "tie_word_embeddings: /m/config.json says false, got true."),
        ("qwen_coder", {"tie_word_embeddings": True}, "tie_word_embeddings: /m/config.json says true, got false."),
        (
            "qwen_coder",
            {"quantization_config": None},
            'engine.quantization: /m/config.json says null, got "awq". Take a quantized checkpoint, or delete the',
        ),
        (
            "phi4_fast",
            {"quantization_config": AWQ},
            'engine.quantization: /m/config.json says "awq", got null. Set it to what the checkpoint is.',
        ),
        (
            "qwen_coder",
            {"quantization_config": {**AWQ, "quant_method": "gptq"}},
            'engine.quantization: /m/config.json says "gptq", got "awq".',
        ),
        (
            "qwen_coder",
            {"quantization_config": {**AWQ, "group_size": 64}},
            "weights.group_size: /m/config.json says 64, got 128.",
        ),
        (
            "qwen_coder",
            {"quantization_config": {**AWQ, "bits": 8}},
            'engine.quantization: /m/config.json says "8 bits", got "awq". Take a 4-bit checkpoint.',
        ),
        (
            "phi4_fast",
            {"torch_dtype": "float32"},
            'engine.dtype: /m/config.json says "float32", got "bfloat16". Set float32, or convert the checkpoint',
        ),
        ("phi4_fast", {"dtype": "float32"}, 'engine.dtype: /m/config.json says "float32", got "bfloat16".'),
        ("gemma3_multimodal", {"text_config.num_key_value_heads": 4}, "value_heads: /m/config.json says 4, got 16."),
        ("gemma3_multimodal", {"text_config.vocab_size": 9}, "vocab_size: /m/config.json says 9, got 262208."),
        ("gemma3_multimodal", {"text_config.sliding_window": 512}, "window: /m/config.json says 512, got 1024."),
        (
            "gemma3_multimodal",
            {"text_config.sliding_window_pattern": 2},
            "full_attention_layers: /m/config.json says 31, got 10. Count full_attention in its layer_types, or every",
        ),
        (
            "gemma3_multimodal",
            {"text_config.layer_types": ["full_attention", *SLIDING[1:]]},
            "full_attention_layers: /m/config.json says 11, got 10.",
        ),
    ],
)  # fmt: skip
def test_each_kind_of_mismatch_is_one_sentence(name: str, changes: dict[str, Any], expected: str) -> None:
    (sentence,) = said(name, changes)
    assert sentence.startswith(f"models.{name}.")
    assert expected in sentence


def test_layer_types_that_say_the_same_are_no_mismatch() -> None:
    assert said("gemma3_multimodal", {"text_config.layer_types": SLIDING}) == []


def test_what_a_class_defaults_to_counts_where_a_publisher_left_it_out() -> None:
    """Gemma 3 4B's text part has no heads at all: 8 and 4 are the class's."""
    config = copy.deepcopy(CONFIGS["gemma3_multimodal"])
    for left_out in ("num_attention_heads", "num_key_value_heads"):
        del config["text_config"][left_out]
    sentences = "\n".join(mismatches("g", PRODUCTION["gemma3_multimodal"], config, "/m"))
    assert "num_attention_heads: /m/config.json says 8, got 32." in sentences
    assert "num_key_value_heads: /m/config.json says 4, got 16." in sentences


def test_a_published_window_that_no_layer_uses_is_no_mismatch() -> None:
    """Qwen2.5 publishes 131072 switched off, Phi-4 262144 beyond its own context."""
    assert PRODUCTION["qwen_coder"].architecture.sliding_window is None
    assert said("qwen_coder", {"layer_types": ["full_attention"] * 28}) == []


def test_quantized_weights_may_be_stored_beside_float16_scales() -> None:
    assert said("mistral_balanced", {"torch_dtype": "float16"}) == []


def served(**engine: Any) -> Model:
    return deployment({"alpha": model(engine=engine)}).models["alpha"]


def test_float32_is_served_as_float32_without_a_word() -> None:
    config = {"architectures": ["Qwen2ForCausalLM"], "tie_word_embeddings": True, "torch_dtype": "float32"}
    assert mismatches("alpha", served(dtype="float32"), config, "/m") == []
    assert len(mismatches("alpha", served(), config, "/m")) == 1


def test_every_mismatch_is_reported_at_once() -> None:
    sentences = said("phi4_fast", {"hidden_size": 1536, "vocab_size": 1, "torch_dtype": "float32"})
    assert [sentence.partition(":")[0] for sentence in sentences] == [
        "models.phi4_fast.architecture.hidden_size",
        "models.phi4_fast.architecture.vocab_size",
        "models.phi4_fast.architecture.head_dim",  # 1536 over 24 heads
        "models.phi4_fast.engine.dtype",
    ]


@pytest.mark.parametrize("config", [{}, {"text_config": None}, {"quantization_config": {}}])
def test_an_empty_configuration_is_the_wrong_architecture_and_no_crash(config: dict[str, Any]) -> None:
    sentences = mismatches("alpha", served(), config, "/m")
    assert sentences[0].startswith("models.alpha.architecture.name: /m/config.json says [], got")
