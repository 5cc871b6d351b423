"""Int4 linear layers of AWQ, GPTQ and compressed-tensors checkpoints.

vLLM's own kernel for CPUs accepts them on every architecture and was compiled for only some: on Arm the model loads
and dies at its first forward (vllm#55613). Ours stands first in the list, which is the order of preference, and vLLM's
refuses where it was not compiled: what neither can do ends the engine while it loads.
"""

import torch
from vllm.model_executor.kernels.linear import _POSSIBLE_KERNELS
from vllm.model_executor.kernels.linear.mixed_precision.cpu import CPUWNA16LinearKernel
from vllm.model_executor.kernels.linear.mixed_precision.MPLinearKernel import MPLinearKernel, MPLinearLayerConfig
from vllm.model_executor.layers.quantization.utils import replace_parameter
from vllm.platforms import PlatformEnum
from vllm.scalar_type import scalar_types

from axion_kernels import report
from axion_kernels.packed_layer import PackedLayer, take_after_loading
from axion_kernels.packing import pack_layer

GROUP_SIZES = (32, 64, 128)
WEIGHT_TYPES = (scalar_types.uint4, scalar_types.uint4b8)
ACTIVATION_TYPES = (torch.bfloat16, torch.float32)
STOCK_OPERATOR = "cpu_gemm_wna16"

_stock_can_implement = CPUWNA16LinearKernel.can_implement


def install() -> None:
    """Put our kernel before vLLM's."""
    _POSSIBLE_KERNELS[PlatformEnum.CPU].insert(0, AxionW4LinearKernel)


def install_refusal() -> None:
    """Let vLLM's kernel say where it was not compiled, whether ours is there or switched off."""
    CPUWNA16LinearKernel.can_implement = staticmethod(can_stock_implement)


def can_stock_implement(c: MPLinearLayerConfig) -> tuple[bool, str | None]:
    """Say whether vLLM's kernel can have this layer, or why not."""
    if not hasattr(torch.ops._C, STOCK_OPERATOR):
        return False, f"{STOCK_OPERATOR}: not compiled for this processor"
    can: tuple[bool, str | None] = _stock_can_implement(c)
    return can


class AxionW4LinearKernel(MPLinearKernel):  # vLLM's classes have no types here
    @classmethod
    def get_min_capability(cls) -> int:
        return -1  # a number of CUDA's; CPUs have none

    @classmethod
    def can_implement(cls, c: MPLinearLayerConfig) -> tuple[bool, str | None]:
        """Say whether this layer can be ours, or why not."""
        k, n = c.partition_weight_shape
        group_size = k if c.group_size == -1 else c.group_size
        reasons = {
            f"weight type {c.weight_type}: only uint4 and uint4b8": c.weight_type not in WEIGHT_TYPES,
            f"activations of {c.act_type}: serve with --dtype bfloat16": c.act_type not in ACTIVATION_TYPES,
            f"group size {c.group_size}: only 32, 64, 128 and whole rows": group_size not in (*GROUP_SIZES, k),
            f"input size {k}: no multiple of the group size {group_size}": k % group_size != 0,
            f"input size {k}: no multiple of 32": k % 32 != 0,
            f"sizes {k} and {n}: checkpoints pack eight in an int32": k % 8 != 0 or n % 8 != 0,
        }
        refused = next((reason for reason, is_refused in reasons.items() if is_refused), None)
        return refused is None, refused

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        """Repack into our layout and drop the checkpoint's tensors: RAM never holds both for longer than a layer."""
        weight, scales, zeros = self._get_weight_params(layer)
        # compressed-tensors stores [out, in], the others [in, out]; AWQ was brought to GPTQ's order before.
        packed_q = weight.data if weight.input_dim == 1 else weight.data.t()
        scales_by_row = scales.data if scales.output_dim == 0 else scales.data.t()
        q = unpack_nibbles(packed_q)
        unpacked_zeros = None
        if self.config.zero_points:
            assert zeros is not None, "zero points: the layer was created without them"
            groups_by_word = zeros.data.t() if zeros.output_dim == 0 else zeros.data
            unpacked_zeros = unpack_nibbles(groups_by_word).t().contiguous()
        group_size = q.shape[1] // scales_by_row.shape[1]
        assert self.shape == (q.shape[0], q.shape[1], group_size), f"{self.config}: the layer has another shape"
        self.take(layer, pack_layer(q, scales_by_row, unpacked_zeros, group_size))

    @property
    def shape(self) -> tuple[int, int, int]:
        """Outputs, inputs, and inputs in a group."""
        k, n = self.config.partition_weight_shape
        return n, k, k if self.config.group_size == -1 else self.config.group_size

    def take(self, layer: torch.nn.Module, packed: torch.Tensor) -> None:
        """Use packed weights, and drop the checkpoint's tensors."""
        replace_parameter(layer, self.w_q_name, packed)
        for name in (self.w_s_name, self.w_zp_name):
            if name is not None and hasattr(layer, name):
                replace_parameter(layer, name, None)
        report.count_layer("linear_w4")

    def apply_weights(self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        packed = getattr(layer, self.w_q_name)
        return torch.ops.axion.linear_w4(x, packed, bias, *self.shape)


def packed_layer(layer: torch.nn.Module) -> PackedLayer | None:
    """How this layer's packed weights are taken and given; None where they are not ours."""
    # AWQ's and GPTQ's method has the kernel; that of compressed-tensors has left it with the layer's scheme.
    holders = (getattr(layer, "quant_method", None), getattr(layer, "scheme", None))
    kernel = next((found for holder in holders if (found := getattr(holder, "kernel", None))), None)
    if not isinstance(kernel, AxionW4LinearKernel):
        return None
    config = kernel.config
    recipe = {"kernel": "linear_w4", "shape": list(kernel.shape), "type": str(config.weight_type)}
    names = (kernel.w_q_name, kernel.w_s_name, kernel.w_zp_name)
    return PackedLayer(
        module=layer,
        recipe={**recipe, "zero_points": config.zero_points},
        sources=tuple(name for name in names if name is not None and getattr(layer, name, None) is not None),
        take=lambda packed: take_after_loading(layer, lambda: kernel.take(layer, packed)),
        packed=lambda: getattr(layer, kernel.w_q_name).data,
    )


def unpack_nibbles(words: torch.Tensor) -> torch.Tensor:
    """Eight values from each int32 of [R, C], lowest bits first: uint8 [R, 8 * C]."""
    in_bytes = words.contiguous().view(torch.uint8)  # little-endian: the byte with the first two values comes first
    return torch.stack((in_bytes & 15, in_bytes >> 4), -1).flatten(1)
