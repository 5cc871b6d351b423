"""How much KV cache vLLM wants before it starts, and how many sequences that holds: its own rules, to the block.

An engine refuses to start unless one sequence of full length fits. What it counts then is one pool of blocks, each
`BLOCK_TOKENS` tokens of every layer of a group (vLLM 0.32, v1/core/kv_cache_utils.get_kv_cache_configs).
"""

from dataclasses import dataclass

# vLLM 0.32, platforms/cpu.CpuPlatform.check_and_update_config. Windowed layers get the same: the most multiples of 32
# that fit the page of a block (model_executor/layers/attention.Attention.get_kv_cache_spec).
BLOCK_TOKENS = 128
ELEMENT_BYTES = {"bfloat16": 2, "float32": 4}
# The pool's first block stands for what a window has passed and is never given out (v1/core/block_pool.BlockPool);
# get_kv_cache_configs takes it off the memory before it looks whether a sequence fits.
NULL_BLOCKS = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Attention:
    """What of a model decides its KV cache."""

    full_layers: int
    """Layers that look back over everything."""
    sliding_layers: int = 0
    sliding_window: int | None = None
    """Tokens that a windowed layer looks back; it may be longer than any context, as Phi-4's 262144."""
    kv_heads: int
    head_dim: int

    def __post_init__(self) -> None:
        assert self.full_layers + self.sliding_layers > 0, "a model without attention has no KV cache"
        assert not self.sliding_layers or self.sliding_window, "windowed layers have a window"


def sequence_bytes(attention: Attention, dtype: str, *, tokens: int, step_tokens: int) -> int:
    """The least bytes with which vLLM starts for sequences of `tokens`, computed `step_tokens` at a time.

    With a byte less it says "To serve at least one request with the model's max seq len ..." and ends
    (kv_cache_utils._check_enough_kv_cache_memory). Prefix caching and speculation by n-grams change nothing: what they
    keep lies in blocks that are counted already, or free.
    """
    return (_sequence_blocks(attention, tokens, step_tokens) + NULL_BLOCKS) * _block_bytes(attention, dtype)


def sequences_at_once(attention: Attention, dtype: str, *, tokens: int, step_tokens: int, kv_bytes: int) -> int:
    """How many sequences of `tokens` fit before one has to wait.

    vLLM's log says "Maximum concurrency", which counts the null block as one to use
    (kv_cache_utils.get_max_concurrency_for_kv_cache_config): its 2.00x is one sequence and a block too few for two.
    """
    usable = kv_bytes // _block_bytes(attention, dtype) - NULL_BLOCKS
    return max(0, usable) // _sequence_blocks(attention, tokens, step_tokens)


def _sequence_blocks(attention: Attention, tokens: int, step_tokens: int) -> int:
    """Blocks that one sequence may fill: each group of layers has its own (_max_memory_usage_bytes_from_groups)."""
    group = _group_layers(attention)
    blocks = _ceil(attention.full_layers, group) * _ceil(tokens, BLOCK_TOKENS)
    if attention.sliding_window is not None:
        # The window and the tokens of a step, and one more because a window need not begin where a block does
        # (v1/kv_cache_interface.SlidingWindowSpec.max_admission_blocks_per_request), however long the window is.
        kept = min(attention.sliding_window - 1 + step_tokens, tokens)
        blocks += _ceil(attention.sliding_layers, group) * (_ceil(kept, BLOCK_TOKENS) + 1)
    return blocks


def _block_bytes(attention: Attention, dtype: str) -> int:
    """Bytes of one block of the pool: keys and values of as many layers as are in a group."""
    per_token = 2 * attention.kv_heads * attention.head_dim * ELEMENT_BYTES[dtype]
    return _group_layers(attention) * BLOCK_TOKENS * per_token


def _group_layers(attention: Attention) -> int:
    """Layers of a group: all where they are of one kind, else those of the rarer kind, or those of the commoner one
    where that is less than half as many again (_get_kv_cache_groups_uniform_page_size).

    Gemma 3 27B's 52 windowed and 10 full layers make seven groups of 10, with padding for 8 layers.
    """
    kinds = sorted(count for count in (attention.full_layers, attention.sliding_layers) if count)
    fewer, more = kinds[0], kinds[-1]
    return more if more < 1.5 * fewer else fewer


def _ceil(count: int, size: int) -> int:
    return -(-count // size)
