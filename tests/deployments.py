"""A small valid models file that tests bend one way at a time."""

from typing import Any

import yaml

from deployment.load import parse_deployment
from deployment.spec import Deployment

SHAPE = {
    "name": "Qwen2ForCausalLM",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
}


def model(**changes: Any) -> dict[str, Any]:
    """One model; `engine` and `weights` are merged, everything else is replaced."""
    engine = {"max_model_len": 1024, "kv_cache_memory_bytes": "64MiB", **changes.pop("engine", {})}
    weights = changes.pop("weights", {"path": "checkpoints/tiny"})
    base = {"description": "A small one", "cores": 1, "architecture": dict(SHAPE), "weights": weights}
    return {**base, "engine": engine, **changes}


def document(models: dict[str, Any] | None = None, **changes: Any) -> dict[str, Any]:
    """A models file with two models, as data."""
    chosen = models or {"alpha": model(aliases=["first"]), "beta": model()}
    base = {"default_model": next(iter(chosen)), "models": chosen, "host": {"reserved_cores": 0}}
    return {**base, **changes}


def deployment(models: dict[str, Any] | None = None, **changes: Any) -> Deployment:
    """The same, loaded."""
    return parse_deployment(yaml.safe_dump(document(models, **changes), sort_keys=False), "models.yaml")
