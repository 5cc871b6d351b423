"""Checks of the int4 gate_up layer fused with its activation, and of rows that are taken on in chunks."""

from typing import Any

import torch

from tests.support.kernels.inputs import BOTH, close, int4, random

axion = torch.ops.axion
F = torch.nn.functional

# Halves of 40, 24, 17, 9 and 3 columns: the last three share a panel of eight.
SHAPES = ((80, 256, 128), (48, 192, 64), (34, 160, 32), (18, 352, 352), (6, 64, 32))
STEEPEST = 1.13  # slope of either activation
FEW_ROWS = 16  # kW4FewRows of kernels/include/axion/linear_w4.h: so many stay in float between layer and activation


def operators() -> Any:
    """The fused operator, the activation's own, and torch's function."""
    return (
        (axion.linear_w4_silu_and_mul, axion.silu_and_mul, F.silu),
        (axion.linear_w4_gelu_tanh_and_mul, axion.gelu_tanh_and_mul, lambda gate: F.gelu(gate, approximate="tanh")),
    )


def check_the_fused_layer_agrees_with_float64() -> None:
    for n, k, group in SHAPES:
        q, scales, zeros, weight = int4(n, k, group)
        packed = axion.pack_w4(q, scales, zeros, group)
        for dtype in BOTH:
            for rows in (1, 4, 8, 9, 16, 17, 128):
                for bias in (None, random(n, dtype=dtype, seed=5)):
                    x = random(rows, k, dtype=dtype)
                    exact = x.double() @ weight.T + (0 if bias is None else bias.double())
                    off = 2.0**-13 * (x.double().abs() @ weight.abs().T) + 1e-6 * exact.abs()
                    if dtype == torch.bfloat16 and rows > FEW_ROWS:
                        off = off + 2.0**-9 * (exact.abs() + off)  # rounded in between
                    for fused, _, activation in operators():
                        agree(fused(x, packed, bias, n, k, group), exact, off, activation)


def agree(got: Any, exact: Any, off: Any, activation: Any) -> None:
    """Gates and factors are each off by at most that much; the activation adds 2^-12 of itself."""
    (gate, factor), (gate_off, factor_off) = exact.chunk(2, -1), off.chunk(2, -1)
    shaped = activation(gate)
    shaped_off = STEEPEST * gate_off + 2.0**-12 * (shaped.abs() + STEEPEST * gate_off)
    close(got, shaped * factor, shaped_off * (factor.abs() + factor_off) + shaped.abs() * factor_off)


def check_the_fused_layer_has_the_bits_of_two_calls_where_both_round_alike() -> None:
    for n, k, group in (*SHAPES, (1208, 64, 32)):  # the last: more columns than a thread takes on at a time
        packed = axion.pack_w4(*int4(n, k, group)[:3], group)
        for fused, activation, _ in operators():
            for dtype, rows in (
                (torch.float32, 3),
                (torch.float32, 128),
                (torch.bfloat16, FEW_ROWS + 1),
                (torch.bfloat16, 128),
            ):
                x, bias = random(rows, k, dtype=dtype), random(n, dtype=dtype, seed=5)
                two = activation(axion.linear_w4(x, packed, bias, n, k, group))
                assert torch.equal(fused(x, packed, bias, n, k, group), two)


def check_few_rows_lose_less_than_two_calls_do() -> None:
    n, k, group = 512, 256, 128
    q, scales, zeros, weight = int4(n, k, group)
    packed = axion.pack_w4(q, scales, zeros, group)
    x = random(8, k)
    gate, factor = (x.double() @ weight.T).chunk(2, -1)
    for fused, activation, function in operators():
        wanted = function(gate) * factor
        one = (fused(x, packed, None, n, k, group).double() - wanted).square().mean()
        two = (activation(axion.linear_w4(x, packed, None, n, k, group)).double() - wanted).square().mean()
        assert one < 0.6 * two, (one, two)  # one rounding of three is left


def check_the_fused_layer_takes_more_dimensions_strides_and_no_rows() -> None:
    packed = axion.pack_w4(*int4(24, 64, 64)[:3], 64)
    shape = (24, 64, 64)
    for fused, _, _ in operators():
        x = random(2, 3, 64)
        flat = fused(x.flatten(0, 1), packed, None, *shape)
        assert torch.equal(fused(x, packed, None, *shape).flatten(0, 1), flat)
        assert fused(x[:0], packed, None, *shape).shape == (0, 3, 12)
        wide = random(20, 100)
        for rows in (5, 20):
            part = wide[:rows, 7:71]
            assert torch.equal(fused(part, packed, None, *shape), fused(part.contiguous(), packed, None, *shape))


def check_chunks_of_rows_do_not_show() -> None:
    n, k, group = 24, 64, 32
    packed = axion.pack_w4(*int4(n, k, group)[:3], group)
    for rows in (512, 513, 520, 521, 1025, 1540):
        for dtype in BOTH:
            x = random(rows, k, dtype=dtype)
            for operator in (axion.linear_w4, axion.linear_w4a8, axion.linear_w4_silu_and_mul):
                parts = [operator(part.contiguous(), packed, None, n, k, group) for part in x.tensor_split(5)]
                assert torch.equal(operator(x, packed, None, n, k, group), torch.cat(parts)), (rows, operator)
