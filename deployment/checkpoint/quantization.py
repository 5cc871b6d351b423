"""How a checkpoint is quantized, and which of its layers are: vLLM's own matching of names."""

import re
from typing import Literal

from deployment.frozen import Frozen

# Expressions come from repositories, and Python's engine has no bound: no repeated group that repeats something, and
# not many wildcards in a row.
SLOW = re.compile(r"[*+}]\)[*+{]|(?:\.[*+][^|()]*){6}")
LONGEST_PATTERN = 10_000
# vLLM computes these as one layer, in one precision.
FUSED = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))


class Quantization(Frozen):
    """What vLLM makes of a checkpoint's linear layers, all of it in layouts that our kernel packs.

    Patterns are parts of module names, for compressed-tensors whole names; or `re:` and an expression that matches from
    a name's beginning.
    """

    method: Literal["awq", "gptq", "compressed-tensors"]
    bits: int
    group_size: int
    """Weights per scale; -1 is whole rows."""
    has_zero_points: bool
    not_converted: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    """Only these are quantized; empty is every linear layer."""
    quantizes_head: bool = False
    argument: str | None = None
    """What vLLM must be told by `quantization`, where config.json does not say it."""


def is_converted(module_name: str, quantization: Quantization) -> bool:
    """Say whether vLLM takes this linear layer, by its name in the checkpoint, as quantized.

    Of AWQ and GPTQ without lists vLLM asks each tensor's type instead: there the file is right, whatever it holds. A
    quantized head must be in it: without, vLLM 0.32 answers from memory that nobody filled (tried, with a tied head).
    """
    last = module_name.rpartition(".")[2]
    if last == "lm_head":
        return quantization.quantizes_head
    is_linear = not any(part in last for part in ("norm", "embed"))
    return is_linear and is_named(module_name, quantization)


def is_named(module_name: str, quantization: Quantization) -> bool:
    """Whether a layer is among those that are quantized, by the lists of names."""

    def any_of(patterns: tuple[str, ...]) -> bool:
        return any(matches(pattern, module_name, quantization.method) for pattern in patterns)

    return (not quantization.converted or any_of(quantization.converted)) and not any_of(quantization.not_converted)


def matches(pattern: str, module_name: str, method: str) -> bool:
    """Whether a pattern means a layer. Raises ValueError for one that is too costly to try."""
    if pattern.startswith("re:"):
        if SLOW.search(pattern) or len(pattern) > LONGEST_PATTERN:
            raise ValueError(f"an expression that may take for ever to match: {pattern[:60]}")
        return re.match(pattern.removeprefix("re:"), module_name) is not None
    return pattern == module_name if method == "compressed-tensors" else pattern in module_name
