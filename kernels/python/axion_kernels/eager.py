"""Norms, rotary embedding and gated activations, instead of vLLM's classes.

Eager, each is several passes over memory. Compiled, inductor fuses norms and rotary embedding with their neighbours and
a kernel of its own would only be in the way: there they act where AXION_KERNELS names them. A gated activation has
nothing to fuse with, and acts in both.
"""

from typing import Any

import torch
from vllm.config import get_cached_compilation_config
from vllm.config.compilation import CompilationMode
from vllm.model_executor.custom_op import CustomOp
from vllm.model_executor.layers.activation import GeluAndMul, SiluAndMul
from vllm.model_executor.layers.layernorm import GemmaRMSNorm, RMSNorm
from vllm.model_executor.layers.rotary_embedding import RotaryEmbedding

from axion_kernels import report
from axion_kernels.switches import Switches

TYPES = (torch.bfloat16, torch.float32)

_compiled_too: frozenset[str] = frozenset()


def install(switches: Switches) -> None:
    """Replace the enabled classes by their subclasses here, wherever vLLM constructs one."""
    global _compiled_too  # noqa: PLW0603  # vLLM constructs the layers and passes them nothing of ours
    _compiled_too = switches.compiled
    for stock, ours in REPLACEMENTS.items():
        if stock.name in switches.enabled:
            name = stock.name
            stock.register_oot(ours, name=stock.__name__)
            ours.name = name  # registering changed it, and with it the switch in vLLM's `custom_ops`


class _Axion(CustomOp):  # vLLM's classes have no types here
    """Decides at construction, when vLLM's configuration is at hand, whether ours is used."""

    def _is_ours(self) -> bool:
        if not hasattr(self, "_ours"):
            self._ours = (
                type(self).name in _compiled_too or get_cached_compilation_config().mode == CompilationMode.NONE
            )
            if self._ours:
                report.count_layer(type(self).name)
        return self._ours

    def dispatch_forward(self, compile_native: bool) -> Any:
        return self._forward if self._is_ours() else super().dispatch_forward(compile_native=compile_native)


class AxionRMSNorm(_Axion, RMSNorm):
    def _forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        if x.dtype != self.weight.dtype or x.dtype not in TYPES or self.variance_size_override is not None:
            return self.forward_native(x, residual)
        return _norm(x, residual, self.weight, self.variance_epsilon, unit_offset=False)


class AxionGemmaRMSNorm(_Axion, GemmaRMSNorm):
    def _forward(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> Any:
        if x.dtype != self.weight.dtype or x.dtype not in TYPES:
            return self.forward_native(x, residual)
        return _norm(x, residual, self.weight, self.variance_epsilon, unit_offset=True)


def _norm(
    x: torch.Tensor, residual: torch.Tensor | None, weight: torch.Tensor, eps: float, *, unit_offset: bool
) -> torch.Tensor | tuple[torch.Tensor, torch.Tensor]:
    if residual is None:
        return torch.ops.axion.rms_norm(x, weight, eps, unit_offset)
    return torch.ops.axion.fused_add_rms_norm(x, residual, weight, eps, unit_offset)


class AxionRotaryEmbedding(_Axion, RotaryEmbedding):
    def _forward(self, positions: torch.Tensor, query: torch.Tensor, key: torch.Tensor | None = None) -> Any:
        if key is None or query.dtype not in TYPES:
            return self.forward_native(positions, query, key)
        cache = self._match_cos_sin_cache_dtype(query)
        return torch.ops.axion.rotary_embedding(
            positions.flatten(), query, key, self.head_size, cache, self.is_neox_style
        )


class AxionSiluAndMul(_Axion, SiluAndMul):
    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype not in TYPES:
            return self.forward_native(x)
        return torch.ops.axion.silu_and_mul(x)


class AxionGeluAndMul(_Axion, GeluAndMul):
    def _forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.dtype not in TYPES or self.approximate != "tanh":  # the exact form is another function
            return self.forward_native(x)
        return torch.ops.axion.gelu_tanh_and_mul(x)


REPLACEMENTS: dict[type[CustomOp], type[_Axion]] = {
    RMSNorm: AxionRMSNorm,
    GemmaRMSNorm: AxionGemmaRMSNorm,
    RotaryEmbedding: AxionRotaryEmbedding,
    SiluAndMul: AxionSiluAndMul,
    GeluAndMul: AxionGeluAndMul,
}
