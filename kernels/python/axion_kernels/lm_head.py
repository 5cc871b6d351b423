"""An int8 output projection: a quantized checkpoint's largest matrix is the one it left in bfloat16.

Opt-in, since it rounds weights that the checkpoint's author did not.
"""

import logging
from collections.abc import Callable
from weakref import WeakSet

import torch
from vllm.config.vllm import get_current_vllm_config_or_none
from vllm.model_executor.layers import utils
from vllm.model_executor.layers.quantization.utils import replace_parameter
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

from axion_kernels import report

logger = logging.getLogger("vllm.axion_kernels")

_stock: Callable[..., None] = utils.dispatch_cpu_unquantized_gemm
_embeddings: WeakSet[torch.nn.Module] = WeakSet()  # seen so far: vLLM comes to them before it comes to the projection


def install() -> None:
    """Replace the function; vLLM imports it at each call."""
    utils.dispatch_cpu_unquantized_gemm = dispatch


def dispatch(layer: torch.nn.Module, remove_weight: bool) -> None:
    """Choose how a layer multiplies: int8 for the vocabulary's, vLLM's own way for all others."""
    is_ours = isinstance(layer, VocabParallelEmbedding) and layer.weight.dtype == torch.bfloat16
    if not is_ours or layer.weight.is_meta:
        _stock(layer, remove_weight)
        return
    layer.cpu_linear = projection = Int8Projection(layer.weight.data)
    if not isinstance(layer, ParallelLMHead):
        _embeddings.add(layer)
        return
    packed = projection.pack()
    reason = _why_kept(layer)
    if reason is None:
        replace_parameter(layer, "weight", torch.empty(0, dtype=torch.bfloat16))
    fate = f"kept, {reason}" if reason else "freed"
    logger.info("axion_kernels: lm_head: int8 in %.1f MB; the bfloat16 weight is %s", packed.numel() / 1e6, fate)


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

    def __init__(self, weight: torch.Tensor) -> None:
        self._columns = weight.shape[0]
        self._weight: torch.Tensor | None = weight  # until packed: nothing here keeps it alive after that
        self._packed: torch.Tensor | None = None

    def pack(self) -> torch.Tensor:
        """The packed weight, made once."""
        if self._packed is None:
            self._packed = torch.ops.axion.pack_w8(self._weight)
            self._weight = None
            report.count_layer("lm_head")
        return self._packed

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        result: torch.Tensor = torch.ops.axion.linear_w8(x, self.pack(), bias, self._columns)
        return result
