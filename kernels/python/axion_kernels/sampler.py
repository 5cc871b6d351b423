"""Choosing tokens in one pass over the logits.

vLLM sorts the whole vocabulary for every request with top-p, and draws with a single thread at batch 1. Both matter
beside a quantized model: a sort of 152064 logits takes longer than a layer. Its greedy choice compares one logit after
the other, with an index for each.
"""

from typing import Any

import torch
from vllm.config.model import PROCESSED_LOGPROBS_MODES
from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler
from vllm.v1.sample.sampler import Sampler

_stock = TopKTopPSampler.forward_cpu


def install() -> None:
    """Replace the methods; instances bind the first when they are made, which is later."""
    TopKTopPSampler.forward_cpu = forward_cpu
    Sampler.greedy_sample = staticmethod(greedy_sample)


def greedy_sample(logits: torch.Tensor) -> torch.Tensor:
    """The largest logit of each row, the first where equal; a NaN is passed over."""
    batch = logits.shape[0]
    greedy = torch.zeros(batch, dtype=torch.float32)
    unused = torch.zeros(batch, dtype=torch.int64)
    tokens: torch.Tensor = torch.ops.axion.sample(logits, greedy, None, None, None, unused)
    return tokens


def forward_cpu(
    self: TopKTopPSampler,
    logits: torch.Tensor,
    generators: dict[int, torch.Generator],
    k: torch.Tensor | None,
    p: torch.Tensor | None,
    **ignored: Any,  # 0.33 passes hints to the sort
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Choose a token for each row. Temperature has been applied, and greedy rows are overwritten by the caller."""
    if self.logprobs_mode in PROCESSED_LOGPROBS_MODES or self.use_fp64_gumbel:
        # These ask for the masked logits or for noise in double precision: vLLM's own path has them.
        return _stock(self, logits, generators, k, p)
    batch = logits.shape[0]
    ones = torch.ones(batch, dtype=torch.float32)
    tokens = torch.ops.axion.sample(logits, ones, k, p, None, _seeds(batch, generators))
    return tokens, None


def _seeds(batch: int, generators: dict[int, torch.Generator]) -> torch.Tensor:
    """One number a row: from the request's own generator where it gave a seed, so that it can be repeated."""
    seeds = torch.randint(0, 2**63 - 1, (batch,), dtype=torch.int64)
    for row, generator in generators.items():
        seeds[row] = torch.randint(0, 2**63 - 1, (1,), generator=generator, dtype=torch.int64)
    return seeds
