"""`quantization: axion_w4`: any bfloat16 checkpoint becomes int4 while it loads.

A layer is quantized as soon as its last weight has been read, and its bfloat16 copy is dropped then: loading needs
the memory of the int4 model and of one layer, not of the bfloat16 model.
"""

from typing import Any

import torch
from vllm.model_executor.layers.linear import LinearBase, LinearMethodBase, UnquantizedLinearMethod
from vllm.model_executor.layers.quantization import register_quantization_config
from vllm.model_executor.layers.quantization.base_config import QuantizationConfig
from vllm.model_executor.layers.quantization.online.fp8 import OnlineLinearBase
from vllm.model_executor.utils import replace_parameter

from axion_kernels import report
from axion_kernels.packed_layer import PackedLayer, take_after_loading
from axion_kernels.packing import pack_layer
from axion_kernels.quantize import quantize_w4

NAME = "axion_w4"
# The largest that divides a layer's width. 128 costs 0.16 bits a weight; Gemma's 4304-wide vision layers have none.
GROUP_SIZES = (128, 64, 32)
# Vision towers are a few percent of the weights and run once an image: AWQ checkpoints leave them alone too.
KEPT = ("vision", "visual", "multi_modal_projector", "mm_projector")


def install() -> None:
    """Make the name known to vLLM."""
    register_quantization_config(NAME)(AxionW4Config)


def group_size_of(width: int) -> int | None:
    """The group size for rows of this width, or None where no group fits."""
    return next((size for size in GROUP_SIZES if width % size == 0), None)


class AxionW4Config(QuantizationConfig):  # vLLM's classes have no types here
    def get_name(self) -> str:
        return NAME

    def get_supported_act_dtypes(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float32]

    @classmethod
    def get_min_capability(cls) -> int:
        return -1

    @staticmethod
    def get_config_filenames() -> list[str]:
        return []  # nothing to configure: the checkpoint is an ordinary one

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "AxionW4Config":
        # vLLM comes here when the checkpoint has a quantization of its own.
        method = config.get("quant_method")
        raise ValueError(
            f"quantization: {NAME} starts from a bfloat16 checkpoint, got one quantized with {method}. "
            f"Leave `quantization` out: AWQ, GPTQ and compressed-tensors checkpoints are recognised by themselves."
        )

    def get_quant_method(self, layer: torch.nn.Module, prefix: str) -> LinearMethodBase | None:
        if not isinstance(layer, LinearBase):
            return None
        if any(part in prefix for part in KEPT) or group_size_of(layer.input_size) is None:
            return UnquantizedLinearMethod()
        return AxionW4LinearMethod()


class AxionW4LinearMethod(OnlineLinearBase):  # vLLM's classes have no types here
    activation_quant_key = None

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        if getattr(layer, "_already_called_process_weights_after_loading", False):
            return
        weight = layer.weight.data
        n, k = weight.shape
        group_size = group_size_of(k)
        if group_size is None:  # a tensor-parallel part of a layer that did divide
            raise ValueError(f"quantization: {NAME} needs rows in multiples of {GROUP_SIZES[-1]}, got {k} in {layer}")
        quantized = quantize_w4(weight, group_size)
        self.take(layer, pack_layer(quantized.q, quantized.scales, quantized.zeros, group_size), (n, k, group_size))

    def take(self, layer: torch.nn.Module, packed: torch.Tensor, shape: tuple[int, int, int]) -> None:
        """Use packed weights of n outputs, k inputs and k in a group."""
        replace_parameter(layer, "weight", packed)
        layer.axion_shape = shape
        layer._already_called_process_weights_after_loading = True
        report.count_layer("axion_w4")

    def apply(self, layer: torch.nn.Module, x: torch.Tensor, bias: torch.Tensor | None = None) -> torch.Tensor:
        return torch.ops.axion.linear_w4(x, layer.weight, bias, *layer.axion_shape)


def packed_layer(layer: torch.nn.Module) -> PackedLayer | None:
    """How this layer's packed weights are taken and given; None where they are not ours."""
    method = getattr(layer, "quant_method", None)
    if not isinstance(method, AxionW4LinearMethod):
        return None
    n, k = layer.output_size_per_partition, layer.input_size_per_partition
    group_size = group_size_of(k)
    if group_size is None:
        return None
    shape = (n, k, group_size)
    return PackedLayer(
        module=layer,
        recipe={"kernel": "axion_w4", "shape": list(shape)},
        sources=("weight",),
        take=lambda packed: take_after_loading(layer, lambda: method.take(layer, packed, shape)),
        packed=lambda: layer.weight.data,
    )
