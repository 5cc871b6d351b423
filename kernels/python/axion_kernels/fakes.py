"""What the operators return, without computing it: for torch.compile, meta tensors and opcheck.

Shapes of results only. Wrong shapes are refused by the operators themselves; wrong devices end up here, since torch
picks the fake as soon as one argument is a meta tensor.
"""

import torch
from torch import Tensor
from torch.library import register_fake


def _same_device(op: str, **tensors: Tensor | None) -> None:
    present = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    first = next(iter(present.values()))
    for name, tensor in present.items():
        if tensor.device != first.device:
            raise ValueError(f"axion::{op}: {name}: expected a tensor on {first.device}, got {tensor.device}")


def _columns(x: Tensor, n: int) -> Tensor:
    return x.new_empty((*x.shape[:-1], n))


@register_fake("axion::rms_norm")
def rms_norm(x: Tensor, weight: Tensor, eps: float, unit_offset: bool = False) -> Tensor:
    _same_device("rms_norm", x=x, weight=weight)
    return x.new_empty(x.shape)


@register_fake("axion::fused_add_rms_norm")
def fused_add_rms_norm(
    x: Tensor, residual: Tensor, weight: Tensor, eps: float, unit_offset: bool = False
) -> tuple[Tensor, Tensor]:
    _same_device("fused_add_rms_norm", x=x, residual=residual, weight=weight)
    return x.new_empty(x.shape), x.new_empty(x.shape)


@register_fake("axion::rotary_embedding")
def rotary_embedding(
    positions: Tensor, query: Tensor, key: Tensor, head_size: int, cos_sin_cache: Tensor, is_neox: bool = True
) -> tuple[Tensor, Tensor]:
    _same_device("rotary_embedding", query=query, positions=positions, key=key, cos_sin_cache=cos_sin_cache)
    return query.new_empty(query.shape), key.new_empty(key.shape)


@register_fake("axion::silu_and_mul")
def silu_and_mul(x: Tensor) -> Tensor:
    return _columns(x, x.shape[-1] // 2)


@register_fake("axion::gelu_tanh_and_mul")
def gelu_tanh_and_mul(x: Tensor) -> Tensor:
    return _columns(x, x.shape[-1] // 2)


@register_fake("axion::softmax")
def softmax(x: Tensor, scale: float = 1.0) -> Tensor:
    return x.new_empty(x.shape)


@register_fake("axion::attention")
def attention(
    q: Tensor, k: Tensor, v: Tensor, scale: float, causal: bool, window: int = 0, softcap: float = 0.0
) -> Tensor:
    _same_device("attention", q=q, k=k, v=v)
    return q.new_empty(q.shape)


def _packed(like: Tensor, size: int) -> Tensor:
    return like.new_empty((size,), dtype=torch.uint8)


# A packed size is the implementation's own and no formula: it needs numbers, so a traced n or k becomes a constant.
@register_fake("axion::pack_bf16")
def pack_bf16(weight: Tensor) -> Tensor:
    return _packed(weight, torch.ops.axion.packed_bf16_bytes(int(weight.shape[0]), int(weight.shape[1])))


@register_fake("axion::pack_w4")
def pack_w4(q: Tensor, scales: Tensor, zeros: Tensor | None, group_size: int) -> Tensor:
    _same_device("pack_w4", q=q, scales=scales, zeros=zeros)
    return _packed(q, torch.ops.axion.packed_w4_bytes(int(q.shape[0]), int(q.shape[1]), int(group_size)))


@register_fake("axion::pack_w8")
def pack_w8(weight: Tensor) -> Tensor:
    return _packed(weight, torch.ops.axion.packed_w8_bytes(int(weight.shape[0]), int(weight.shape[1])))


@register_fake("axion::linear_bf16")
def linear_bf16(x: Tensor, packed: Tensor, bias: Tensor | None, n: int) -> Tensor:
    _same_device("linear_bf16", x=x, packed=packed, bias=bias)
    return _columns(x, n)


@register_fake("axion::linear_w4")
def linear_w4(x: Tensor, packed: Tensor, bias: Tensor | None, n: int, k: int, group_size: int) -> Tensor:
    _same_device("linear_w4", x=x, packed=packed, bias=bias)
    return _columns(x, n)


@register_fake("axion::linear_w4a8")
def linear_w4a8(x: Tensor, packed: Tensor, bias: Tensor | None, n: int, k: int, group_size: int) -> Tensor:
    _same_device("linear_w4a8", x=x, packed=packed, bias=bias)
    return _columns(x, n)


@register_fake("axion::linear_w4_silu_and_mul")
def linear_w4_silu_and_mul(x: Tensor, packed: Tensor, bias: Tensor | None, n: int, k: int, group_size: int) -> Tensor:
    _same_device("linear_w4_silu_and_mul", x=x, packed=packed, bias=bias)
    return _columns(x, n // 2)


@register_fake("axion::linear_w4_gelu_tanh_and_mul")
def linear_w4_gelu_tanh_and_mul(
    x: Tensor, packed: Tensor, bias: Tensor | None, n: int, k: int, group_size: int
) -> Tensor:
    _same_device("linear_w4_gelu_tanh_and_mul", x=x, packed=packed, bias=bias)
    return _columns(x, n // 2)


@register_fake("axion::linear_w8")
def linear_w8(x: Tensor, packed: Tensor, bias: Tensor | None, n: int) -> Tensor:
    _same_device("linear_w8", x=x, packed=packed, bias=bias)
    return _columns(x, n)


@register_fake("axion::penalize_")
def penalize_(
    logits: Tensor, prompts: Tensor, outputs: Tensor, presence: Tensor, frequency: Tensor, repetition: Tensor
) -> None:
    said = {"prompts": prompts, "outputs": outputs}
    _same_device("penalize_", logits=logits, **said, presence=presence, frequency=frequency, repetition=repetition)


@register_fake("axion::sample")
def sample(
    logits: Tensor,
    temperature: Tensor,
    top_k: Tensor | None,
    top_p: Tensor | None,
    min_p: Tensor | None,
    seeds: Tensor,
) -> Tensor:
    _same_device("sample", logits=logits, temperature=temperature, top_k=top_k, top_p=top_p, min_p=min_p, seeds=seeds)
    return logits.new_empty((logits.shape[0],), dtype=torch.int64)
