"""An int8 output projection: a quantized checkpoint's largest matrix is the one it left in bfloat16.

Opt-in, since it rounds weights that the checkpoint's author did not.
"""

from collections.abc import Callable

import torch
from vllm.model_executor.layers import utils
from vllm.model_executor.layers.vocab_parallel_embedding import ParallelLMHead, VocabParallelEmbedding

from axion_kernels import report

_stock: Callable[..., None] = utils.dispatch_cpu_unquantized_gemm


def install() -> None:
    """Replace the function; vLLM imports it at each call."""
    utils.dispatch_cpu_unquantized_gemm = dispatch


def dispatch(layer: torch.nn.Module, remove_weight: bool) -> None:
    """Choose how a layer multiplies: int8 for the vocabulary's, vLLM's own way for all others."""
    is_ours = isinstance(layer, VocabParallelEmbedding) and layer.weight.dtype == torch.bfloat16
    if not is_ours or layer.weight.is_meta:
        _stock(layer, remove_weight)
        return
    projection = Int8Projection(layer.weight.data)
    if isinstance(layer, ParallelLMHead):
        projection.pack()
    layer.cpu_linear = projection


class Int8Projection:
    """Packed at the first use: an embedding table is one too when the model ties the two, and is not otherwise."""

    def __init__(self, weight: torch.Tensor) -> None:
        self._weight = weight
        self._packed: torch.Tensor | None = None

    def pack(self) -> torch.Tensor:
        """The packed weight, made once."""
        if self._packed is None:
            self._packed = torch.ops.axion.pack_w8(self._weight)
            report.count_layer("lm_head")
        return self._packed

    def __call__(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        result: torch.Tensor = torch.ops.axion.linear_w8(x, self.pack(), bias, self._weight.shape[0])
        return result
