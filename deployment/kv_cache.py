"""How many bytes of KV cache a token and a sequence take."""

from deployment.architecture import Architecture

# vLLM's CPU backend: default block of tokens, and bytes of a bfloat16 (docs of vLLM 0.32, CPU attention).
BLOCK_TOKENS = 128
ELEMENT_BYTES = {"bfloat16": 2, "float32": 4}


def layer_bytes_per_token(shape: Architecture, dtype: str) -> int:
    """Bytes of one layer's keys and values for one token."""
    return 2 * shape.num_key_value_heads * shape.head_dim * ELEMENT_BYTES[dtype]


def growing_bytes_per_token(shape: Architecture, dtype: str) -> int:
    """Bytes that each further token of a long context adds: only layers without a window go on growing."""
    return (shape.num_hidden_layers - shape.sliding_layers) * layer_bytes_per_token(shape, dtype)


def sequence_bytes(shape: Architecture, dtype: str, *, tokens: int, step_tokens: int) -> int:
    """Bytes that one sequence of `tokens` needs at its peak, in whole blocks.

    A windowed layer keeps the window and the tokens of the step being computed, plus one block because a window
    need not begin where a block does (vLLM 0.32, SlidingWindowSpec.max_admission_blocks_per_request).
    """
    per_token = layer_bytes_per_token(shape, dtype)
    full, sliding = _stored_layers(shape.num_hidden_layers - shape.sliding_layers, shape.sliding_layers)
    size = full * _whole_blocks(tokens) * per_token
    if shape.sliding_window is not None:
        kept = min(shape.sliding_window - 1 + step_tokens, tokens)
        size += sliding * (_whole_blocks(kept) + BLOCK_TOKENS) * per_token
    return size


def _stored_layers(full: int, sliding: int) -> tuple[int, int]:
    """Layers of both kinds with the padding that gives all groups of layers one size.

    Groups are as large as the rarer kind, or as the commoner one where that is less than half as many again
    (vLLM 0.32, kv_cache_utils): Gemma 3 27B's 52 windowed and 10 full layers are stored as 60 and 10.
    """
    if not full or not sliding:
        return full, sliding
    fewer, more = sorted((full, sliding))
    group = more if more < 1.5 * fewer else fewer
    return -(-full // group) * group, -(-sliding // group) * group


def _whole_blocks(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS) * BLOCK_TOKENS
