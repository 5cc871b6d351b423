"""The shape of a decoder-only transformer, as vLLM will see it: config.json with what its class says of absent keys."""

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Self

from pydantic import Field, model_validator

from deployment.checkpoint.families import ARCHITECTURES
from deployment.checkpoint.kv_cache import Attention
from deployment.frozen import Count, Frozen
from deployment.problems import joined, shown

MOST_LAYERS, LONGEST_CONTEXT = 1000, 1 << 30
COUNTS = (
    *("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads"),
    *("vocab_size", "max_position_embeddings"),
)


class Shape(Frozen):
    """The numbers that sizes are counted with, under config.json's own names."""

    architecture: str
    hidden_size: Count
    intermediate_size: Count
    num_hidden_layers: Count
    num_attention_heads: Count
    num_key_value_heads: Count
    head_dim: Count
    vocab_size: Count
    max_position_embeddings: Count
    """The longest context that the checkpoint was made for, its rope scaling included: tokens."""
    tie_word_embeddings: bool
    sliding_window: Count | None
    """Tokens that a windowed layer looks back; None where no layer is windowed."""
    sliding_layers: Annotated[int, Field(ge=0, strict=True)]
    """Layers whose KV cache stops growing at the window."""
    dtype: str
    """What the weights that are not quantized were stored in."""

    @model_validator(mode="after")
    def _has_windows_where_it_says(self) -> Self:
        if self.sliding_layers > self.num_hidden_layers or bool(self.sliding_layers) != bool(self.sliding_window):
            raise ValueError("the window, and the layers that have one, do not agree")
        return self

    @property
    def attention(self) -> Attention:
        """What decides the KV cache."""
        return Attention(
            full_layers=self.num_hidden_layers - self.sliding_layers,
            sliding_layers=self.sliding_layers,
            sliding_window=self.sliding_window,
            kv_heads=self.num_key_value_heads,
            head_dim=self.head_dim,
        )

    @property
    def takes_pictures(self) -> bool:
        """Whether a message may hold pictures."""
        return "takes_pictures" in ARCHITECTURES.get(self.architecture, ())  # a newer lock file may name another


def text_part(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the part that describes the language model: a multimodal config keeps it apart."""
    part = config.get("text_config")
    return part if isinstance(part, Mapping) else config


def shape_problems(config: Mapping[str, Any]) -> Iterator[str]:
    """Say what of a config.json cannot be understood; `read_shape` needs one without problems."""
    architectures = config.get("architectures")
    if not architecture_of(config):
        what = f"not an architecture that is served here, got {shown(architectures)}"
        yield f"{what}. Use one of {joined(ARCHITECTURES)}."
        return
    known = with_defaults(config)
    wrong = [key for key in COUNTS if not _is_count(known[key])]
    for key in wrong:
        yield f"{key} is no positive whole number, got {shown(known[key])}. Take a checkpoint that loads elsewhere."
    if wrong:
        return
    heads, groups = known["num_attention_heads"], known.get("num_key_value_heads")
    if groups is not None and (not _is_count(groups) or not _is_count(heads) or heads % groups):
        yield f"num_key_value_heads does not divide num_attention_heads {heads}, got {shown(groups)}. Take another."
    if known["num_hidden_layers"] > MOST_LAYERS or known["max_position_embeddings"] > LONGEST_CONTEXT:
        got = f"{known['num_hidden_layers']} layers and a context of {known['max_position_embeddings']}"
        yield f"numbers that no model has, got {got}. Take a checkpoint that loads elsewhere."
    if _dtype(config) not in ("", "bfloat16", "float16", "float32"):
        yield f"dtype: weights of a type that is not served here, got {shown(_dtype(config))}. Take a bfloat16 one."
    kinds = known.get("layer_types")
    if kinds is not None and (not isinstance(kinds, list) or len(kinds) != known["num_hidden_layers"]):
        found = len(kinds) if isinstance(kinds, list) else shown(kinds)
        yield f"layer_types names each of num_hidden_layers {known['num_hidden_layers']}, got {found}. Take another."


def read_shape(config: Mapping[str, Any], context: int | None = None, plain_type: str = "bfloat16") -> Shape:
    """Read the shape from a config.json without problems.

    `context` is the longest one, where scaling changes it; `plain_type` that of the weights, where it is not said.
    """
    known = with_defaults(config)
    heads = known["num_attention_heads"]
    window, sliding = windows(known)
    return Shape(
        architecture=architecture_of(config),
        hidden_size=known["hidden_size"],
        intermediate_size=known["intermediate_size"],
        num_hidden_layers=known["num_hidden_layers"],
        num_attention_heads=heads,
        num_key_value_heads=known.get("num_key_value_heads") or heads,
        head_dim=known.get("head_dim") or known["hidden_size"] // heads,
        vocab_size=known["vocab_size"],
        max_position_embeddings=context or known["max_position_embeddings"],
        tie_word_embeddings=bool(_tied(config)),
        sliding_window=window,
        sliding_layers=sliding,
        dtype=_dtype(config) or plain_type,
    )


def architecture_of(config: Mapping[str, Any]) -> str:
    """Name the first class of config.json that is served here; empty where there is none."""
    names = config.get("architectures")
    return (
        next((name for name in names if isinstance(name, str) and name in ARCHITECTURES), "")
        if isinstance(names, list)
        else ""
    )


def with_defaults(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return the language model's keys, with those of its class where one is absent."""
    return {**ARCHITECTURES[architecture_of(config)]["absent"], **text_part(config)}


def windows(known: Mapping[str, Any]) -> tuple[int | None, int]:
    """Return how many tokens windowed layers look back, and how many layers are windowed.

    vLLM 0.32 gives a window to the layers that layer_types calls sliding_attention, or to all where nothing tells
    them apart (EngineArgs.create_engine_config, LlamaAttention); 0 means none. Qwen's classes read a window only
    where use_sliding_window is set, and Gemma 3's every sliding_window_pattern-th layer has none.
    """
    layers = known["num_hidden_layers"]
    window = known.get("sliding_window") if known.get("use_sliding_window", True) else None
    kinds = known.get("layer_types")
    if kinds is None and known.get("sliding_window_pattern"):
        pattern = known["sliding_window_pattern"]
        kinds = ["sliding_attention" if layer % pattern else "full_attention" for layer in range(1, layers + 1)]
    if kinds is None and "max_window_layers" in known:
        beyond = max(0, layers - known["max_window_layers"]) if window else 0
        kinds = ["full_attention"] * (layers - beyond) + ["sliding_attention"] * beyond
    sliding = layers if kinds is None else sum(kind == "sliding_attention" for kind in kinds)
    return (window, sliding) if window and sliding else (None, 0)


def _tied(config: Mapping[str, Any]) -> Any:
    default = ARCHITECTURES[architecture_of(config)]["absent"]["tie_word_embeddings"]
    return config.get("tie_word_embeddings", text_part(config).get("tie_word_embeddings", default))


def _dtype(config: Mapping[str, Any]) -> str:
    """transformers 5 writes `dtype`, older ones `torch_dtype`; a multimodal config may say it of its text part."""
    parts = (config, text_part(config))
    found = [part[key] for part in parts for key in ("dtype", "torch_dtype") if isinstance(part.get(key), str)]
    return str(found[0]).removeprefix("torch.") if found and found[0] != "auto" else ""


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value > 0
