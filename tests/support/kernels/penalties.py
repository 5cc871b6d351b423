"""Checks of the penalties against vLLM's own function, bit by bit."""

from typing import Any
from unittest.mock import patch

import torch
from axion_kernels import penalties as ours
from vllm.v1.sample.ops import penalties as stock

from tests.support.kernels.contract import refused
from tests.support.kernels.inputs import random

SETTINGS = ((1.1, 0.0, 0.0), (1.0, 0.4, 0.0), (1.0, 0.0, 1.5), (0.7, -0.3, -1.0), (1.0, 0.0, 0.0), (1.3, 0.2, 0.1))


def tokens(rows: int, size: int, vocabulary: int, seed: int = 0) -> Any:
    """Some of them `vocabulary`, which is vLLM's padding."""
    make = torch.Generator().manual_seed(seed)
    return torch.randint(0, vocabulary + 1, (rows, size), generator=make)


def both(logits: Any, prompts: Any, outputs: list[list[int]], settings: Any) -> tuple[Any, Any]:
    """vLLM's result, and ours by the way that the sampler takes."""
    repetition, frequency, presence = torch.tensor(settings).t()
    given = (prompts, presence, frequency, repetition, outputs)
    wanted = stock.apply_all_penalties(logits.clone(), *given)
    with patch.object(stock, "apply_penalties", stock.apply_penalties):
        ours.install()
        worked = logits.clone()
        got = stock.apply_all_penalties(worked, *given)
        assert got is worked  # vLLM ignores what others return
    return got, wanted


def check_penalties_are_vllms_bit_by_bit() -> None:
    for vocabulary in (1, 65, 1000, 152064):
        for prompt, said in ((0, 0), (0, 40), (30, 0), (300, 500)):
            logits = random(len(SETTINGS), vocabulary, dtype=torch.float32, seed=prompt + said) * 3
            outputs = tokens(len(SETTINGS), said, vocabulary, seed=1).tolist()
            outputs = [row[: said - 5 * at] for at, row in enumerate(outputs)]  # of different lengths
            got, wanted = both(logits, tokens(len(SETTINGS), prompt, vocabulary), outputs, SETTINGS)
            assert torch.equal(got, wanted), (vocabulary, prompt, said)
            if said and vocabulary > 1:
                assert not torch.equal(got, logits)


def check_special_logits_and_placeholders_are_vllms() -> None:
    logits = torch.tensor([[torch.inf, -torch.inf, torch.nan, 0.0, -0.0, 1e38, -1e38, 1e-40]])
    got, wanted = both(logits, torch.arange(8)[None], [[0, 1, 2, 3, 4, 5, 6, 7, -1, -1]], [(0.5, 0.1, 0.2)])
    assert torch.equal(got.nan_to_num(7.0), wanted.nan_to_num(7.0))


def check_other_logits_are_left_to_vllm() -> None:
    for logits in (random(2, 50), random(50, 2, dtype=torch.float32).t()):
        got, wanted = both(logits, tokens(2, 9, 50), tokens(2, 7, 50).tolist(), SETTINGS[:2])
        assert torch.equal(got, wanted)


def check_penalties_do_not_depend_on_threads() -> None:
    logits = random(12, 5000, dtype=torch.float32)
    given = (tokens(12, 4000, 5000), tokens(12, 3000, 5000, seed=2), *torch.tensor(SETTINGS * 2).t().flip(0))
    results = []
    for threads in (1, 2, 3, 7):
        torch.set_num_threads(threads)
        results.append(logits.clone())
        torch.ops.axion.penalize_(results[-1], *given)
    torch.set_num_threads(2)
    assert all(torch.equal(results[0], each) for each in results[1:])


def check_penalties_refuse_what_they_cannot_read() -> None:
    logits, said, ones = random(2, 50, dtype=torch.float32), tokens(2, 5, 50), torch.ones(2)
    call = torch.ops.axion.penalize_
    refused(lambda: call(logits.bfloat16(), said, said, ones, ones, ones), "axion::penalize_: logits: expected Float")
    refused(lambda: call(logits.t(), said, said, ones, ones, ones), "axion::penalize_: logits: expected contiguous")
    refused(lambda: call(logits, said.int(), said, ones, ones, ones), "axion::penalize_: prompts: expected Long")
    refused(lambda: call(logits, said, said[:1], ones, ones, ones), "axion::penalize_: outputs:", "[2, tokens]")
    refused(lambda: call(logits, said, said, ones[:1], ones, ones), "axion::penalize_: presence:", "[2]", "[1]")
    refused(lambda: call(logits, said, said, ones, ones.double(), ones), "axion::penalize_: frequency: expected Float")
    refused(lambda: call(logits, said, said, ones, ones, ones[0]), "axion::penalize_: repetition:")
    refused(lambda: call(logits, said, said, ones, ones, ones.to("meta")), "axion::penalize_: repetition:", "meta")
