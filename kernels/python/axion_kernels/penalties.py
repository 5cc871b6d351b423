"""Repetition, frequency and presence penalties on the tokens that were said alone.

vLLM makes masks, counts and factors for the whole vocabulary, eight passes over it, to change a few logits.
"""

import torch
from vllm.v1.sample.ops import penalties

_stock = penalties.apply_penalties


def install() -> None:
    """Replace the function where sampling and the check of guesses both find it."""
    penalties.apply_penalties = apply_penalties


def apply_penalties(
    logits: torch.Tensor,
    prompt_tokens_tensor: torch.Tensor,
    output_tokens_tensor: torch.Tensor,
    presence_penalties: torch.Tensor,
    frequency_penalties: torch.Tensor,
    repetition_penalties: torch.Tensor,
) -> torch.Tensor:
    """Change the logits in place, to the same values as vLLM, and return them."""
    given = (prompt_tokens_tensor, output_tokens_tensor, presence_penalties, frequency_penalties, repetition_penalties)
    if logits.dtype != torch.float32 or logits.stride(1) != 1:
        stock: torch.Tensor = _stock(logits, *given)
        return stock
    torch.ops.axion.penalize_(logits, *given)
    return logits
