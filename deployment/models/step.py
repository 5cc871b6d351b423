"""How many tokens one step of an engine may process, where models.yaml does not say.

A step is whole or not at all: while one reads a long prompt, every running answer waits. So a step has as many prompt
tokens as its cores compute in STEP_S, and no fewer than a matrix product needs to be bound by arithmetic.
"""

from deployment.checkpoint.facts import Checkpoint

STEP_S = 0.25
CORE_MACS_PER_S = 89e9
"""Multiply-accumulates in prefill, per Neoverse V2 core: 316 tokens/s of a 4.5B model (Q4_0) on 16 vCPUs of Axion, as
Arm's learning path on that model publishes it. Not measured here.
"""
FEWEST, MOST, MULTIPLE = 128, 2048, 64
"""Tokens. The fewest fill our kernels' tiles; the most is vLLM 0.32's own default on a CPU."""
FEWEST_WITH_PICTURES = 512
"""A picture's tokens see each other, so one step has all of them: 256 of Gemma 3's, with the text around them."""


def step_tokens(checkpoint: Checkpoint, *, cores: int, sequences: int) -> int:
    """Return the most tokens of a step that takes about STEP_S on these cores; each running sequence needs one."""
    linear = checkpoint.tensors.parts.get("linear")
    macs = max(1, linear.parameters if linear else 1)
    affordable = int(STEP_S * CORE_MACS_PER_S * cores / macs) // MULTIPLE * MULTIPLE
    fewest = FEWEST_WITH_PICTURES if checkpoint.shape.takes_pictures else FEWEST
    return max(fewest, sequences, min(MOST, affordable))
