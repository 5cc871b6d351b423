"""Checks of speculation on tensors, without an engine: what is kept of the guesses, and how often each token comes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch

import torch
from axion_kernels import sampler, speculation
from vllm.platforms import current_platform
from vllm.v1.sample import rejection_sampler
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler
from vllm.v1.sample.rejection_sampler import RejectionSampler
from vllm.v1.sample.sampler import Sampler
from vllm.v1.spec_decode.metadata import SpecDecodeMetadata

from tests.support.kernels.inputs import random

VOCABULARY = 24
REQUESTS = 4000
# Both tables are drawn, so the statistic of two samples; its mean plus five standard deviations: one in a million.
SETTINGS: Sequence[dict[str, Any]] = (
    {"temperature": 1.0},
    {"temperature": 0.6, "top_k": 6},
    {"temperature": 1.3, "top_p": 0.8},
    {"temperature": 0.8, "top_k": 12, "top_p": 0.9},
)
# vLLM's would be compiled first, for half a minute.
EAGER_RANKS = patch("vllm.v1.sample.sampler.batched_count_greater_than", lambda x, values: (x >= values).sum(-1))
_registered: list[bool] = []


@contextmanager
def hooked(*, speculates: bool, samples: bool) -> Iterator[None]:
    """vLLM with the hooks that are asked for, and without the others, whatever was before."""
    if not _registered:
        current_platform.import_kernels()
        current_platform.register_triton_kernel_overrides()  # vLLM's worker does it when it starts
        _registered.append(True)
    forward, expand = RejectionSampler.forward, rejection_sampler.expand_batch_to_tokens
    with (
        patch.object(RejectionSampler, "forward", forward),
        patch.object(rejection_sampler, "expand_batch_to_tokens", expand),
        patch.object(TopKTopPSampler, "forward_cpu", sampler._stock),
    ):
        if speculates:
            speculation.install()
        if samples:
            sampler.install()
        yield


def settings_of(batch: int, **given: Any) -> SamplingMetadata:
    temperature = torch.as_tensor(given.get("temperature", 0.0)).float().expand(batch).contiguous()
    greedy = temperature == 0
    none = torch.zeros(batch)
    return SamplingMetadata(
        temperature=None if bool(greedy.all()) else temperature,
        all_greedy=bool(greedy.all()), all_random=not bool(greedy.any()),
        top_p=torch.full((batch,), given["top_p"]) if "top_p" in given else None,
        top_k=torch.full((batch,), given["top_k"], dtype=torch.int32) if "top_k" in given else None,
        generators=given.get("generators", {}), max_num_logprobs=given.get("logprobs"), no_penalties=True,
        prompt_token_ids=None, frequency_penalties=none, presence_penalties=none, repetition_penalties=none + 1,
        output_token_ids=[[] for _ in range(batch)], allowed_token_ids_mask=None, bad_words_token_ids={},
        logitsprocs=LogitsProcessors(), spec_token_ids=[[] for _ in range(batch)],
    )  # fmt: skip


def guessed(guesses: Sequence[Sequence[int]]) -> SpecDecodeMetadata:
    """Rows of logits are each request's guesses and the place after them, request by request."""
    made = SpecDecodeMetadata.make_dummy([list(each) for each in guesses], torch.device("cpu"))
    rows = torch.arange(sum(len(each) + 1 for each in guesses)).split([len(each) + 1 for each in guesses])
    made.target_logits_indices = torch.cat([each[:-1] for each in rows]).int()
    made.bonus_logits_indices = torch.cat([each[-1:] for each in rows]).int()
    return made


def speculate(guesses: Sequence[Sequence[int]], logits: torch.Tensor, given: SamplingMetadata) -> list[list[int]]:
    output = RejectionSampler(Sampler())(guessed(guesses), None, logits.clone(), given)
    assert output.sampled_token_ids.dtype == torch.int32
    return [[token for token in row if token >= 0] for row in output.sampled_token_ids.tolist()]


def check_greedy_guesses_are_kept_up_to_the_first_that_is_wrong() -> None:
    best = [[3, 5, 7, 1], [2, 2], [9], [4, 8, 8]]
    logits = torch.zeros(10, VOCABULARY)
    logits[torch.arange(10), torch.tensor([token for each in best for token in each])] = 5.0
    guesses = [[3, 5, 7], [1], [], [4, 0]]
    for samples in (False, True):
        with hooked(speculates=True, samples=samples):
            for temperature in (0.0, torch.tensor([0.0, 0.0, 1.0, 0.0])):  # alone, and beside a request that samples
                told = speculate(guesses, logits, settings_of(4, temperature=temperature))
                assert [told[0], told[1], told[3]] == [[3, 5, 7, 1], [2], [4, 8]], told
                assert len(told[2]) == 1
    with hooked(speculates=False, samples=False):  # the control: greedy alone vLLM is right
        assert speculate(guesses, logits, settings_of(4)) == [[3, 5, 7, 1], [2], [9], [4, 8]]


def check_ties_are_decided_as_without_speculation() -> None:
    logits = torch.tensor([[0, 3, 3, 1], [5, 2, 5, 5], [4, 4, 4, 4]]).float()
    chosen = Sampler().greedy_sample(logits).tolist()
    with hooked(speculates=True, samples=True):
        for temperature in (0.0, torch.tensor([0.0, 1.0])):
            rows = torch.cat([logits, logits[:1]]) if torch.is_tensor(temperature) else logits
            guesses = [chosen[:2], []] if torch.is_tensor(temperature) else [chosen[:2]]
            assert speculate(guesses, rows, settings_of(len(guesses), temperature=temperature))[0] == chosen


def check_sampled_tokens_come_as_often_as_without_speculation() -> None:
    """Pairs of the first two tokens, against those drawn one after the other with no guess, for likely guesses and not.

    The control is the same with a guess that is always believed.
    """
    logits = random(3, VOCABULARY, dtype=torch.float32, seed=5) * 1.5
    likely, unlikely = logits.argmax(-1).tolist(), logits.argmin(-1).tolist()
    for given in SETTINGS:
        for samples in (False, True):
            for guess in ([likely[0], likely[1]], [likely[0], unlikely[1]], [unlikely[0], likely[1]]):
                with hooked(speculates=True, samples=samples):
                    agree(pairs(logits, guess, given), pairs(logits, [], given))
    with hooked(speculates=True, samples=True), patch.object(speculation, "keep", believe):
        disagree(pairs(logits, [likely[0], likely[1]], SETTINGS[0]), pairs(logits, [], SETTINGS[0]))


def check_without_the_hook_vllm_samples_from_what_is_in_memory() -> None:
    """The fault that is repaired (vllm#55005), and that the probe sees it."""
    speculation.loses_what_it_expands.cache_clear()
    with hooked(speculates=False, samples=False):
        assert speculation.loses_what_it_expands()
        counts, values = torch.tensor([2, 2, 5], dtype=torch.int32), torch.tensor([0.5, 0.25, 2.0])
        assert rejection_sampler.expand_batch_to_tokens(values, counts, 5).tolist() != [0.5, 0.5, 2.0, 2.0, 2.0]
        logits = random(3, VOCABULARY, dtype=torch.float32, seed=5) * 1.5
        best = logits.argmax(-1).tolist()
        given = settings_of(1, temperature=1.0, top_k=1)  # the largest alone: no other token may come
        with patch.object(torch.Tensor, "new_empty", lambda x, size: torch.full((size,), 3, dtype=x.dtype)):
            told = [speculate([best[:2]], logits, given)[0] for _ in range(40)]
        assert any(each != best for each in told), "vLLM's own is repaired: remove the hook"
        with patch.object(torch.Tensor, "new_empty", lambda x, size: torch.full((size,), 999, dtype=x.dtype)):
            ends_with(RuntimeError, lambda: speculate([best[:2]], logits, given))  # a top-k that is no rank
    with hooked(speculates=True, samples=False):
        assert rejection_sampler.expand_batch_to_tokens(values, counts, 5).tolist() == [0.5, 0.5, 2.0, 2.0, 2.0]
        assert rejection_sampler.expand_batch_to_tokens(values, counts, 5, 2, 1).tolist() == [0.5, 0.5, 1.0, 1.0, 1.0]
        ranks = torch.tensor([7, 9, 11], dtype=torch.int32)
        expanded = rejection_sampler.expand_batch_to_tokens(ranks, counts, 5)
        assert (expanded.tolist(), expanded.dtype) == ([7, 7, 11, 11, 11], torch.int32)
        assert all(speculate([best[:2]], logits, given)[0] == best for _ in range(40))


def check_a_step_without_guesses_draws_the_next_token() -> None:
    logits = random(2, VOCABULARY, dtype=torch.float32, seed=6) * 2
    best = [[token] for token in logits.argmax(-1).tolist()]
    given = settings_of(2, temperature=1.0, top_k=1, logprobs=1)
    for samples in (False, True):
        with EAGER_RANKS, hooked(speculates=True, samples=samples):
            assert speculate([[], []], logits, given) == best
            said = replace(given, no_penalties=False, prompt_token_ids=torch.zeros(2, 1, dtype=torch.int64))
            assert speculate([[], []], logits, said) == best
    with EAGER_RANKS, hooked(speculates=False, samples=False):  # the control
        ends_with(RuntimeError, lambda: speculate([[], []], logits, given))


def check_where_vllm_expands_rightly_its_own_is_used() -> None:
    def right(x: Any, cu_num_tokens: Any, num_tokens: int, *_: int) -> Any:
        return x.repeat_interleave(torch.diff(cu_num_tokens, prepend=cu_num_tokens.new_zeros(1)))

    speculation.loses_what_it_expands.cache_clear()
    calls: list[int] = []

    def counted(*given: Any) -> Any:
        calls.append(1)
        return right(*given)

    with patch.object(speculation, "_stock_expand", counted):
        got = speculation.expand(torch.tensor([1.0, 2.0]), torch.tensor([1, 3], dtype=torch.int32), 3)
        assert (got.tolist(), len(calls)) == ([1.0, 2.0, 2.0], 3)  # the probe's two, and this one
    speculation.loses_what_it_expands.cache_clear()


def check_guesses_with_probabilities_are_left_to_vllm_with_what_it_lacks() -> None:
    """A draft model says how likely its guesses were; the settings of the request must reach it all the same."""
    logits = random(2, VOCABULARY, dtype=torch.float32, seed=8) * 2
    draft = torch.softmax(random(1, VOCABULARY, dtype=torch.float32, seed=9), -1)
    given = {"temperature": 0.7, "top_k": 5}
    drawn = torch.multinomial(draft[0], REQUESTS, replacement=True)

    def first() -> torch.Tensor:
        metadata = guessed([[token] for token in drawn.tolist()])
        rows, odds = logits.repeat(REQUESTS, 1), draft.repeat(REQUESTS, 1)
        output = RejectionSampler(Sampler())(metadata, odds, rows, settings_of(REQUESTS, **given))
        return torch.bincount(output.sampled_token_ids[:, 0].long(), minlength=VOCABULARY)

    with hooked(speculates=True, samples=True):
        alone = Sampler()(logits[:1].repeat(REQUESTS, 1), settings_of(REQUESTS, **given)).sampled_token_ids[:, 0]
        agree(first(), torch.bincount(alone.long(), minlength=VOCABULARY))


def check_a_seed_repeats_what_was_drawn_and_other_requests_do_not_change_it() -> None:
    logits = random(7, VOCABULARY, dtype=torch.float32, seed=3)
    with hooked(speculates=True, samples=True):

        def told(before: int) -> list[list[int]]:
            guesses = [[1, 2], [3, 4]] if before else [[3, 4]]
            generators = {before: torch.Generator().manual_seed(7)}
            given = settings_of(1 + before, temperature=1.0, generators=generators)
            return speculate(guesses, logits[: 6 if before else 3] if before else logits[3:6], given)

        assert told(0)[0] == told(0)[0] == told(1)[1]


def check_logprobs_are_those_of_the_tokens_that_stay() -> None:
    logits = random(4, VOCABULARY, dtype=torch.float32, seed=4) * 2
    best = logits.argmax(-1).tolist()
    wanted = logits.log_softmax(-1).max(-1).values
    for samples in (False, True):
        with EAGER_RANKS, hooked(speculates=True, samples=samples):
            metadata = guessed([[best[0], best[1], best[2]]])
            output = RejectionSampler(Sampler())(metadata, None, logits.clone(), settings_of(1, logprobs=1))
            assert output.sampled_token_ids.tolist() == [best]
            assert output.logprobs_tensors is not None
            assert torch.allclose(output.logprobs_tensors.logprobs[:, 0], wanted, atol=1e-5)


def ends_with(kind: type[Exception], call: Callable[[], object]) -> None:
    try:
        call()
    except kind:
        return
    raise AssertionError(f"nothing was raised, expected {kind.__name__}")


def believe(metadata: SpecDecodeMetadata, drawn: Sequence[int], after: Sequence[int]) -> torch.Tensor:
    """A wrong way to keep guesses."""
    guesses = metadata.draft_token_ids.view(len(after), -1)
    return torch.cat([guesses, torch.tensor(after)[:, None].int()], 1)


def pairs(logits: torch.Tensor, guess: Sequence[int], given: dict[str, Any]) -> torch.Tensor:
    """How often each pair of the first two tokens came; the logits of a place do not depend on what was said before."""
    settings = settings_of(REQUESTS, **given)
    if not guess:
        steps = [Sampler()(logits[at].repeat(REQUESTS, 1), settings).sampled_token_ids[:, 0] for at in range(2)]
        return torch.bincount((steps[0] * VOCABULARY + steps[1]).long(), minlength=VOCABULARY**2)
    told = speculate([guess] * REQUESTS, logits.repeat(REQUESTS, 1), settings)
    # After a wrong first guess the second token is drawn in the next step, where nothing was guessed.
    missing = [row for row, tokens in enumerate(told) if len(tokens) < 2]
    if missing:
        batch = settings_of(len(missing), **given)
        later = Sampler()(logits[1].repeat(len(missing), 1), batch).sampled_token_ids[:, 0].tolist()
        for row, token in zip(missing, later, strict=True):
            told[row].append(token)
    return torch.bincount(torch.tensor([a * VOCABULARY + b for a, b, *_ in told]), minlength=VOCABULARY**2)


def statistic(one: torch.Tensor, other: torch.Tensor) -> tuple[float, float]:
    """Pearson's for two samples of one size, and its degrees of freedom. Rare pairs are put together."""
    both = torch.stack([one, other]).double()
    rare = both.sum(0) < 10
    table = torch.cat([both[:, ~rare], both[:, rare].sum(1, keepdim=True)], 1)
    table = table[:, table.sum(0) > 0]
    return float(((table[0] - table[1]).square() / table.sum(0)).sum()), table.shape[1] - 1


def agree(one: torch.Tensor, other: torch.Tensor) -> None:
    value, freedom = statistic(one, other)
    assert value < freedom + 5 * (2 * max(freedom, 1)) ** 0.5 + 5, (value, freedom)


def disagree(one: torch.Tensor, other: torch.Tensor) -> None:
    value, freedom = statistic(one, other)
    assert value > freedom + 50 * (2 * max(freedom, 1)) ** 0.5, (value, freedom)
