"""Real engines start with the KV cache that one sequence needs, and refuse to with one block less."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from deployment.checkpoint.kv_cache import Attention, sequence_bytes
from tests.support.in_engine import in_engine
from tests.support.tiny_configs import gemma3, llama, mistral, phi3

pytestmark = pytest.mark.engine

# Whole blocks are 8; a window of 200 and a step are 4 blocks and one more.
LENGTH = {"tokens": 1000, "step_tokens": 300}
BLOCK_BYTES = 128 * 2 * 4 * 32 * 2  # one layer's keys and values: 128 tokens, 4 heads of 32 bfloat16
NGRAM = {"speculative_config": {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_max": 4}}


def layers(full: int, sliding: int = 0, window: int | None = None) -> Attention:
    return Attention(full_layers=full, sliding_layers=sliding, sliding_window=window, kv_heads=4, head_dim=32)


# What config.json says, further options, the layers, how many of them share a block, and how many blocks are needed.
STARTS: Mapping[str, tuple[dict[str, Any], dict[str, Any], Attention, int, int]] = {
    "full": (llama(), {}, layers(4), 4, 8 + 1),
    "full, without prefix caching": (llama(), {"enable_prefix_caching": False}, layers(4), 4, 8 + 1),
    "windowed": (mistral(sliding_window=200), {}, layers(0, 4, 200), 4, 4 + 1 + 1),
    "phi-4's window": (phi3(sliding_window=262144), {}, layers(0, 4, 262144), 4, 8 + 1 + 1),
    "both": (gemma3(6, sliding_window=512), {}, layers(1, 5, 512), 1, 8 + 5 * (7 + 1) + 1),
    "both, speculating": (gemma3(6, sliding_window=512), NGRAM, layers(1, 5, 512), 1, 8 + 5 * (7 + 1) + 1),
}


@pytest.fixture(scope="module")
def starts(engine_python: str, tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, tuple[int | str, int | str]]:
    """Two engines of each, one after another: with a block less than one sequence needs, and with what it needs."""
    jobs = []
    for config, options, attention, shared, _ in STARTS.values():
        model = tmp_path_factory.mktemp("model")
        (model / "config.json").write_text(json.dumps(config))
        least = sequence_bytes(attention, "bfloat16", **LENGTH)
        sizes = (least - shared * BLOCK_BYTES, least)
        given = [{**options, "kv_cache_memory_bytes": size} for size in sizes]
        jobs += [{"model": str(model), **LENGTH, "options": each} for each in given]
    told = in_engine(engine_python, "kv_cache_start.py", jobs)
    return dict(zip(STARTS, zip(told[::2], told[1::2], strict=True), strict=True))


@pytest.mark.parametrize("name", STARTS)
def test_exactly_one_sequence_starts_and_is_answered_to_its_last_token(
    starts: Mapping[str, tuple[int | str, int | str]], name: str
) -> None:
    assert starts[name][1] == 1000


@pytest.mark.parametrize("name", STARTS)
def test_one_block_less_is_refused(starts: Mapping[str, tuple[int | str, int | str]], name: str) -> None:
    assert "To serve at least one request with the model's max seq len (1000)" in str(starts[name][0])


@pytest.mark.parametrize("name", STARTS)
def test_the_need_is_the_sum_of_blocks_made_by_hand(name: str) -> None:
    _, _, attention, shared, blocks = STARTS[name]
    assert sequence_bytes(attention, "bfloat16", **LENGTH) == blocks * shared * BLOCK_BYTES
