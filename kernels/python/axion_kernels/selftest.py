"""Compare every operator on this processor with torch in double precision, on small shapes, in a second or two.

    python -m axion_kernels.selftest     prints one JSON object: {"isa": ..., "checks": {operator: "" or what is wrong}}

For the place where the kernels will serve: a compiler or a processor that nobody tested is found out here.
"""

import json
import sys
from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from axion_kernels import operators

axion = torch.ops.axion
TYPES = (torch.bfloat16, torch.float32)
UNIT = {torch.float32: 2.0**-24, torch.bfloat16: 2.0**-8}  # one rounding of a result
CHECKS: dict[str, Callable[[torch.dtype], None]] = {}


def checks(operator: str) -> Callable[[Callable[[torch.dtype], None]], None]:
    """Enter a function as the check of an operator."""
    return lambda function: CHECKS.__setitem__(operator, function)


def drawn(*shape: int, dtype: torch.dtype = torch.bfloat16, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def agree(got: Tensor, wanted: Tensor, bound: Tensor | float) -> None:
    """|got - wanted| <= bound + one rounding, element by element."""
    excess = (got.double() - wanted).abs() - bound - UNIT[got.dtype] * wanted.abs()
    if got.shape != wanted.shape or not bool((excess <= 0).all()):
        raise ArithmeticError(f"{got.dtype}: off by up to {float((got.double() - wanted).abs().max()):.3g}")


@checks("rms_norm")
def _rms_norm(dtype: torch.dtype) -> None:
    x, weight = drawn(5, 200, dtype=dtype), drawn(200, dtype=dtype, seed=1)
    wanted = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt() * weight.double()
    agree(axion.rms_norm(x, weight, 1e-5, False), wanted, 1e-6 + 1e-5 * wanted.abs())


@checks("fused_add_rms_norm")
def _fused_add_rms_norm(dtype: torch.dtype) -> None:
    x, residual, weight = drawn(5, 200, dtype=dtype), drawn(5, 200, dtype=dtype, seed=2), drawn(200, dtype=dtype)
    y, total = axion.fused_add_rms_norm(x, residual, weight, 1e-5, True)
    wanted = total.double() / (total.double().square().mean(-1, keepdim=True) + 1e-5).sqrt() * (weight.double() + 1)
    agree(total, (x + residual).double(), 0.0)
    agree(y, wanted, 1e-6 + 1e-5 * wanted.abs())


@checks("rotary_embedding")
def _rotary_embedding(dtype: torch.dtype) -> None:
    cache, positions = drawn(9, 32, dtype=torch.float32), torch.tensor([8, 0, 3])
    query, key = drawn(3, 4 * 32, dtype=dtype), drawn(3, 2 * 32, dtype=dtype, seed=3)
    cos, sin = (half[:, None] for half in cache[positions].double().chunk(2, -1))
    for got, x in zip(axion.rotary_embedding(positions, query, key, 32, cache), (query, key), strict=True):
        a, b = x.double().unflatten(1, (-1, 32)).chunk(2, -1)
        agree(got, torch.cat((a * cos - b * sin, b * cos + a * sin), -1).flatten(1), 1e-5)


def _gated(operator: Callable[[Tensor], Tensor], activation: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    x = drawn(3, 2 * 150, dtype=dtype) * 4
    gate, up = x.double().chunk(2, -1)
    agree(operator(x), activation(gate) * up, 1e-6 * (gate * up).abs() + 1e-30)


@checks("silu_and_mul")
def _silu_and_mul(dtype: torch.dtype) -> None:
    _gated(axion.silu_and_mul, functional.silu, dtype)


@checks("gelu_tanh_and_mul")
def _gelu_tanh_and_mul(dtype: torch.dtype) -> None:
    _gated(axion.gelu_tanh_and_mul, _gelu, dtype)


def _gelu(x: Tensor) -> Tensor:
    return functional.gelu(x, approximate="tanh")


@checks("softmax")
def _softmax(dtype: torch.dtype) -> None:
    x = drawn(4, 301, dtype=dtype) * 5
    wanted = torch.softmax(x.double() * 0.3, -1)
    agree(axion.softmax(x, 0.3), wanted, 1e-5 * wanted)


@checks("attention")
def _attention(dtype: torch.dtype) -> None:
    query = drawn(2, 4, 17, 64, dtype=dtype)
    key, value = (drawn(2, 2, 33, 64, dtype=dtype, seed=seed) for seed in (4, 5))
    wide_key, wide_value = (t.double().repeat_interleave(2, 1) for t in (key, value))
    scores = query.double() @ wide_key.transpose(-1, -2) * 0.125
    hidden = torch.arange(33)[None] > torch.arange(17)[:, None] + 16
    wanted = torch.softmax(scores.masked_fill(hidden, -torch.inf), -1) @ wide_value
    agree(axion.attention(query, key, value, 0.125, True), wanted, 0.01 if dtype == torch.bfloat16 else 1e-5)


def _int4(n: int, k: int, group: int) -> tuple[Tensor, Tensor]:
    """Packed, and what it stands for."""
    make = torch.Generator().manual_seed(n + k)
    q = torch.randint(0, 16, (n, k), generator=make, dtype=torch.uint8)
    zeros = torch.randint(0, 16, (n, k // group), generator=make, dtype=torch.uint8)
    scales = torch.rand(n, k // group, generator=make) * 0.02 + 1e-3
    wide_zeros, wide_scales = (t.double().repeat_interleave(group, 1) for t in (zeros, scales))
    return axion.pack_w4(q, scales, zeros, group), (q.double() - wide_zeros) * wide_scales


@checks("linear_w4")
def _linear_w4(dtype: torch.dtype) -> None:
    for n, k, group in ((40, 256, 128), (24, 192, 64), (17, 160, 32)):
        packed, weight = _int4(n, k, group)
        for rows in (1, 5, 9, 33):
            x, bias = drawn(rows, k, dtype=dtype), drawn(n, dtype=dtype, seed=6)
            spread = x.double().abs() @ weight.abs().T
            wanted = x.double() @ weight.T + bias.double()
            agree(axion.linear_w4(x, packed, bias, n, k, group), wanted, 2.0**-13 * spread + 1e-6)


def _gated_linear(operator: str, activation: Callable[[Tensor], Tensor], dtype: torch.dtype) -> None:
    packed, weight = _int4(48, 192, 64)
    for rows in (1, 5):
        x = drawn(rows, 192, dtype=dtype)
        (gate, up), (off, off_up) = (
            t.chunk(2, -1) for t in (x.double() @ weight.T, 2.0**-13 * x.double().abs() @ weight.abs().T + 1e-6)
        )
        off = 1.13 * off  # the steepest slope of either activation
        bound = off * (up.abs() + off_up) + activation(gate).abs() * off_up + 1e-6 * (gate * up).abs()
        agree(getattr(axion, operator)(x, packed, None, 48, 192, 64), activation(gate) * up, bound)


@checks("linear_w4_silu_and_mul")
def _linear_w4_silu_and_mul(dtype: torch.dtype) -> None:
    _gated_linear("linear_w4_silu_and_mul", functional.silu, dtype)


@checks("linear_w4_gelu_tanh_and_mul")
def _linear_w4_gelu_tanh_and_mul(dtype: torch.dtype) -> None:
    _gated_linear("linear_w4_gelu_tanh_and_mul", _gelu, dtype)


@checks("linear_w4a8")
def _linear_w4a8(_: torch.dtype) -> None:
    packed, weight = _int4(40, 256, 128)
    for rows in (1, 9):
        x = drawn(rows, 256)
        lost = 1.01 * x.double().abs().amax(-1, keepdim=True) / 254 * weight.abs().sum(-1)
        agree(axion.linear_w4a8(x, packed, None, 40, 256, 128), x.double() @ weight.T, lost)


@checks("linear_bf16")
def _linear_bf16(_: torch.dtype) -> None:
    weight = drawn(33, 96, seed=7)
    for rows in (1, 19):
        x = drawn(rows, 96)
        spread = x.double().abs() @ weight.double().abs().T
        got = axion.linear_bf16(x, axion.pack_bf16(weight), None, 33)
        agree(got, x.double() @ weight.double().T, 106 * 2.0**-24 * spread)


@checks("linear_w8")
def _linear_w8(_: torch.dtype) -> None:
    weight = drawn(33, 96, seed=7)
    step = weight.float().abs().amax(-1, keepdim=True) / 127
    rounded = (weight.float() / step).round().double() * step.double()
    for rows in (1, 19):
        x = drawn(rows, 96)
        spread = x.double().abs() @ rounded.abs().T
        agree(axion.linear_w8(x, axion.pack_w8(weight), None, 33), x.double() @ rounded.T, 2.0**-13 * spread)


@checks("penalize_")
def _penalize(_: torch.dtype) -> None:
    logits = drawn(2, 700, dtype=torch.float32) * 3
    prompts, outputs = (
        torch.randint(0, 701, (2, size), generator=torch.Generator().manual_seed(size)) for size in (90, 60)
    )
    presence, frequency, repetition = torch.tensor([0.5, 0.0]), torch.tensor([0.25, 0.0]), torch.tensor([1.5, 1.1])
    counts = functional.one_hot(outputs, 701).sum(1)[:, :700]
    said = (functional.one_hot(prompts, 701).sum(1)[:, :700] + counts).bool()
    factor = torch.where(logits > 0, 1 / repetition[:, None].double(), repetition[:, None].double())
    wanted = torch.where(said, logits * factor, logits.double())
    wanted -= frequency[:, None] * counts + presence[:, None] * counts.bool()
    axion.penalize_(logits, prompts, outputs, presence, frequency, repetition)
    agree(logits, wanted, 2.0**-21 * (wanted.abs() + 10))


@checks("sample")
def _sample(_: torch.dtype) -> None:
    logits, seeds = drawn(4, 5000, dtype=torch.float32) * 3, torch.arange(4)
    if not torch.equal(axion.sample(logits, torch.zeros(4), None, None, None, seeds), logits.argmax(-1)):
        raise ArithmeticError("temperature 0 is not the largest logit")
    best, k = logits.topk(3, -1).indices, torch.full((4,), 3, dtype=torch.int32)
    tokens = [axion.sample(logits, torch.ones(4), k, None, None, seeds + 4 * draw) for draw in range(20)]
    if not all((best == each[:, None]).any(-1).all() for each in tokens):
        raise ArithmeticError("top_k 3 draws others than the three best")


def run() -> dict[str, str]:
    """What is wrong with each operator; empty where nothing is."""
    found = {}
    for operator, check in CHECKS.items():
        try:
            for dtype in TYPES:
                check(dtype)
            found[operator] = ""
        except Exception as error:  # one broken operator must not hide the others
            found[operator] = f"{type(error).__name__}: {error}"
    return found


def main() -> int:
    operators.load()
    found = run()
    print(json.dumps({"isa": operators.isa(), "checks": found}))
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
