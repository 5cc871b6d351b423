"""How many tokens a checkpoint takes by its config.json, and what of its attention vLLM 0.32 does not compute on Arm.

Absent and null keys mean what transformers 5.19's classes of these families make of them.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from deployment.checkpoint.families import ARCHITECTURES
from deployment.problems import joined, shown

Config = Mapping[str, Any]

# max_position_embeddings where it is absent, by model_type.
CONTEXTS = {each["model_type"]: each["absent"]["max_position_embeddings"] for each in ARCHITECTURES.values()}
QWEN2 = ARCHITECTURES["Qwen2ForCausalLM"]["absent"]
# vLLM takes the smallest that is there (transformers_utils/model_arch_config_convertor.py), before model_max_length.
LENGTHS = ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length", "max_sequence_length",
           "max_seq_length", "seq_len", "max_target_positions")  # fmt: skip
# What each kind of rotary embedding needs (get_rope); "su" is longrope's old name.
ROPE_NEEDS: Mapping[str, tuple[str, ...]] = {
    "default": (),
    "linear": ("factor",),
    "dynamic": ("factor",),
    "ntk": ("factor",),
    "yarn": ("factor",),
    "llama3": ("factor", "low_freq_factor", "high_freq_factor"),
    "longrope": ("short_factor", "long_factor"),
}
# Of these max_position_embeddings is the scaled length already; vLLM multiplies others by their factor.
SCALED = ("longrope", "llama3", "yarn")
HEAD_SIZES = (32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 256, 512)  # csrc/cpu/generate_cpu_attn_dispatch.py


def config_problems(config: Config) -> list[str]:
    """Say in sentences what vLLM refuses, or dies of, that has nothing to do with quantization."""
    text = _text(config)
    return [*_mixed_windows(text), *_null_length(text), *_rope_problems(text), *_head_size(text)]


def context(config: Config) -> int:
    """The largest `max_model_len` that vLLM accepts, given `hf_overrides(config)`.

    As config/model.py derives it: windows do not shorten it, and a tokenizer's model_max_length does not count.
    """
    text = {**_text(config), **hf_overrides(config)}
    text.setdefault("max_position_embeddings", CONTEXTS.get(_model_type(text)))
    lengths: list[int] = [text[key] for key in LENGTHS if text.get(key) is not None]
    longest = text.get("model_max_length") or min(lengths, default=2048)
    factor: float = 1
    if not _model_type(text).startswith("gemma3"):  # whose length is the scaled one too
        for rope in _ropes(text):
            if _rope_type(rope, text) not in SCALED:
                factor = rope.get("factor", factor)
    return int(longest * (factor or 1))


def long_from(config: Config) -> int | None:
    """Return the context above which longrope changes the answers to short prompts as well; None without longrope.

    vLLM 0.32 takes the long factors for every position once max_model_len is longer than the original context.
    """
    text = _text(config)
    for rope in _ropes(text):
        if _rope_type(rope, text) == "longrope":
            key = "original_max_position_embeddings"
            return int(rope.get(key) or text.get(key) or CONTEXTS["phi3"])
    return None


def hf_overrides(config: Config) -> dict[str, int]:
    """What vLLM must be told for the length that YaRN gives, where max_position_embeddings is the unscaled one.

    Qwen 2.5's model cards have people add rope_scaling alone; vLLM 0.32 then keeps to 32768 tokens.
    """
    text = _text(config)
    length = text.get("max_position_embeddings") or CONTEXTS.get(_model_type(text), 0)
    for rope in _ropes(text):
        original, factor = rope.get("original_max_position_embeddings") or 0, rope.get("factor") or 0
        is_unscaled = _rope_type(rope, text) == "yarn" and original == length and factor
        if is_unscaled and text is config:
            return {"max_position_embeddings": int(original * factor)}
    return {}


def _text(config: Config) -> Config:
    return config.get("text_config") or config


def _model_type(text: Config) -> str:
    return text.get("model_type") or "gemma3_text"  # left out in published text_configs of Gemma 3 alone


def _ropes(text: Config) -> list[Config]:
    """One, or one for each kind of layer. transformers 5 writes rope_parameters, and reads rope_scaling before it."""
    rope = text.get("rope_scaling") or text.get("rope_parameters") or {}
    nested = [each for each in rope.values() if isinstance(each, Mapping)]
    return nested or ([rope] if rope else [])


def _rope_type(rope: Config, text: Config) -> str:
    kind = str(rope.get("rope_type") or rope.get("type") or "default")
    is_longrope = kind == "su" or (kind == "yarn" and _model_type(text) == "phi3")  # as transformers' Phi3Config
    return "longrope" if is_longrope else kind


def _mixed_windows(text: Config) -> Iterator[str]:
    """vLLM's Qwen2 and Qwen3 assert that the layers look back equally far."""
    layers = text.get("num_hidden_layers", QWEN2["num_hidden_layers"])
    full = text.get("max_window_layers", QWEN2["max_window_layers"])
    has_window = (
        text.get("use_sliding_window", False) and text.get("sliding_window", QWEN2["sliding_window"]) is not None
    )
    kinds = text.get("layer_types") or [
        "sliding_attention" if has_window and layer >= full else "full_attention" for layer in range(layers)
    ]
    if text.get("model_type") in ("qwen2", "qwen3") and len(set(kinds)) > 1 and full != layers:
        yield (
            f"max_window_layers: vLLM computes windows of Qwen in all layers or in none, got {full} of {layers} with "
            f"use_sliding_window true. Take a checkpoint with use_sliding_window false."
        )


def _null_length(text: Config) -> Iterator[str]:
    if "max_position_embeddings" in text and text["max_position_embeddings"] is None:
        yield "max_position_embeddings: transformers wants a number, got null. Take a checkpoint that has one."


def _rope_problems(text: Config) -> Iterator[str]:
    for rope in _ropes(text):
        kind, new, old = _rope_type(rope, text), rope.get("rope_type"), rope.get("type")
        kinds = ("default", "longrope") if _model_type(text) == "phi3" else tuple(ROPE_NEEDS)
        if new and old and new != old and (old, new) != ("su", "longrope"):
            yield f"rope_scaling: rope_type and type differ, got {new} and {old}. Take a checkpoint where they agree."
        elif kind not in kinds:
            yield f"rope_scaling: no such rotary embedding in vLLM, got {kind}. Take a checkpoint with {joined(kinds)}."
        elif missing := [key for key in _needs(rope, kind) if rope.get(key) is None]:
            yield f"rope_scaling: {kind} needs {joined(missing)}. Take a checkpoint that has it."


def _needs(rope: Config, kind: str) -> tuple[str, ...]:
    # transformers moves the key in from outside for the new name alone, and misses it under the old one.
    is_old = (rope.get("rope_type") or rope.get("type")) == "su"
    return (*ROPE_NEEDS[kind], *(("original_max_position_embeddings",) if is_old else ()))


def _head_size(text: Config) -> Iterator[str]:
    hidden, heads = text.get("hidden_size"), text.get("num_attention_heads")
    size = text.get("head_dim") or (hidden // heads if hidden and heads else None)
    if size is not None and size not in HEAD_SIZES:
        sizes = ", ".join(map(str, HEAD_SIZES))
        yield f"head_dim: attention on Arm is compiled for {sizes}, got {shown(size)}. Take a model with one of these."
