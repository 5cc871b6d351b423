"""Checks of the operators' numbers against torch in double precision, computed from the same rounded inputs."""

from typing import Any

import torch
from axion_kernels.quantize import quantize_w4

from tests.support.kernels.inputs import BOTH, close, int4, random

axion = torch.ops.axion
F = torch.nn.functional


def check_norms_agree_with_float64() -> None:
    for dtype in BOTH:
        x, residual, weight = (random(*s, dtype=dtype, seed=i) for i, s in enumerate(((7, 1000), (7, 1000), (1000,))))
        for offset in (False, True):
            scale = weight.double() + offset
            got = axion.rms_norm(x, weight, 1e-5, offset)
            wanted = x.double() / (x.double().square().mean(-1, keepdim=True) + 1e-5).sqrt() * scale
            close(got, wanted, 1e-6 + 1e-5 * wanted.abs())
            y, total = axion.fused_add_rms_norm(x, residual, weight, 1e-5, offset)
            assert torch.equal(total, x + residual)
            assert torch.equal(y, axion.rms_norm(total, weight, 1e-5, offset))


def check_rotary_agrees_with_the_formula_for_partial_and_grouped_heads() -> None:
    tokens, heads, kv_heads, head, rot = 5, 6, 2, 128, 96
    cache = random(50, rot, dtype=torch.float32)
    positions = torch.tensor([49, 0, 7, 7, 3])
    for dtype in BOTH:
        wide = random(tokens, (heads + kv_heads) * head, dtype=dtype)
        query, key = wide.split([heads * head, kv_heads * head], -1)  # strided, as vLLM passes them
        for neox in (True, False):
            got = axion.rotary_embedding(positions, query, key, head, cache, neox)
            for result, data in zip(got, (query, key), strict=True):
                close(result, rotated(data.unflatten(1, (-1, head)).double(), cache[positions].double(), neox), 1e-5)


def rotated(x: Any, cos_sin: Any, neox: bool) -> Any:
    rot = cos_sin.shape[1]
    cos, sin = (t[:, None] for t in cos_sin.chunk(2, -1))
    turned, rest = x[..., :rot], x[..., rot:]
    a, b = turned.chunk(2, -1) if neox else (turned[..., ::2], turned[..., 1::2])
    pair = (a * cos - b * sin, b * cos + a * sin)
    joined = torch.cat(pair, -1) if neox else torch.stack(pair, -1).flatten(-2)
    return torch.cat((joined, rest), -1).flatten(1)


def check_activations_agree_with_float64() -> None:
    for dtype in BOTH:
        for rows, width in ((1, 8960), (5, 300), (3, 17)):
            x = random(rows, 2 * width, dtype=dtype) * 6
            gate, up = x.double().chunk(2, -1)
            close(axion.silu_and_mul(x), F.silu(gate) * up, 1e-6 * (gate * up).abs() + 1e-30)
            close(axion.gelu_tanh_and_mul(x), F.gelu(gate, approximate="tanh") * up, 1e-6 * (gate * up).abs() + 1e-30)


def check_softmax_agrees_with_float64_and_masks_exactly() -> None:
    for dtype in BOTH:
        x = random(6, 1003, dtype=dtype) * 5
        x[1, 10:] = -torch.inf
        x[2] = -torch.inf
        got = axion.softmax(x, 0.3)
        wanted = torch.softmax(x.double() * 0.3, -1)
        close(got[[0, 1, 3]], wanted[[0, 1, 3]], 1e-5 * wanted[[0, 1, 3]])
        assert got[1, 10:].eq(0).all()
        assert got[2].eq(0).all()


def check_attention_agrees_with_float64_for_groups_windows_and_caps() -> None:
    cases = ((7, 9, True, 0, 0.0), (1, 300, True, 0, 0.0), (130, 130, True, 16, 0.0), (5, 40, False, 0, 30.0))
    for dtype in BOTH:
        for length, kv_length, causal, window, cap in cases:
            q = random(2, 6, length, 64, dtype=dtype, seed=1)
            k, v = (random(2, 2, kv_length, 64, dtype=dtype, seed=s) for s in (2, 3))
            got = axion.attention(q, k, v, 0.125, causal, window, cap)
            wanted = attended(q.double(), k.double(), v.double(), 0.125, causal, window, cap)
            close(got, wanted, 0.01 if dtype == torch.bfloat16 else 1e-5)


def attended(q: Any, k: Any, v: Any, scale: float, causal: bool, window: int, cap: float) -> Any:
    k, v = (t.repeat_interleave(q.shape[1] // k.shape[1], 1) for t in (k, v))
    scores = q @ k.transpose(-1, -2) * scale
    scores = cap * torch.tanh(scores / cap) if cap else scores
    row = torch.arange(q.shape[2])[:, None] + k.shape[2] - q.shape[2]
    column = torch.arange(k.shape[2])[None]
    seen = (column <= row) | (not causal)
    seen &= (column > row - window) | (window == 0)
    return torch.softmax(scores.masked_fill(~seen, -torch.inf), -1) @ v


def check_int4_linear_agrees_with_float64_for_every_group_size() -> None:
    for n, k, group in ((40, 256, 128), (24, 192, 64), (17, 160, 32), (9, 352, 352)):
        q, scales, zeros, weight = int4(n, k, group)
        packed = axion.pack_w4(q, scales, zeros, group)
        for dtype in BOTH:
            for rows in (1, 2, 5, 8, 9, 33):
                x, bias = random(rows, k, dtype=dtype), random(n, dtype=dtype, seed=5)
                x[0, 3] = 1e4  # shares its group with others of size 1
                got = axion.linear_w4(x, packed, bias, n, k, group)
                spread = x.double().abs() @ weight.abs().T
                close(got, x.double() @ weight.T + bias.double(), 2.0**-13 * spread + 1e-6)


def check_int4_linear_takes_more_dimensions_and_no_rows() -> None:
    q, scales, zeros, _ = int4(16, 64, 64)
    packed = axion.pack_w4(q, scales, zeros, 64)
    x = random(2, 3, 64)
    flat = axion.linear_w4(x.flatten(0, 1), packed, None, 16, 64, 64)
    assert torch.equal(axion.linear_w4(x, packed, None, 16, 64, 64).flatten(0, 1), flat)
    assert axion.linear_w4(x[:0], packed, None, 16, 64, 64).shape == (0, 3, 16)


def check_int4_linear_without_zero_points_means_eight() -> None:
    q, scales, _, _ = int4(16, 64, 32)
    eights = torch.full((16, 2), 8, dtype=torch.uint8)
    assert torch.equal(axion.pack_w4(q, scales, None, 32), axion.pack_w4(q, scales, eights, 32))


def check_int8_activations_lose_at_most_their_rounding() -> None:
    q, scales, zeros, weight = int4(40, 256, 128)
    packed = axion.pack_w4(q, scales, zeros, 128)
    for rows in (1, 5, 33):
        x = random(rows, 256)
        got = axion.linear_w4a8(x, packed, None, 40, 256, 128)
        largest = x.double().abs().amax(-1, keepdim=True)
        close(got, x.double() @ weight.T, 1.01 * largest / 254 * weight.abs().sum(-1))


def check_bf16_and_int8_linear_agree_with_float64() -> None:
    for n, k in ((33, 96), (64, 200), (1, 1)):
        weight, bias = random(n, k), random(n, seed=2)
        largest = weight.float().abs().amax(-1, keepdim=True) / 127
        rounded = (weight.float() / largest).round().double() * largest.double()
        for rows in (1, 4, 19):
            x = random(rows, k, seed=3)
            spread = x.double().abs() @ weight.double().abs().T + bias.double().abs()
            got = axion.linear_bf16(x, axion.pack_bf16(weight), bias, n)
            close(got, x.double() @ weight.double().T + bias.double(), (k + 10) * 2.0**-24 * spread)
            got = axion.linear_w8(x, axion.pack_w8(weight), bias, n)
            close(got, x.double() @ rounded.T + bias.double(), 2.0**-13 * spread)


def check_sampling_is_greedy_at_zero_and_stays_within_its_sets() -> None:
    logits = random(4, 5000, dtype=torch.float32) * 3
    seeds = torch.arange(4)
    assert torch.equal(axion.sample(logits, torch.zeros(4), None, None, None, seeds), logits.argmax(-1))
    top = logits.topk(3, -1).indices
    k = torch.full((4,), 3, dtype=torch.int32)
    for draw in range(50):
        token = axion.sample(logits, torch.ones(4), k, None, None, seeds + 4 * draw)
        assert (top == token[:, None]).any(-1).all()
    assert axion.sample(logits, torch.ones(4), None, torch.full((4,), 1e-6), None, seeds).equal(logits.argmax(-1))
    assert axion.sample(logits[:0], torch.ones(0), None, None, None, seeds[:0]).shape == (0,)


def check_clipping_never_loses_more_than_the_full_range_and_usually_less() -> None:
    weight = random(64, 512, dtype=torch.float32)
    weight[0, 5] = 30.0  # an outlier
    weight[1, :128] = 0
    weight[2, :128] = weight[2, :128].abs() + 3  # far from zero, which stays a level
    made = quantize_w4(weight, 128)
    scales, zeros = (t.double().repeat_interleave(128, 1) for t in (made.scales, made.zeros))
    ours = ((made.q.double() - zeros) * scales - weight).square().unflatten(1, (-1, 128)).sum(-1)
    groups = weight.double().unflatten(1, (-1, 128))
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    step = ((high - low) / 15).clamp(min=1e-30)
    zero = (-low / step).round()
    plain = (((groups / step).round() + zero).clamp(0, 15) - zero) * step
    plain_error = (plain - groups).square().sum(-1)
    assert (ours <= plain_error * (1 + 1e-5) + 1e-12).all()
    assert ours.sum() < 0.95 * plain_error.sum()
    assert made.q.max() <= 15
    assert made.zeros.max() <= 15


def check_what_four_bits_can_hold_is_kept() -> None:
    levels = torch.arange(16, dtype=torch.float32).repeat(8)[None] - 5
    made = quantize_w4(levels * 0.25, 128)
    assert torch.equal((made.q.float() - made.zeros.float()) * made.scales, levels * 0.25)
