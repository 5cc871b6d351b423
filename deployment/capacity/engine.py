"""The time of one step of an engine, and of a prompt: from the bytes and the arithmetic of its checkpoint's tensors.

Every layer is computed for all rows of a step at once, so its weights are read once a step; each sequence's KV cache is
read for itself. Left out: norms, activations, sampling (in the overhead), pictures, adapters, prefix caching.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from deployment.capacity.kernels import Kernels, kernels_of
from deployment.capacity.machine import Machine
from deployment.checkpoint.kv_cache import ELEMENT_BYTES
from deployment.checkpoint.tensors import packed_bytes
from deployment.models.spec import Served


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """What of a checkpoint decides a step."""

    linear_bytes: int
    head_bytes: int
    linear_parameters: int
    head_parameters: int
    layers: int
    sliding_layers: int
    sliding_window: int
    cache_bytes: int
    """Keys and values of one token in one layer."""
    attention_macs: int
    """Of one token that looks back at another one, in one layer."""

    def seen(self, context: float) -> float:
        """Tokens that a new one looks back at, summed over the layers."""
        full = self.layers - self.sliding_layers
        return full * context + self.sliding_layers * min(context, self.sliding_window)


def weights_of(model: Served) -> Weights:
    """Count a model's tensors as its engine holds them."""
    checkpoint, shape = model.checkpoint, model.checkpoint.shape
    int4, element = int4_of(model), ELEMENT_BYTES[model.engine.dtype]
    linear, packed = checkpoint.tensors.parts["linear"].parameters, sum(int4.values())
    head = shape.hidden_size * shape.vocab_size
    head_bytes = head * (1 if model.kernels.lm_head else element)
    if checkpoint.has_packed_head:  # its weights are counted with the other 4-bit ones
        linear, head, head_bytes = max(linear, packed), 0, 0
    return Weights(
        linear_bytes=sum(packed_bytes(count, group) for group, count in int4.items()) + element * (linear - packed),
        head_bytes=head_bytes,
        linear_parameters=linear,
        head_parameters=head,
        layers=shape.num_hidden_layers,
        sliding_layers=shape.sliding_layers,
        sliding_window=shape.sliding_window or 0,
        cache_bytes=2 * shape.num_key_value_heads * shape.head_dim * element,
        attention_macs=2 * shape.num_attention_heads * shape.head_dim,
    )


def int4_of(model: Served) -> Mapping[int, int]:
    """How many weights are 4-bit once they are loaded, by the group that shares a scale."""
    tensors = model.checkpoint.tensors
    return {**tensors.int4, **(tensors.convertible if model.engine.quantization == "axion_w4" else {})}


def kernels_for(model: Served, baseline: Path) -> Kernels:
    """The modelled kernels that serve a model; without 4-bit weights ours for bfloat16 stand for oneDNN's."""
    head = "int8" if model.kernels.lm_head else "bf16"
    return kernels_of(baseline, group=min(int4_of(model), default=None), head=head)


@dataclass(frozen=True, kw_only=True)
class Engine:
    """A model on some threads of a machine."""

    weights: Weights
    kernels: Kernels
    machine: Machine
    threads: int
    step_tokens: int = 2048
    """The most tokens that one step has: vLLM's max_num_batched_tokens."""
    bytes_per_s: float | None = None
    """What memory gives it; None where nobody else reads."""

    @cached_property
    def bandwidth(self) -> float:
        most = self.machine.bandwidth(self.threads)
        return most if self.bytes_per_s is None else min(most, self.bytes_per_s)

    def step_s(self, *, sequences: int = 0, context: float = 0, chunk: int = 0, chunk_end: int = 0) -> float:
        """A step with so many running sequences of so long a context, and `chunk` tokens of a prompt up to `chunk_end`.

        A chunk is taken to give a token, as its last one does.
        """
        weights, machine = self.weights, self.machine
        rows, outputs = sequences + chunk, sequences + (1 if chunk else 0)
        if not rows:
            return 0.0
        cache = weights.cache_bytes * (sequences * weights.seen(context) + (weights.seen(chunk_end) if chunk else 0))
        looked_back = chunk * weights.attention_macs * weights.seen(chunk_end - chunk / 2) if chunk else 0.0
        kernels, clock = self.kernels, machine.clock_hz
        decode_cache = weights.cache_bytes * sequences * weights.seen(context)
        core_s = (
            weights.linear_parameters * rows / kernels.linear.macs_per_s(rows, machine)
            + weights.head_parameters * outputs / kernels.head.macs_per_s(outputs, machine)
            + decode_cache / (kernels.cache_bytes_per_cycle * machine.gemv_share * clock)
            + looked_back / (kernels.attention_macs_per_cycle * machine.gemm_share * clock)
        )
        memory_s = (weights.linear_bytes + weights.head_bytes + cache) / self.bandwidth
        return machine.step_s(memory_s, core_s / self.threads)

    def bytes_per_step(self, context: float) -> float:
        """What a step with one sequence reads."""
        weights = self.weights
        return weights.linear_bytes + weights.head_bytes + weights.cache_bytes * weights.seen(context)

    def tokens_per_s(self, context: float, sequences: int = 1) -> float:
        """Of each of so many running sequences, while no prompt is read."""
        return 1 / self.step_s(sequences=sequences, context=context)

    def prefill_s(self, prompt: int, *, beside: int = 0, context: float = 0) -> float:
        """From a prompt's first step to its first token, while `beside` sequences go on."""
        return sum(
            self.step_s(sequences=beside, context=context, chunk=chunk, chunk_end=end)
            for chunk, end in self._chunks(prompt, beside)
        )

    def prefill_cost_s(self, prompt: int, *, beside: int = 0, context: float = 0) -> float:
        """What a prompt adds to steps that `beside` sequences take anyway."""
        own = self.prefill_s(prompt, beside=beside, context=context)
        return own - self.pieces(prompt, beside) * self.step_s(sequences=beside, context=context)

    def pieces(self, prompt: int, beside: int) -> int:
        """Steps that a prompt takes."""
        return sum(1 for _ in self._chunks(prompt, beside))

    def _chunks(self, prompt: int, beside: int) -> Iterator[tuple[int, int]]:
        """Pieces of a prompt, each with where it ends: running sequences have a token of each step."""
        size = max(1, self.step_tokens - beside)
        for start in range(0, prompt, size):
            end = min(prompt, start + size)
            yield end - start, end


def engine_of(model: Served, machine: Machine, baseline: Path, *, threads: int | None = None) -> Engine:
    """A model of a models file, on the threads that its cores leave (EnginePlan.compute_threads), or on others."""
    return Engine(
        weights=weights_of(model),
        kernels=kernels_for(model, baseline),
        machine=machine,
        threads=threads or max(1, model.cores - 1),
        step_tokens=model.step_tokens,
    )
