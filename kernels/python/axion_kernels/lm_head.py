"""An int8 output projection: a quantized checkpoint's largest matrix is the one it left in bfloat16.

Opt-in, since it rounds weights that the checkpoint's author did not.
"""

import logging
from collections.abc import Callable
from weakref import WeakKeyDictionary, WeakSet

import torch
from vllm.config.vllm import get_current_vllm_config_or_none
from vllm.model_executor.layers import utils
from vllm.model_executor.layers.quantization.utils import replace_parameter
from vllm.model_executor.layers.vocab_parallel_embedding import (
    ParallelLMHead,
    UnquantizedEmbeddingMethod,
    VocabParallelEmbedding,
)

from axion_kernels import report
from axion_kernels.packed_layer import PackedLayer

logger = logging.getLogger("vllm.axion_kernels")

_stock: Callable[..., None] = utils.dispatch_cpu_unquantized_gemm
_embeddings: WeakSet[torch.nn.Module] = WeakSet()  # seen so far: vLLM comes to them before it comes to the projection
_taken: WeakKeyDictionary[torch.nn.Module, torch.Tensor] = WeakKeyDictionary()
_unread: WeakSet[torch.nn.Module] = WeakSet()  # those of _taken that have nothing in their bfloat16 weight


def install() -> None:
    """Replace the function; vLLM imports it at each call."""
    utils.dispatch_cpu_unquantized_gemm = dispatch


def dispatch(layer: torch.nn.Module, remove_weight: bool) -> None:
    """Choose how a layer multiplies: int8 for the vocabulary's, vLLM's own way for all others."""
    is_ours = isinstance(layer, VocabParallelEmbedding) and layer.weight.dtype == torch.bfloat16
    if not is_ours or layer.weight.is_meta:
        _stock(layer, remove_weight)
        return
    layer.cpu_linear = projection = Int8Projection(layer.weight.data, _taken.pop(layer, None))
    if not isinstance(layer, ParallelLMHead):
        _embeddings.add(layer)
        return
    packed = projection.pack()
    reason = _why_kept(layer)
    assert reason is None or layer not in _unread, f"lm_head: its bfloat16 weight was left unread, and is kept {reason}"
    if reason is None:
        replace_parameter(layer, "weight", torch.empty(0, dtype=torch.bfloat16))
    fate = f"kept, {reason}" if reason else "freed"
    logger.info("axion_kernels: lm_head: int8 in %.1f MB; the bfloat16 weight is %s", packed.numel() / 1e6, fate)


def packed_layer(layer: torch.nn.Module) -> PackedLayer | None:
    """How this layer's packed weight is taken and given; None where it is not ours."""
    if utils.dispatch_cpu_unquantized_gemm is not dispatch or not isinstance(layer, VocabParallelEmbedding):
        return None
    if not isinstance(layer, ParallelLMHead):
        _embeddings.add(layer)
        return None
    if not isinstance(layer.quant_method, UnquantizedEmbeddingMethod) or layer.weight.dtype != torch.bfloat16:
        return None
    is_read = _why_kept(layer) is not None or _may_be_tied_yet()

    def take(packed: torch.Tensor) -> None:
        _taken[layer] = packed
        if not is_read:
            _unread.add(layer)

    def packed() -> torch.Tensor:
        projection: Int8Projection = layer.cpu_linear
        return projection.pack()

    return PackedLayer(
        module=layer,
        recipe={"kernel": "lm_head", "shape": [layer.num_embeddings_per_partition, layer.embedding_dim]},
        sources=() if is_read else ("weight",),
        take=take,
        packed=packed,
    )


def _may_be_tied_yet() -> bool:
    """Whether vLLM will compare what it loads for the two."""
    config = get_current_vllm_config_or_none()
    return config is None or config.model_config.word_embeddings_untied_by_checkpoint


def _why_kept(head: torch.nn.Module) -> str | None:
    """Who else reads the bfloat16 weight, or None."""
    if any(embedding.weight.data_ptr() == head.weight.data_ptr() for embedding in _embeddings):
        return "for it is the embedding too"
    config = get_current_vllm_config_or_none()
    if config is None or config.speculative_config is not None:
        return "for vLLM may compare it with a draft model's"
    if config.model_config.head_dtype != head.weight.dtype:
        return f"for vLLM projects in {config.model_config.head_dtype}"
    return None


class Int8Projection:
    """Packed at the first use: an embedding table is one too when the model ties the two, and is not otherwise."""

    def __init__(self, weight: torch.Tensor, packed: torch.Tensor | None = None) -> None:
        self._columns = weight.shape[0]
        self._weight: torch.Tensor | None = weight  # until packed: nothing here keeps it alive after that
        self._packed = packed
        if packed is not None:
            self._begin()

    def pack(self) -> torch.Tensor:
        """The packed weight, made once."""
        if self._packed is None:
            self._packed = torch.ops.axion.pack_w8(self._weight)
            self._begin()
        return self._packed

    def _begin(self) -> None:
        self._weight = None
        report.count_layer("lm_head")

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        result: torch.Tensor = torch.ops.axion.linear_w8(x, self.pack(), bias, self._columns)
        return result
