"""Random arguments for the operators, and how far a result may be from the exact one."""

from typing import Any

import torch

BOTH = (torch.float32, torch.bfloat16)


def random(*shape: int, dtype: Any = torch.bfloat16, seed: int = 0) -> Any:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def close(got: Any, wanted: Any, bound: Any) -> None:
    """|got - wanted| <= bound + one rounding to got's dtype, element by element."""
    rounding = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}[got.dtype]
    wanted = wanted.double()
    excess = ((got.double() - wanted).abs() - bound - rounding * wanted.abs()).max().item()
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    assert excess <= 0, f"{excess:.3g} over the bound"


def int4(n: int, k: int, group: int) -> tuple[Any, Any, Any, Any]:
    """q, scales, zeros and the weight they stand for, in double."""
    make = torch.Generator().manual_seed(n + k)
    q = torch.randint(0, 16, (n, k), generator=make, dtype=torch.uint8)
    scales = torch.rand(n, k // group, generator=make) * 0.02 + 1e-3
    zeros = torch.randint(0, 16, (n, k // group), generator=make, dtype=torch.uint8)
    wide = [t.double().repeat_interleave(group, 1) for t in (zeros, scales)]
    return q, scales, zeros, (q.double() - wide[0]) * wide[1]
