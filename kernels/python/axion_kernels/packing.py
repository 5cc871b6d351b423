"""From quantized values to the one packed copy of a layer's weights that the kernel reads."""

import torch


def pack_layer(q: torch.Tensor, scales: torch.Tensor, zeros: torch.Tensor | None, group_size: int) -> torch.Tensor:
    """Pack uint8 q [N, K] of 0..15 with scales [N, K / group_size] of any float type."""
    packed: torch.Tensor = torch.ops.axion.pack_w4(q, scales.float().contiguous(), zeros, group_size)
    return packed
