"""The memory one engine takes, term by term, so that a refusal can name what is large."""

from dataclasses import dataclass

from deployment.kv_cache import ELEMENT_BYTES
from deployment.quantities import MIB, shown_bytes
from deployment.spec import Model

# Three Python processes with torch and vLLM imported, beyond weights and cache: 1.5 GB of proportional set size
# measured for vLLM 0.32 on x86-64 with a 0.3 MB model and a 64 MiB cache.
RUNTIME_BYTES = 1536 * MIB
# What the kernel may count against an engine beyond the terms below before it is stopped: page cache of a
# loading checkpoint, allocator slack. Estimated.
HEADROOM = 0.15
SCALE_BYTES, ZERO_POINT_BITS = 2, 4
# axion_w4 takes the largest of 128, 64 and 32 that divides a layer's width: counted as if it were always the smallest.
SMALLEST_GROUP = 32


@dataclass(frozen=True, slots=True, kw_only=True)
class Footprint:
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


def weight_bytes(model: Model) -> int:
    """Bytes of a checkpoint's parameters as loaded.

    Int4 formats store the projections of attention and MLP in 4 bits plus, per group, a 16-bit scale and a 4-bit
    zero point; embeddings, output head, norms, biases and an image tower stay in 16 bits (AutoAWQ's layout).
    """
    shape, element = model.architecture, ELEMENT_BYTES[model.engine.dtype]
    group_size = model.weights.group_size or SMALLEST_GROUP
    if model.engine.quantization is None:
        return shape.parameters * element
    bits_per_group = 4 * group_size + 8 * SCALE_BYTES + ZERO_POINT_BITS
    packed = shape.linear_parameters // group_size * bits_per_group // 8
    return packed + (shape.parameters - shape.linear_parameters) * element


def footprint(model: Model) -> Footprint:
    """Count what one engine will hold."""
    shape, engine = model.architecture, model.engine
    element = ELEMENT_BYTES[engine.dtype]
    # oneDNN packs the head for its matrix product and vLLM keeps the original beside it (vLLM 0.32, lm_head is
    # loaded with remove_weight=False).
    head = shape.vocab_size * shape.hidden_size * element
    # One layer's live tensors for a full step, and fp32 logits with one working copy. Estimated.
    step = engine.max_num_batched_tokens * (4 * shape.hidden_size + 3 * shape.intermediate_size) * element
    logits = engine.max_num_seqs * shape.vocab_size * 4 * 2
    return Footprint(
        weights=weight_bytes(model),
        output_head_copy=head,
        kv_cache=int(engine.kv_cache_memory_bytes),
        activations=step + logits,
    )
