"""Make an AWQ checkpoint of a Llama in bfloat16: activation-aware scales and clips, in the layout that people publish.

    PYTHONPATH=SITE ENGINE_PYTHON kernels/bench/awq_checkpoint.py MODEL OUT TEXT... [--group 64] [--tokens 8192]

After "AWQ: Activation-aware Weight Quantization for LLM Compression and Acceleration" (Lin et al., 2023): inputs whose
activations are large get a factor, the layer before them its inverse, and of each group's ranges the one is taken that
changes the layer's outputs least. What is large, and what changes, is seen on TEXT, on which the quality should not be
measured. It exists for bench/quality.py: the makers of the models that are served quantized them themselves.
"""

import argparse
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

LEVELS = 15
EXPONENTS = tuple(step / 20 for step in range(20))  # of the mean activation: 0 is plain rounding
CLIPS = (1.0, 0.96, 0.92, 0.88, 0.84, 0.8, 0.76, 0.72)
WHOLE = (1.0,)  # ranges are chosen once the factors are
WINDOW = 512
WORD_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # nibble i of an AWQ word holds column WORD_ORDER[i] of its eight
SHIFTS = tuple(range(0, 32, 4))


@dataclass(frozen=True)
class Group:
    """Linear layers with the same inputs, and the module that makes these: its rows take the factors' inverse."""

    layers: tuple[str, ...]
    before: str


GROUPS = (
    Group(("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "input_layernorm"),
    Group(("mlp.gate_proj", "mlp.up_proj"), "post_attention_layernorm"),
    Group(("mlp.down_proj",), "mlp.up_proj"),
)
UNSCALED = ("self_attn.o_proj",)  # with fewer heads of values than of queries, nothing before it has its inputs' number


@dataclass(frozen=True)
class Rounded:
    """w[n, k] is (q[n, k] - zeros[n, g]) * scales[n, g]."""

    q: torch.Tensor
    zeros: torch.Tensor
    scales: torch.Tensor

    def weight(self) -> torch.Tensor:
        groups = self.q.unflatten(1, (self.zeros.shape[1], -1))
        return ((groups - self.zeros[..., None]) * self.scales[..., None]).flatten(1)


def rounded(weight: torch.Tensor, moments: torch.Tensor, group: int, clips: tuple[float, ...] = CLIPS) -> Rounded:
    """To four bits, each group with the range that changes the outputs least; `moments` is the inputs' XᵀX."""
    groups = weight.unflatten(1, (-1, group))
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    blocks = torch.stack([moments[at : at + group, at : at + group] for at in range(0, weight.shape[1], group)])
    best = torch.full_like(low, torch.inf)
    kept = [torch.zeros_like(groups), torch.zeros_like(low), torch.ones_like(low)]
    for clip in clips:
        # As stored: half precision.
        scales = ((high - low) * clip / LEVELS).clamp(min=1e-5).half().float()
        zeros = (-low * clip / scales).round().clamp(0, LEVELS)
        q = ((groups / scales[..., None]).round() + zeros[..., None]).clamp(0, LEVELS)
        lost = (q - zeros[..., None]) * scales[..., None] - groups
        error = torch.einsum("ngi,gij,ngj->ng", lost, blocks, lost)
        better = error < best
        best = torch.where(better, error, best)
        for index, value in enumerate((q, zeros, scales)):
            kept[index] = torch.where(better[..., None] if value.dim() == 3 else better, value, kept[index])
    q, zeros, scales = kept
    return Rounded(q.flatten(1), zeros, scales)


def change(weight: torch.Tensor, as_rounded: torch.Tensor, moments: torch.Tensor) -> float:
    """The squared change of all outputs, over the inputs that `moments` is of."""
    lost = as_rounded - weight
    return float(((lost @ moments) * lost).sum())


def factors(weights: list[torch.Tensor], means: torch.Tensor, moments: torch.Tensor, group: int) -> torch.Tensor:
    """The factor of each input that changes the outputs least: a power of its mean absolute activation."""
    best, chosen = float("inf"), torch.ones_like(means)
    for exponent in EXPONENTS:
        tried = means.clamp(min=1e-4) ** exponent
        tried = tried / (tried.max() * tried.min()).sqrt()
        scaled = moments / tried[:, None] / tried
        total = sum(
            change(weight, rounded(weight * tried, scaled, group, WHOLE).weight() / tried, moments)
            for weight in weights
        )
        if total < best:
            best, chosen = total, tried
    return chosen


def seen_inputs(model: Any, names: list[str], ids: list[int]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Of each layer's inputs the mean absolute value and XᵀX, over the text."""
    totals: dict[str, Any] = {}
    moments: dict[str, Any] = {}

    def watch(name: str) -> Any:
        def look(_module: Any, given: tuple[Any, ...]) -> None:
            x = given[0].flatten(0, -2).float()
            totals[name] = totals.get(name, 0) + x.abs().sum(0)
            moments[name] = moments.get(name, 0) + x.T @ x

        return look

    hooks = [model.get_submodule(name).register_forward_pre_hook(watch(name)) for name in names]
    for begin in range(0, len(ids) - WINDOW + 1, WINDOW):
        model(torch.tensor([ids[begin : begin + WINDOW]]))
    for hook in hooks:
        hook.remove()
    return {name: total / len(ids) for name, total in totals.items()}, moments


def words(values: torch.Tensor) -> torch.Tensor:
    """[R, C] of 0..15 as int32 [R, C / 8]."""
    nibbles = values.unflatten(1, (-1, 8))[..., list(WORD_ORDER)].to(torch.int64)
    packed = (nibbles << torch.tensor(SHIFTS)).sum(-1)
    return torch.where(packed >= 1 << 31, packed - (1 << 32), packed).to(torch.int32).contiguous()


def quantized(tensors: dict[str, Any], model: Any, ids: list[int], group: int) -> Iterator[tuple[str, Any]]:
    """All tensors of the new checkpoint; `tensors` are the old one's, and are changed on the way."""
    layers = range(model.config.num_hidden_layers)
    members = [name for one in GROUPS for name in one.layers] + list(UNSCALED)
    means, moments = seen_inputs(model, [f"model.layers.{layer}.{name}" for layer in layers for name in members], ids)
    for layer in layers:
        root = f"model.layers.{layer}"
        for one in GROUPS:
            names = [f"{root}.{name}" for name in one.layers]
            weights = [tensors[f"{name}.weight"].float() for name in names]
            chosen = factors(weights, means[names[0]], moments[names[0]], group)
            for name, weight in zip(names, weights, strict=True):
                tensors[f"{name}.weight"] = weight * chosen
                moments[name] = moments[name] / chosen[:, None] / chosen
            before = tensors[f"{root}.{one.before}.weight"].float()
            tensors[f"{root}.{one.before}.weight"] = before / (chosen if before.dim() == 1 else chosen[:, None])
        for name in members:
            made = rounded(tensors.pop(f"{root}.{name}.weight").float(), moments[f"{root}.{name}"], group)
            yield f"{root}.{name}.qweight", words(made.q.t())
            yield f"{root}.{name}.qzeros", words(made.zeros.t())
            yield f"{root}.{name}.scales", made.scales.t().half().contiguous()
    yield from ((name, tensor.bfloat16().contiguous()) for name, tensor in tensors.items())


def main() -> None:
    parser = argparse.ArgumentParser(description="Make an AWQ checkpoint of a Llama in bfloat16.")
    parser.add_argument("model", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("texts", nargs="+", type=Path)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=8192)
    given = parser.parse_args()
    text = "\n\n".join(path.read_text(encoding="utf-8") for path in given.texts)
    ids = AutoTokenizer.from_pretrained(given.model)(text)["input_ids"][: given.tokens]
    shutil.copytree(given.model, given.out, ignore=shutil.ignore_patterns("*.safetensors"))
    with torch.inference_mode():
        model = AutoModelForCausalLM.from_pretrained(given.model, dtype=torch.float32).eval()
        made = dict(quantized(load_file(given.model / "model.safetensors"), model, ids, given.group))
    save_file(made, given.out / "model.safetensors", metadata={"format": "pt"})
    awq = {"quant_method": "awq", "bits": 4, "group_size": given.group, "zero_point": True, "version": "gemm"}
    config = json.loads((given.model / "config.json").read_text())
    (given.out / "config.json").write_text(json.dumps({**config, "quantization_config": awq}, indent=1))


if __name__ == "__main__":
    main()
