"""The least KV cache with which an engine starts, against the functions of the very vLLM that decides it."""

import itertools
import math
import random
from collections.abc import Mapping
from typing import Any

import pytest

from deployment.checkpoint.kv_cache import Attention, sequence_bytes, sequences_at_once
from tests.support.in_engine import in_engine
from tests.support.tiny_configs import gemma3, gemma3_with_pictures, llama, mistral, phi3, qwen2

pytestmark = pytest.mark.engine


def layers(full: int, sliding: int = 0, window: int | None = None) -> Attention:
    return Attention(full_layers=full, sliding_layers=sliding, sliding_window=window, kv_heads=4, head_dim=32)


# What config.json says, and the layers that vLLM makes of it.
CHECKPOINTS: Mapping[str, tuple[dict[str, Any], Attention]] = {
    "llama": (llama(), layers(4)),
    "llama with a window": (llama(sliding_window=512), layers(0, 4, 512)),
    "phi-4 as published": (phi3(sliding_window=262144), layers(0, 4, 262144)),
    "phi-3 without a window": (phi3(sliding_window=None), layers(4)),
    "mistral with a window": (mistral(sliding_window=4096), layers(0, 4, 4096)),
    "mistral, window absent": (mistral(), layers(0, 4, 4096)),
    "mistral, window null": (mistral(sliding_window=None), layers(4)),
    "mistral, window 0": (mistral(sliding_window=0), layers(4)),
    "mistral, all layers full": (mistral(sliding_window=4096, layer_types=["full_attention"] * 4), layers(4)),
    "mistral, layers of both kinds": (
        mistral(sliding_window=4096, layer_types=["full_attention", *["sliding_attention"] * 3]),
        layers(1, 3, 4096),
    ),
    "qwen2, windows off": (qwen2(sliding_window=4096, use_sliding_window=False, max_window_layers=2), layers(4)),
    "qwen2, windows above all layers": (
        qwen2(sliding_window=4096, use_sliding_window=True, max_window_layers=4),
        layers(4),
    ),
    "qwen2, windows from the first layer": (
        qwen2(sliding_window=4096, use_sliding_window=True, max_window_layers=0),
        layers(0, 4, 4096),
    ),
    "gemma 3 1b": (gemma3(26, sliding_window_pattern=6), layers(4, 22, 1024)),
    "gemma 3, every second": (gemma3(6, sliding_window_pattern=2), layers(3, 3, 1024)),
    "gemma 3 4b": (gemma3_with_pictures(34), layers(5, 29, 1024)),
    "gemma 3 27b": (gemma3_with_pictures(62), layers(10, 52, 1024)),
}
LENGTHS = [
    {"tokens": tokens, "step_tokens": step} for tokens, step in [(8192, 2048), (4096, 256), (1000, 300), (128, 128)]
]
DTYPES = ("bfloat16", "float32")
EACH_KIND = ("llama", "phi-4 as published", "gemma 3 1b")
OPTIONS: Mapping[str, dict[str, Any]] = {
    "without prefix caching": {"enable_prefix_caching": False},
    "speculating": {"speculative_config": {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}},
}


def edges() -> list[dict[str, Any]]:
    """Around every border of blocks and groups."""
    kinds = [(4, 0), (0, 4), (1, 5), (4, 22), (5, 29), (10, 52), (12, 13), (2, 3), (3, 2), (29, 5), (4, 5), (4, 6)]
    windows = [1, 127, 128, 129, 512, 262144]
    lengths = [(1, 1), (127, 64), (128, 128), (129, 128), (1000, 300), (8192, 2048), (131072, 2048)]
    return [
        {"full_layers": full, "sliding_layers": sliding, "sliding_window": window, "kv_heads": 2, "head_dim": 64,
         "dtype": "bfloat16", "tokens": tokens, "step_tokens": step}
        for (full, sliding), window, (tokens, step) in itertools.product(kinds, windows, lengths)
        if sliding or window == 1
    ]  # fmt: skip


def drawn(count: int) -> list[dict[str, Any]]:
    """Anything else; the same on every run."""
    draw = random.Random(32)  # noqa: S311 - a table, not a secret
    return [
        {
            "full_layers": draw.randint(1, 40),
            "sliding_layers": draw.choice([0, draw.randint(1, 80)]),
            "sliding_window": draw.choice([draw.randint(1, 5000), 262144]),
            "kv_heads": draw.randint(1, 16),
            "head_dim": draw.choice([32, 64, 80, 96, 112, 128, 256]),
            "dtype": draw.choice(DTYPES),
            "tokens": draw.randint(1, 40_000),
            "step_tokens": draw.randint(1, 5000),
        }
        for _ in range(count)
    ]


def attention(shape: Mapping[str, Any]) -> Attention:
    window = shape["sliding_window"] if shape["sliding_layers"] else None
    sizes = {key: shape[key] for key in ("full_layers", "sliding_layers", "kv_heads", "head_dim")}
    return Attention(sliding_window=window, **sizes)


def least(shape: Mapping[str, Any]) -> int:
    length = {key: shape[key] for key in ("tokens", "step_tokens")}
    return sequence_bytes(attention(shape), shape["dtype"], **length)


def pools() -> list[dict[str, Any]]:
    """Memory around that of two sequences, and of some."""
    draw = random.Random(16)  # noqa: S311 - a table, not a secret
    found = []
    for shape in drawn(40):
        small = {**shape, "tokens": draw.randint(1, 2000), "step_tokens": draw.randint(100, 1000)}
        one = least(small)
        found += [{**small, "kv_bytes": size} for size in (one, 2 * one - 1, 2 * one, draw.randint(one, 6 * one))]
    return found


TABLE = [*edges(), *drawn(400)]
POOLS = pools()


def built(name: str, dtype: str, options: Mapping[str, Any]) -> dict[str, Any]:
    config, expected = CHECKPOINTS[name]
    lengths = [{**length, "guess": sequence_bytes(expected, dtype, **length)} for length in LENGTHS]
    return {"config": config, "dtype": dtype, "options": options, "lengths": lengths}


@pytest.fixture(scope="module")
def told(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Everything at once: importing vLLM takes seconds."""
    checkpoints = {f"{name} {dtype}": built(name, dtype, {}) for name in CHECKPOINTS for dtype in DTYPES}
    for option, given in OPTIONS.items():
        checkpoints |= {f"{name} {option}": built(name, "bfloat16", given) for name in EACH_KIND}
    scratch = str(tmp_path_factory.mktemp("kv"))
    shapes = [{**shape, "guess": least(shape)} for shape in (*TABLE, *POOLS)]
    return in_engine(
        engine_python, "kv_cache_rules.py", {"scratch": scratch, "shapes": shapes, "checkpoints": checkpoints}
    )


def test_a_sequence_needs_what_vllm_asks_for_to_the_byte(told: Any) -> None:
    """vLLM refuses one byte less."""
    asked = [got["least"] for got in told["shapes"][: len(TABLE)]]
    wrong = [(shape, least(shape), size) for shape, size in zip(TABLE, asked, strict=True) if least(shape) != size]
    assert len(TABLE) > 800
    assert wrong == []


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CHECKPOINTS)
def test_layers_that_vllm_builds_of_a_checkpoint_need_it_too(told: Any, name: str, dtype: str) -> None:
    _, expected = CHECKPOINTS[name]
    got = told["checkpoints"][f"{name} {dtype}"]
    assert Attention(**got["layers"]) == expected
    assert got["least"] == [sequence_bytes(expected, dtype, **length) for length in LENGTHS]


@pytest.mark.parametrize("option", OPTIONS)
@pytest.mark.parametrize("name", EACH_KIND)
def test_neither_prefix_caching_nor_speculation_changes_the_need(told: Any, name: str, option: str) -> None:
    assert told["checkpoints"][f"{name} {option}"] == told["checkpoints"][f"{name} bfloat16"]


def test_as_many_sequences_are_promised_as_vllm_holds_at_once(told: Any) -> None:
    """Where layers are windowed it may hold more: what left their windows is free while others begin."""
    for shape, got in zip(POOLS, told["shapes"][len(TABLE) :], strict=True):
        length = {key: shape[key] for key in ("tokens", "step_tokens", "kv_bytes")}
        promised = sequences_at_once(attention(shape), shape["dtype"], **length)
        assert promised == got["held"] if not shape["sliding_layers"] else promised <= got["held"], shape
        # vLLM's own figure counts the block that it keeps: 2.00 are one, 2.01 are two.
        assert promised == math.ceil(got["concurrency"]) - 1, shape
