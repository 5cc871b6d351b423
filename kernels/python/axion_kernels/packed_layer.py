"""A layer whose weights we pack, as whoever keeps them sees it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from vllm.model_executor.layers.quantization.base_config import QuantizeMethodBase


@dataclass(frozen=True, slots=True)
class PackedLayer:
    """One layer, before its weights are loaded as after."""

    module: torch.nn.Module
    recipe: Mapping[str, Any]
    """What must be equal for packed weights to be this layer's."""
    sources: tuple[str, ...]
    """The parameters that a checkpoint fills and that nobody reads where packed weights are at hand."""
    take: Callable[[torch.Tensor], None]
    """Called before loading: use these weights."""
    packed: Callable[[], torch.Tensor]
    """Called after loading: those that are used."""


def take_after_loading(module: torch.nn.Module, take: Callable[[], None]) -> None:
    """Have a layer take its weights when vLLM would convert what it loaded for it."""
    module.quant_method = _Taking(module.quant_method, take)


class _Taking(QuantizeMethodBase):  # vLLM's classes have no types here
    """In the place of a layer's method while weights are loaded."""

    def __init__(self, method: QuantizeMethodBase, take: Callable[[], None]) -> None:
        self._method, self._take = method, take

    def create_weights(self, layer: torch.nn.Module, *_: Any, **__: Any) -> None:
        raise AssertionError("the layer has its weights")

    def apply(self, layer: torch.nn.Module, *_: Any, **__: Any) -> torch.Tensor:
        raise AssertionError("the layer is still being loaded")

    def process_weights_after_loading(self, layer: torch.nn.Module) -> None:
        layer.quant_method = self._method
        self._take()
