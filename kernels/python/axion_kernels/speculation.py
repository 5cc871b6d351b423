"""Speculative decoding that draws what would be drawn without it.

vLLM 0.32 spreads a request's temperature, top-k and top-p over its guessed tokens into an int64 copy that it throws
away (vllm#55005): on CPUs whatever was in memory is used instead, and a top-k out of it ends the engine. So does a step
in which nothing was guessed, if a request has a top-k.

N-grams guess without probabilities. Rejection sampling of such guesses has the same distribution as drawing a token at
each guessed place as ever, and keeping the guesses up to the first that is not what was drawn. So the sampler does it:
ours, where that is on, without a softmax, a sort, or noise for the whole vocabulary.
"""

import functools
from collections.abc import Sequence
from dataclasses import replace
from itertools import takewhile

import torch
from vllm.v1.outputs import SamplerOutput
from vllm.v1.sample import rejection_sampler
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.rejection_sampler import PLACEHOLDER_TOKEN_ID, RejectionSampler
from vllm.v1.spec_decode.metadata import SpecDecodeMetadata

_stock_expand = rejection_sampler.expand_batch_to_tokens
_stock_forward = RejectionSampler.forward


def install() -> None:
    """Replace the method, and the function below it that guesses with probabilities need."""
    RejectionSampler.forward = forward
    rejection_sampler.expand_batch_to_tokens = expand


def forward(
    self: RejectionSampler,
    metadata: SpecDecodeMetadata,
    draft_probs: torch.Tensor | None,
    logits: torch.Tensor,
    sampling_metadata: SamplingMetadata,
) -> SamplerOutput:
    """Keep the guesses that were drawn, and the token that was drawn after them."""
    if draft_probs is not None or self.synthetic_mode:
        return _stock_forward(self, metadata, draft_probs, logits, sampling_metadata)
    wanted = sampling_metadata.max_num_logprobs
    after = self.sampler(
        logits=logits[metadata.bonus_logits_indices],
        sampling_metadata=sampling_metadata if wanted is None else replace(sampling_metadata, max_num_logprobs=-1),
        predict_bonus_token=True,
        logprobs_mode_override="processed_logits" if self.is_processed_logprobs_mode else "raw_logits",
    )
    raw = logits[metadata.target_logits_indices].float()
    shown, drawn = raw, torch.empty(0, dtype=torch.int64)
    if len(raw) > 0:  # a step may come without guesses, and neither vLLM's penalties nor its top-k take no rows
        worked = self.apply_logits_processors(raw if wanted is None else raw.clone(), sampling_metadata, metadata)
        drawn, processed = self.sampler.sample(worked, spread(sampling_metadata, metadata.num_draft_tokens))
        shown = raw if processed is None else processed
    tokens = keep(metadata, drawn.tolist(), after.sampled_token_ids.flatten().tolist())
    logprobs = None
    if wanted is not None:
        logprobs = self._get_logprobs_tensors(wanted, metadata, logits, shown, after.logprobs_tensors.logprobs, tokens)
    return SamplerOutput(sampled_token_ids=tokens, logprobs_tensors=logprobs)


def spread(sampling_metadata: SamplingMetadata, counts: Sequence[int]) -> SamplingMetadata:
    """Each request's settings, once for each of its guesses."""
    requests = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    settings = {name: getattr(sampling_metadata, name) for name in ("temperature", "top_k", "top_p")}
    generators = sampling_metadata.generators
    return replace(
        sampling_metadata,
        **{name: None if setting is None else setting[requests] for name, setting in settings.items()},
        generators={row: generators[at] for row, at in enumerate(requests.tolist()) if at in generators},
        logitsprocs=LogitsProcessors(),  # min-p, which vLLM does not take together with speculation
    )


def keep(metadata: SpecDecodeMetadata, drawn: Sequence[int], after: Sequence[int]) -> torch.Tensor:
    """One row a request: guesses that were drawn, then one token that was not guessed, then placeholders."""
    shape = (len(metadata.num_draft_tokens), metadata.max_spec_len + 1)
    tokens = torch.full(shape, PLACEHOLDER_TOKEN_ID, dtype=torch.int32)
    guesses, begin = metadata.draft_token_ids.tolist(), 0
    for row, count in enumerate(metadata.num_draft_tokens):
        end = begin + count
        pairs = zip(guesses[begin:end], drawn[begin:end], strict=True)
        right = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
        tokens[row, : right + 1] = torch.tensor([*drawn[begin:end], after[row]][: right + 1])
        begin = end
    return tokens


def expand(
    x: torch.Tensor, cu_num_tokens: torch.Tensor, num_tokens: int, replace_from: int = 0, replace_to: int = 0
) -> torch.Tensor:
    """Each request's value, once for each of its tokens, with one value replaced."""
    if not loses_what_it_expands():
        expanded: torch.Tensor = _stock_expand(x, cu_num_tokens, num_tokens, replace_from, replace_to)
        return expanded
    counts = torch.diff(cu_num_tokens, prepend=cu_num_tokens.new_zeros(1))
    return x.masked_fill(x == replace_from, replace_to).repeat_interleave(counts, output_size=num_tokens)


@functools.cache
def loses_what_it_expands() -> bool:
    """Whether vLLM's own has the fault: two different values, since memory may hold one of them by chance."""
    both = torch.tensor([2], dtype=torch.int32)
    return any(_stock_expand(torch.tensor([value]), both, 2).tolist() != [value] * 2 for value in (0.25, 0.75))
