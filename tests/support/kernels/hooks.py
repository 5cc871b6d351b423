"""Checks of what the plug-in hooks into vLLM that need vLLM's own classes and no model."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import torch
from axion_kernels import linear_w4, sampler
from axion_kernels.sampler import forward_cpu
from vllm import SamplingParams
from vllm.model_executor.kernels import linear
from vllm.model_executor.kernels.linear.mixed_precision.cpu import CPUWNA16LinearKernel
from vllm.model_executor.kernels.linear.mixed_precision.MPLinearKernel import MPLinearLayerConfig
from vllm.platforms import PlatformEnum, current_platform
from vllm.scalar_type import scalar_types
from vllm.v1.sample.logits_processor import LogitsProcessors
from vllm.v1.sample.logits_processor.builtin import MinPLogitsProcessor
from vllm.v1.sample.logits_processor.interface import BatchUpdate
from vllm.v1.sample.metadata import SamplingMetadata
from vllm.v1.sample.ops.topk_topp_sampler import TopKTopPSampler
from vllm.v1.sample.sampler import Sampler

from tests.support.kernels.inputs import random

DRAWS = 2000  # a token of 2 % is missed by all of them once in 10^17
OFTEN = 0.02


def check_what_the_int4_kernel_cannot_do_is_left_to_others() -> None:
    assert accepted(k=256, group=128) is None
    assert accepted(k=96, group=-1) is None
    assert accepted(k=40, group=-1) == "input size 40: no multiple of 32"
    assert accepted(k=160, group=128) == "input size 160: no multiple of the group size 128"
    assert accepted(k=256, group=16) == "group size 16: only 32, 64, 128 and whole rows"


def check_what_no_compiled_kernel_can_do_is_refused_while_the_model_loads() -> None:
    """vLLM chooses a kernel when it makes a layer. The control is vLLM's choice without us: a kernel that Arm lacks."""
    current_platform.import_kernels()
    kernels = list(linear._POSSIBLE_KERNELS[PlatformEnum.CPU])
    with (
        patch.dict(linear._POSSIBLE_KERNELS, {PlatformEnum.CPU: kernels}),
        patch.object(CPUWNA16LinearKernel, "can_implement", staticmethod(linear_w4._stock_can_implement)),
        patch.object(linear_w4, "STOCK_OPERATOR", "of_another_processor"),
    ):
        for group in (2, 16, 48, 256):
            assert linear.choose_mp_linear_kernel(layer(k=768, group=group)) is CPUWNA16LinearKernel
        linear_w4.install_refusal()
        assert refused(group=128) == "CPUWNA16LinearKernel: of_another_processor: not compiled for this processor"
        linear_w4.install()
        for group in (32, 64, 128, 768, -1):
            assert linear.choose_mp_linear_kernel(layer(k=768, group=group)) is linear_w4.AxionW4LinearKernel
        for group in (2, 16, 48, 256):
            assert refused(group=group) == (
                f"AxionW4LinearKernel: group size {group}: only 32, 64, 128 and whole rows; "
                "CPUWNA16LinearKernel: of_another_processor: not compiled for this processor"
            )


def check_where_vllms_kernel_was_compiled_it_keeps_what_ours_cannot_do() -> None:
    with patch.object(linear_w4, "STOCK_OPERATOR", "greedy_argmax"):  # compiled for every processor
        assert linear_w4.can_stock_implement(layer(k=768, group=16)) == (True, None)
        assert linear_w4.can_stock_implement(layer(k=768, group=3)) == linear_w4._stock_can_implement(
            layer(k=768, group=3)
        )


def refused(*, group: int) -> str:
    """The reasons of both kernels, of those that vLLM lists."""
    try:
        linear.choose_mp_linear_kernel(layer(k=768, group=group))
    except ValueError as error:
        said = [line.strip().split(" cannot implement due to: ") for line in str(error).splitlines()[1:]]
        ours = ("AxionW4LinearKernel", "CPUWNA16LinearKernel")
        return "; ".join(f"{kernel}: {reason}" for kernel, reason in said if kernel in ours)
    raise AssertionError(f"groups of {group}: a kernel was chosen")


def layer(*, k: int, group: int) -> MPLinearLayerConfig:
    return MPLinearLayerConfig(
        full_weight_shape=(k, 64), partition_weight_shape=(k, 64), weight_type=scalar_types.uint4b8,
        act_type=torch.bfloat16, group_size=group, zero_points=False,
    )  # fmt: skip


def accepted(*, k: int, group: int) -> str | None:
    can, reason = linear_w4.AxionW4LinearKernel.can_implement(layer(k=k, group=group))
    assert can == (reason is None)
    return reason


def check_greedy_tokens_are_vllms() -> None:
    """The control is vLLM's operator, and that installing replaces it."""
    stock = Sampler.greedy_sample
    with (
        patch.object(Sampler, "greedy_sample", staticmethod(stock)),
        patch.object(TopKTopPSampler, "forward_cpu", TopKTopPSampler.forward_cpu),
    ):
        sampler.install()
        assert Sampler.greedy_sample is not stock
        for seed, (rows, words) in enumerate(((1, 1), (1, 127), (3, 128), (2, 1025), (8, 50257))):
            logits = random(rows, words, dtype=torch.float32, seed=seed)
            assert Sampler().greedy_sample(logits).equal(stock(logits)), (rows, words)
            tied = (logits * 2).round()
            assert Sampler().greedy_sample(tied).equal(stock(tied)), (rows, words)
            masked = torch.where(logits > 0, -torch.inf, logits)
            masked[:, -1] = -9.0
            assert Sampler().greedy_sample(masked).equal(stock(masked)), (rows, words)
        assert Sampler().greedy_sample(torch.tensor([[1.0, 3.0, 3.0], [-1.0, -2.0, -1.0]])).tolist() == [1, 0]
        assert Sampler().greedy_sample(torch.zeros(0, 5)).shape == (0,)
        mixed, _ = Sampler().sample(torch.tensor([[0.0, 9.0], [5.0, 0.0]]), greedy_and_random())
        assert mixed.tolist() == [1, 0]


def greedy_and_random() -> SamplingMetadata:
    """Two rows: the first greedy, the second at random of its best alone."""
    asked = metadata(2, 1.0, k=1, p=1.0, min_p=0.0)
    asked.all_random = False
    asked.temperature = torch.tensor([0.0, 1.0])
    return asked


def check_the_order_of_the_cuts_is_vllms() -> None:
    """min_p, then top_k, then top_p: sampled with vLLM's own sampler, the plug-in in it, and the operator alone."""
    worked = torch.tensor([0.40, 0.22, 0.14, 0.10, 0.08, 0.06]).log()
    # 0.3 of the largest leaves 0.40, 0.22, 0.14. Of these 0.8 is the first two; of all six it is the first four.
    assert kept_by_vllm(worked, 1.0, k=6, p=0.8, min_p=0.3) == {0, 1}
    agree(worked, 1.0, k=6, p=0.8, min_p=0.3)
    # 0.7 of the first four, which are 0.86, is the first two; of all six it is the first three.
    assert kept_by_vllm(worked, 1.0, k=4, p=0.7, min_p=0.0) == {0, 1}
    assert kept_by_vllm(worked, 1.0, k=6, p=0.7, min_p=0.0) == {0, 1, 2}
    agree(worked, 1.0, k=4, p=0.7, min_p=0.0)
    for seed in range(12):
        logits = random(40, dtype=torch.float32, seed=seed) * 2
        for k, p, min_p in ((12, 0.9, 0.05), (40, 0.7, 0.1), (5, 1.0, 0.2), (40, 1.0, 0.02), (8, 0.6, 0.0)):
            agree(logits, (0.6, 1.0, 1.4)[seed % 3], k=k, p=p, min_p=min_p)


def agree(logits: Any, temperature: float, **cuts: Any) -> None:
    kept = kept_by_vllm(logits, temperature, **cuts)
    chances = torch.softmax((logits / temperature)[sorted(kept)].double(), -1)
    often = {token for token, chance in zip(sorted(kept), chances.tolist(), strict=True) if chance > OFTEN}
    for drawn in (drawn_by_the_plugin(logits, temperature, **cuts), drawn_alone(logits, temperature, **cuts)):
        assert often <= drawn <= kept, (often, drawn, kept, cuts)


def kept_by_vllm(logits: Any, temperature: float, **cuts: Any) -> set[int]:
    sampler = Sampler(logprobs_mode="processed_logits")
    _, processed = sampler.sample(logits[None].clone(), metadata(1, temperature, **cuts))
    return set(torch.isfinite(processed[0]).nonzero().flatten().tolist())


def drawn_by_the_plugin(logits: Any, temperature: float, **cuts: Any) -> set[int]:
    sampler = Sampler()
    stage = sampler.topk_topp_sampler
    calls: list[int] = []

    def forward(*arguments: Any) -> Any:
        calls.append(1)
        return forward_cpu(stage, *arguments)

    stage.forward = forward  # as the constructor binds it, once `install` has replaced the method
    tokens, _ = sampler.sample(logits.repeat(DRAWS, 1), metadata(DRAWS, temperature, **cuts))
    assert calls == [1]
    return set(tokens.tolist())


def drawn_alone(logits: Any, temperature: float, *, k: int, p: float, min_p: float) -> set[int]:
    each: Callable[[float], Any] = lambda value: torch.full((DRAWS,), value)  # noqa: E731
    rows = logits.expand(DRAWS, -1)
    tokens = torch.ops.axion.sample(rows, each(temperature), each(k), each(p), each(min_p), torch.arange(DRAWS))
    return set(tokens.tolist())


def metadata(batch: int, temperature: float, *, k: int, p: float, min_p: float) -> SamplingMetadata:
    settings = SimpleNamespace(scheduler_config=SimpleNamespace(max_num_seqs=batch))
    processor = MinPLogitsProcessor(settings, torch.device("cpu"), False)
    added: Any = [(row, SamplingParams(min_p=min_p), None, []) for row in range(batch)]
    processor.update_state(BatchUpdate(batch_size=batch, removed=[], added=added, moved=[]))
    none = torch.zeros(batch)
    return SamplingMetadata(
        temperature=torch.full((batch,), temperature), all_greedy=False, all_random=True,
        top_p=torch.full((batch,), p), top_k=torch.full((batch,), k, dtype=torch.int32), generators={},
        max_num_logprobs=None, no_penalties=True, prompt_token_ids=None, frequency_penalties=none,
        presence_penalties=none, repetition_penalties=none, output_token_ids=[[] for _ in range(batch)],
        allowed_token_ids_mask=None, bad_words_token_ids={}, logitsprocs=LogitsProcessors([processor]),
    )  # fmt: skip
