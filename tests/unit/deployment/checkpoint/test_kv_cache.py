"""KV cache against sums made by hand from vLLM's rules; test_engine_kv_cache.py holds them against vLLM itself."""

import pytest

from deployment.checkpoint.kv_cache import Attention, sequence_bytes, sequences_at_once
from deployment.quantities import GIB, MIB

# As published: 8, 4, 8 and 16 heads of 128 numbers.
MISTRAL = Attention(full_layers=32, kv_heads=8, head_dim=128)
MISTRAL_WINDOWED = Attention(full_layers=0, sliding_layers=32, sliding_window=4096, kv_heads=8, head_dim=128)
PHI4 = Attention(full_layers=0, sliding_layers=32, sliding_window=262144, kv_heads=8, head_dim=128)
QWEN = Attention(full_layers=28, kv_heads=4, head_dim=128)
GEMMA_27B = Attention(full_layers=10, sliding_layers=52, sliding_window=1024, kv_heads=16, head_dim=128)
GEMMA_4B = Attention(full_layers=5, sliding_layers=29, sliding_window=1024, kv_heads=4, head_dim=256)
GEMMA_1B = Attention(full_layers=4, sliding_layers=22, sliding_window=512, kv_heads=1, head_dim=256)


def blocks(attention: Attention, block_bytes: int, tokens: int, step_tokens: int = 2048) -> float:
    """A sequence's need in blocks of the given size."""
    return sequence_bytes(attention, "bfloat16", tokens=tokens, step_tokens=step_tokens) / block_bytes


@pytest.mark.parametrize(
    ("tokens", "expected"),
    # Whole blocks of 128 tokens, and one that vLLM keeps to itself.
    [(1, 2), (127, 2), (128, 2), (129, 3), (8192, 65), (8193, 66)],
)
def test_full_attention_needs_its_blocks_and_one_that_vllm_keeps(tokens: int, expected: int) -> None:
    assert blocks(MISTRAL, 16 * MIB, tokens) == expected
    assert blocks(QWEN, 7 * MIB, tokens) == expected


@pytest.mark.parametrize(
    ("tokens", "step_tokens", "expected"),
    [
        (8192, 2048, 50),  # ceil((4095 + 2048) / 128) + 1 for a window that begins inside a block, + 1 kept
        (8192, 2049, 50),
        (8192, 2050, 51),
        (131072, 2048, 50),
        (6143, 2048, 50),
        (4096, 2048, 34),  # never more than the sequence
        (1, 2048, 3),
    ],
)
def test_windowed_layers_need_the_window_a_step_and_a_block(tokens: int, step_tokens: int, expected: int) -> None:
    assert blocks(MISTRAL_WINDOWED, 16 * MIB, tokens, step_tokens) == expected


@pytest.mark.parametrize(("tokens", "expected"), [(4096, 34), (8192, 66), (8193, 67), (131072, 1026)])
def test_a_window_longer_than_any_context_costs_two_blocks_over_its_tokens(tokens: int, expected: int) -> None:
    assert blocks(PHI4, 16 * MIB, tokens) == expected


@pytest.mark.parametrize(
    ("attention", "block_bytes", "tokens", "expected"),
    [  # groups of full layers x blocks + groups of windowed layers x ceil((window - 1 + 2048) / 128) + 1, + 1 kept
        (GEMMA_27B, 10 * MIB, 8192, 1 * 64 + 6 * 25 + 1),
        (GEMMA_27B, 10 * MIB, 24576, 1 * 192 + 6 * 25 + 1),
        (GEMMA_27B, 10 * MIB, 1000, 1 * 8 + 6 * 9 + 1),
        (GEMMA_4B, 5 * MIB // 2, 8192, 1 * 64 + 6 * 25 + 1),
        (GEMMA_1B, MIB // 2, 8192, 1 * 64 + 6 * 21 + 1),
    ],
)
def test_layers_of_two_kinds_are_stored_in_groups_of_the_rarer_kind(
    attention: Attention, block_bytes: int, tokens: int, expected: int
) -> None:
    assert blocks(attention, block_bytes, tokens) == expected


@pytest.mark.parametrize(
    ("full", "sliding", "layers", "groups_full", "groups_sliding"),
    [
        (12, 13, 13, 1, 1),  # nearly as many of both: one group each, as large as the larger
        (13, 12, 13, 1, 1),
        (4, 5, 5, 1, 1),
        (4, 6, 4, 1, 2),  # half as many again is not less than that
        (6, 4, 4, 2, 1),
        (3, 3, 3, 1, 1),
        (1, 5, 1, 1, 5),
    ],
)
def test_groups_are_as_large_as_the_commoner_kind_where_both_are_nearly_equal(
    full: int, sliding: int, layers: int, groups_full: int, groups_sliding: int
) -> None:
    mixed = Attention(full_layers=full, sliding_layers=sliding, sliding_window=128, kv_heads=1, head_dim=32)
    block_bytes = layers * 128 * 128
    # 1000 tokens are 8 blocks; a window of 128 and a step of 130 are three and one.
    assert blocks(mixed, block_bytes, 1000, 130) == groups_full * 8 + groups_sliding * 4 + 1


def test_a_further_token_of_context_costs_what_the_layers_without_a_window_store() -> None:
    """128, 56, 128 and 80 KiB, as the families' sizes are told."""
    for attention, kib in ((MISTRAL, 128), (QWEN, 56), (PHI4, 128), (GEMMA_27B, 80)):
        near, far = (sequence_bytes(attention, "bfloat16", tokens=tokens, step_tokens=2048) for tokens in (8192, 16384))
        assert far - near == 8192 * kib * 1024


def test_float32_takes_twice_the_bytes() -> None:
    sizes = [sequence_bytes(MISTRAL, dtype, tokens=8192, step_tokens=2048) for dtype in ("float32", "bfloat16")]
    assert sizes[0] == 2 * sizes[1]


@pytest.mark.parametrize(
    ("kv_bytes", "expected"),
    [
        (0, 0),
        (65 * 16 * MIB - 1, 0),
        (65 * 16 * MIB, 1),
        (128 * 16 * MIB, 1),  # vLLM says 2.00x, and lets the second wait for a block
        (129 * 16 * MIB, 2),
        (6 * GIB, 5),
        (6 * GIB + 16 * MIB, 6),
    ],
)
def test_sequences_share_the_one_block_that_vllm_keeps(kv_bytes: int, expected: int) -> None:
    assert sequences_at_once(MISTRAL, "bfloat16", tokens=8192, step_tokens=2048, kv_bytes=kv_bytes) == expected


@pytest.mark.parametrize("attention", [MISTRAL, MISTRAL_WINDOWED, PHI4, QWEN, GEMMA_27B, GEMMA_4B, GEMMA_1B])
@pytest.mark.parametrize(("tokens", "step_tokens"), [(8192, 2048), (1000, 300), (1, 1)])
def test_what_one_sequence_needs_is_the_least_that_holds_one(
    attention: Attention, tokens: int, step_tokens: int
) -> None:
    least = sequence_bytes(attention, "bfloat16", tokens=tokens, step_tokens=step_tokens)
    held = [
        sequences_at_once(attention, "bfloat16", tokens=tokens, step_tokens=step_tokens, kv_bytes=size)
        for size in (least - 1, least)
    ]
    assert held == [0, 1]
