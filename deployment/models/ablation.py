"""What a model is without one of its optimisations: the same file with a few keys changed, to see what each brings."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import yaml

from deployment.models.spec import Deployment, Host, Model

VLLM_STEP_TOKENS = 2048
"""vLLM's own `max_num_batched_tokens` for `vllm serve` on a CPU."""
EVERYTHING = "everything"
OURS = ("sampler", "penalties", "rms_norm", "gemma_rms_norm", "rotary_embedding", "silu_and_mul", "gelu_and_mul")
"""Kernels that only make faster: without them vLLM's own serve the same model."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ablation:
    """One optimisation, and the keys that take it away."""

    name: str
    what: str
    """What is served instead."""
    is_on: Callable[[Host, Model], bool]
    model: Mapping[str, Any] = field(default_factory=dict)
    """Keys of the model, such as `engine.max_num_seqs`; none for one that is left out."""
    host: Mapping[str, Any] = field(default_factory=dict)


ABLATIONS = (
    Ablation(
        name="kernels",
        what="vLLM's sampler, penalties, norms and activations",
        is_on=lambda _, model: any(getattr(model.kernels, name) is not False for name in OURS),
        model={f"kernels.{name}": False for name in OURS},
    ),
    Ablation(
        name="int4",
        what="bfloat16 weights",
        is_on=lambda _, model: model.engine.quantization is not None,
        model={"engine.quantization": None},
    ),
    Ablation(
        name="int8_head",
        what="an output head in its own type",
        is_on=lambda _, model: bool(model.kernels.lm_head),
        model={"kernels.lm_head": False},
    ),
    Ablation(
        name="prefix_caching",
        what="every prompt read anew",
        is_on=lambda _, model: model.engine.enable_prefix_caching,
        model={"engine.enable_prefix_caching": False},
    ),
    Ablation(
        name="step_tokens",
        what=f"steps of up to {VLLM_STEP_TOKENS} tokens, vLLM's own",
        is_on=lambda _, model: model.engine.max_num_batched_tokens != VLLM_STEP_TOKENS,
        model={"engine.max_num_batched_tokens": VLLM_STEP_TOKENS},
    ),
    Ablation(
        name="speculation",
        what="a token a step",
        is_on=lambda _, model: model.engine.speculative_config is not None,
        model={"engine.speculative_config": None},
    ),
    Ablation(
        name="compile",
        what="eager mode, without torch.compile",
        is_on=lambda _, model: not model.engine.enforce_eager,
        model={"engine.enforce_eager": True},
    ),
    Ablation(
        name="lent_cores",
        what="its own cores alone",
        is_on=lambda host, _: host.core_policy == "elastic",
        host={"core_policy": "disjoint"},
    ),
    Ablation(
        name="own_cores",
        what="one set of cores for all engines, bound to none",
        is_on=lambda host, _: host.core_policy != "shared",
        host={"core_policy": "shared"},
    ),
)


def ablations(deployment: Deployment, name: str) -> dict[str, Ablation]:
    """Return what can be taken from a model, by name."""
    return {each.name: each for each in ABLATIONS if each.is_on(deployment.host, deployment.models[name])}


def together(found: Sequence[Ablation]) -> Ablation:
    """Take several away at once: with all of them it is vLLM as it comes."""
    return Ablation(
        name=EVERYTHING,
        what=f"vLLM as it comes: without {', '.join(each.name for each in found)}",
        is_on=lambda *_: True,
        model={key: value for each in found for key, value in each.model.items()},
        host={key: value for each in found for key, value in each.host.items()},
    )


def without(text: str, name: str, ablation: Ablation) -> str:
    """Return a models file with an optimisation taken away. Its comments are lost: nobody keeps it."""
    document = yaml.safe_load(text)
    for path, value in ablation.model.items():
        _set(document["models"][name], path, value)
    for path, value in ablation.host.items():
        if not document.get("host"):
            document["host"] = {}
        _set(document["host"], path, value)
    return yaml.safe_dump(document, sort_keys=False, allow_unicode=True)


def _set(at: dict[str, Any], path: str, value: Any) -> None:
    *above, key = path.split(".")
    for step in above:
        if not at.get(step):
            at[step] = {}
        at = at[step]
    if value is None:
        at.pop(key, None)
    else:
        at[key] = value
