"""The memory one engine takes, term by term, so that a refusal can name what is large; the disk of packed weights."""

from dataclasses import dataclass

from deployment.checkpoint.kv_cache import ELEMENT_BYTES
from deployment.models.spec import Served
from deployment.quantities import MIB, shown_bytes

# Three Python processes with torch and vLLM imported, beyond weights and cache: 1.5 GB of proportional set size
# measured for vLLM 0.32 on x86-64 with a 0.3 MB model and a 64 MiB cache.
RUNTIME_BYTES = 1536 * MIB
# What the kernel may count against an engine beyond the terms below before it is stopped: page cache of a
# loading checkpoint, allocator slack. Estimated.
HEADROOM = 0.15
INT8_SCALE_BYTES = 4
"""Of each row of an int8 output head (kernels/include/axion/linear_w8.h)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemoryEstimate:
    """Bytes of one engine. `total` is what it is expected to hold, `limit` where it is stopped."""

    weights: int
    output_head_copy: int
    kv_cache: int
    activations: int
    runtime: int = RUNTIME_BYTES

    @property
    def total(self) -> int:
        return self.weights + self.output_head_copy + self.kv_cache + self.activations + self.runtime

    @property
    def limit(self) -> int:
        return -(-int(self.total * (1 + HEADROOM)) // MIB) * MIB

    def __str__(self) -> str:
        terms = {
            "weights": self.weights,
            "packed copy of the output head": self.output_head_copy,
            "KV cache": self.kv_cache,
            "activations": self.activations,
            "runtime": self.runtime,
        }
        return ", ".join(f"{name} {shown_bytes(size)}" for name, size in terms.items())


def estimate_memory(model: Served) -> MemoryEstimate:
    """Count what one engine will hold."""
    checkpoint, engine, shape = model.checkpoint, model.engine, model.checkpoint.shape
    element = ELEMENT_BYTES[engine.dtype]
    is_online_int4 = is_online(model)
    # oneDNN packs the head for its matrix product and vLLM keeps the original beside it (vLLM 0.32, lm_head is
    # loaded with remove_weight=False); with our int8 head the copy has a byte for each weight.
    each = 0 if checkpoint.has_packed_head else 1 if model.kernels.lm_head else element
    head = shape.vocab_size * shape.hidden_size * each
    # Weights that are mapped from a file of packed ones (kernels, packed_weights.py) count against the engine as its
    # own memory would: it locks their pages. While it makes that file, the file's pages are cache.
    # One layer's live tensors for a full step, and fp32 logits with one working copy. Estimated.
    step = model.step_tokens * (4 * shape.hidden_size + 3 * shape.intermediate_size) * element
    logits = engine.max_num_seqs * shape.vocab_size * 4 * 2
    return MemoryEstimate(
        weights=checkpoint.tensors.loaded_bytes(element, is_online_int4=is_online_int4),
        output_head_copy=head,
        kv_cache=int(engine.kv_cache_memory_bytes),
        activations=step + logits,
    )


def has_int4(model: Served) -> bool:
    """Whether our kernels multiply int4 weights of its engine."""
    return is_online(model) or (bool(model.checkpoint.tensors.int4) and model.kernels.linear_w4 is not False)


def is_online(model: Served) -> bool:
    """Whether its engine makes them itself."""
    return model.engine.quantization == "axion_w4"


def has_int8_head(model: Served) -> bool:
    """Whether its output head is made int8."""
    is_plain = not model.checkpoint.has_packed_head and model.engine.dtype == "bfloat16"
    return model.kernels.lm_head is True and is_plain


def packed_bytes(model: Served) -> int:
    """Bytes of the file of packed weights that its engine makes at its first start; 0 where it packs none."""
    tensors, shape = model.checkpoint.tensors, model.checkpoint.shape
    int4 = tensors.int4_bytes(is_online_int4=is_online(model)) if has_int4(model) else 0
    head = shape.vocab_size * (shape.hidden_size + INT8_SCALE_BYTES) if has_int8_head(model) else 0
    return int4 + head
