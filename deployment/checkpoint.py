"""Hold a checkpoint's own config.json against what models.yaml claims, before an engine spends minutes on it."""

from collections.abc import Iterator, Mapping
from typing import Any

from deployment.architecture import Architecture
from deployment.problems import shown
from deployment.spec import Model

SAME_NAMES = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
    "max_position_embeddings",
)
# transformers leaves out what equals a class's default, and some published files do: what absence means.
DEFAULTS: Mapping[str, Mapping[str, Any]] = {
    "Gemma3ForConditionalGeneration": {
        "num_attention_heads": 8,
        "num_key_value_heads": 4,
        "head_dim": 256,
        "vocab_size": 262208,
        "max_position_embeddings": 131072,
        "tie_word_embeddings": True,
        "sliding_window": 4096,
        "sliding_window_pattern": 6,
    },
    "Gemma3ForCausalLM": {"tie_word_embeddings": True, "sliding_window": 4096, "sliding_window_pattern": 6},
}


def mismatches(name: str, model: Model, config: Mapping[str, Any], where: str) -> list[str]:
    """Say where config.json contradicts models.yaml. `where` is the checkpoint's directory."""
    claim, text = model.architecture, config.get("text_config") or config
    found = [
        *_architecture(claim, config),
        *_shape(claim, {**DEFAULTS.get(claim.name, {}), **text}, config),
        *_windows(claim, {**DEFAULTS.get(claim.name, {}), **text}),
        *_quantization(model, config.get("quantization_config")),
        *_dtype(model, text, config),
    ]
    return [
        f"models.{name}.{field}: {where}/config.json says {shown(real)}, got {shown(claimed)}. {what}."
        for field, real, claimed, what in found
    ]


Mismatch = tuple[str, Any, Any, str]


def _architecture(claim: Architecture, config: Mapping[str, Any]) -> Iterator[Mismatch]:
    real = config.get("architectures") or []
    if claim.name not in real:
        yield "architecture.name", real, claim.name, "Point weights at the right checkpoint, or correct the claim"


def _shape(claim: Architecture, text: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Mismatch]:
    copy = "Copy the number from config.json"
    for field in SAME_NAMES:
        if field in text and text[field] != getattr(claim, field):
            yield f"architecture.{field}", text[field], getattr(claim, field), copy
    head_dim = text.get("head_dim") or (
        text["hidden_size"] // text["num_attention_heads"]
        if {"hidden_size", "num_attention_heads"} <= text.keys()
        else None
    )
    if head_dim is not None and head_dim != claim.head_dim:
        yield "architecture.head_dim", head_dim, claim.head_dim, copy
    tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", False))
    if tied != claim.tie_word_embeddings:
        yield "architecture.tie_word_embeddings", tied, claim.tie_word_embeddings, "Copy it from config.json"


def _windows(claim: Architecture, text: Mapping[str, Any]) -> Iterator[Mismatch]:
    """A window counts only where layers use it: Qwen2 and Phi-4 publish one that is off or beyond the context."""
    kinds = text.get("layer_types") or _kinds_by_pattern(claim, text.get("sliding_window_pattern"))
    if "sliding_attention" not in kinds:
        return
    if text.get("sliding_window") != claim.sliding_window:
        what = "Copy the number from config.json"
        yield "architecture.sliding_window", text.get("sliding_window"), claim.sliding_window, what
    full = sum(kind == "full_attention" for kind in kinds)
    if full != (claim.full_attention_layers or 0):
        what = "Count full_attention in its layer_types, or every sliding_window_pattern-th layer"
        yield "architecture.full_attention_layers", full, claim.full_attention_layers, what


def _kinds_by_pattern(claim: Architecture, pattern: int | None) -> list[str]:
    """Gemma 3 as published has no layer_types: every sixth layer looks back over everything."""
    if not pattern:
        return []
    layers = range(1, claim.num_hidden_layers + 1)
    return ["sliding_attention" if layer % pattern else "full_attention" for layer in layers]


def _quantization(model: Model, real: Mapping[str, Any] | None) -> Iterator[Mismatch]:
    method = real.get("quant_method") if real else None
    if model.engine.quantization == "axion_w4":
        if method is not None:
            what = "Leave engine.quantization to what the checkpoint is, or take its bfloat16 original"
            yield "engine.quantization", method, model.engine.quantization, what
        return
    if method != model.engine.quantization:
        what = "Set it to what the checkpoint is" if method else "Take a quantized checkpoint, or delete the claim"
        yield "engine.quantization", method, model.engine.quantization, what
        return
    group_size = real.get("group_size") if real else None
    if group_size is not None and group_size != model.weights.group_size:
        yield "weights.group_size", group_size, model.weights.group_size, "Copy the number from config.json"
    bits = real.get("bits") if real else None
    if bits not in (None, 4):
        yield "engine.quantization", f"{bits} bits", model.engine.quantization, "Take a 4-bit checkpoint"


def _dtype(model: Model, text: Mapping[str, Any], config: Mapping[str, Any]) -> Iterator[Mismatch]:
    """Weights stored in float32 but served in bfloat16 lose bits nobody asked to lose; float16 ones lose range."""
    real = config.get("dtype") or config.get("torch_dtype") or text.get("dtype") or text.get("torch_dtype")
    if real == "float32" and model.engine.dtype == "bfloat16" and model.engine.quantization is None:
        yield "engine.dtype", real, model.engine.dtype, "Set float32, or convert the checkpoint to bfloat16"
