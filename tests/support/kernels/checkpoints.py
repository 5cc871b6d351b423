"""Tiny int4 checkpoints in the layouts that people publish, and their bfloat16 twins. Runs in the engine environment.

Scales have four significant bits. Times a difference of two nibbles that is at most eight bits: exact in bfloat16, so
the twin computes with the very same weights, and a differing token is a kernel's fault.
"""

import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch  # in the engine environment only
import transformers as hf
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

SEED = 4711
HIDDEN, INTERMEDIATE, HEAD_DIM, VOCABULARY = 128, 256, 32, 512
AWQ_ORDER = (0, 2, 4, 6, 1, 3, 5, 7)  # nibble i of an AWQ word holds column AWQ_ORDER[i]
PLAIN_ORDER = tuple(range(8))
SHIFTS = tuple(range(0, 32, 4))


@dataclass(frozen=True)
class Int4:
    """w[n, k] = (q[n, k] - zeros[n, k // group]) * scales[n, k // group]."""

    q: Any  # int [N, K]
    zeros: Any  # int [N, G]
    scales: Any  # float [N, G]
    group: int

    def dequantized(self) -> Any:
        zeros, scales = (t.repeat_interleave(self.group, 1) for t in (self.zeros, self.scales))
        return (self.q - zeros) * scales


def to_int4(weight: Any, group: int, *, symmetric: bool) -> Int4:
    groups = weight.float().unflatten(1, (-1, group))
    low, high = groups.amin(-1).clamp(max=0), groups.amax(-1).clamp(min=0)
    spread = groups.abs().amax(-1) / 7 if symmetric else (high - low) / 15
    scales = four_bits(spread)  # up: nothing is cut off
    zeros = torch.full_like(low, 8) if symmetric else (-low / scales).round().clamp(0, 15)
    q = ((groups / scales[..., None]).round() + zeros[..., None]).clamp(0, 15)
    return Int4(q.flatten(1).int(), zeros.int(), scales, group)


def four_bits(values: Any) -> Any:
    mantissa, exponent = torch.frexp(values)
    return torch.ldexp((mantissa * 16).ceil() / 16, exponent)


def words(values: Any, order: tuple[int, ...]) -> Any:
    """[R, C] of 0..15 as int32 [R, C / 8]; nibble i of a word is column order[i] of its eight."""
    nibbles = values.unflatten(1, (-1, 8))[..., list(order)].to(torch.int64)
    packed = (nibbles << torch.tensor(SHIFTS)).sum(-1)
    return torch.where(packed >= 1 << 31, packed - (1 << 32), packed).to(torch.int32).contiguous()


def awq(name: str, weight: Int4) -> dict[str, Any]:
    return {
        f"{name}.qweight": words(weight.q.t(), AWQ_ORDER),
        f"{name}.qzeros": words(weight.zeros.t(), AWQ_ORDER),
        f"{name}.scales": weight.scales.t().half().contiguous(),
    }


def gptq(name: str, weight: Int4) -> dict[str, Any]:
    columns = weight.q.shape[1]
    return {
        f"{name}.qweight": words(weight.q, PLAIN_ORDER).t().contiguous(),
        f"{name}.qzeros": words(weight.zeros.t() - 1, PLAIN_ORDER),  # the format stores the zero point less one
        f"{name}.scales": weight.scales.t().half().contiguous(),
        f"{name}.g_idx": (torch.arange(columns) // weight.group).int(),
    }


def compressed(name: str, weight: Int4) -> dict[str, Any]:
    return {
        f"{name}.weight_packed": words(weight.q, PLAIN_ORDER),
        f"{name}.weight_scale": weight.scales.bfloat16(),
        f"{name}.weight_shape": torch.tensor(weight.q.shape),
    }


def awq_config(group: int) -> dict[str, Any]:
    return {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": "gemm"}


def gptq_config(group: int) -> dict[str, Any]:
    return {"quant_method": "gptq", "bits": 4, "group_size": group, "sym": True, "desc_act": False}


def compressed_config(group: int) -> dict[str, Any]:
    weights = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": group}
    groups = {"group_0": {"targets": ["Linear"], "weights": weights}}
    return {
        "quant_method": "compressed-tensors",
        "format": "pack-quantized",
        "quantization_status": "compressed",
        "config_groups": groups,
        "ignore": ["lm_head"],
    }


@dataclass(frozen=True)
class Format:
    tensors: Callable[[str, Int4], dict[str, Any]]
    config: Callable[[int], dict[str, Any]]
    symmetric: bool


FORMATS: Mapping[str, Format] = {
    "awq": Format(awq, awq_config, symmetric=False),
    "gptq": Format(gptq, gptq_config, symmetric=True),
    "compressed-tensors": Format(compressed, compressed_config, symmetric=True),
}


def shape(layers: int = 2, spread: float = 0.2) -> dict[str, Any]:
    # The usual spread of 0.02 gives almost flat logits at this width: greedy output would repeat one token.
    return {
        "vocab_size": VOCABULARY, "hidden_size": HIDDEN, "intermediate_size": INTERMEDIATE,
        "num_hidden_layers": layers, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 512, "initializer_range": spread, "bos_token_id": 1, "eos_token_id": 2,
        "pad_token_id": 0,
    }  # fmt: skip


def rope(theta: float = 10_000.0) -> dict[str, Any]:
    return {"rope_type": "default", "rope_theta": theta}


def qwen2() -> Any:
    config = hf.Qwen2Config(**shape(), tie_word_embeddings=True, rope_parameters=rope(1e6))
    return hf.Qwen2ForCausalLM(config)


def phi3() -> Any:
    """Phi-4-mini's shape: three quarters of each head are rotated, the rotation is scaled for long contexts."""
    pairs = HEAD_DIM * 3 // 4 // 2
    long = {"rope_type": "longrope", "partial_rotary_factor": 0.75, "original_max_position_embeddings": 256}
    factors = {"short_factor": [1.0] * pairs, "long_factor": [1 + pair / 10 for pair in range(pairs)]}
    config = hf.Phi3Config(
        **shape(), tie_word_embeddings=True, partial_rotary_factor=0.75, original_max_position_embeddings=256,
        sliding_window=None, rope_parameters={**rope(), **long, **factors},
    )  # fmt: skip
    return hf.Phi3ForCausalLM(config)


def mistral() -> Any:
    config = hf.MistralConfig(**shape(), head_dim=HEAD_DIM, sliding_window=None, rope_parameters=rope(1e6))
    return hf.MistralForCausalLM(config)


def gemma3() -> Any:
    kinds = {"sliding_attention": rope(), "full_attention": {**rope(1e6), "rope_type": "linear", "factor": 8.0}}
    config = hf.Gemma3TextConfig(
        **shape(), head_dim=HEAD_DIM, query_pre_attn_scalar=HEAD_DIM, sliding_window=64,
        tie_word_embeddings=True, layer_types=list(kinds), rope_parameters=kinds,
    )  # fmt: skip
    model = hf.Gemma3ForCausalLM(config)
    # Gemma multiplies embeddings by the root of the width: at this spread each token would only predict itself.
    model.model.embed_tokens.weight.data.mul_(0.03)
    return model


# The group sizes differ so that all three that the kernel has are served.
MODELS: Mapping[str, tuple[Callable[[], Any], int]] = {
    "qwen2": (qwen2, 32),
    "phi3": (phi3, 64),
    "mistral": (mistral, 128),
    "gemma3": (gemma3, 32),
}


def make(name: str, *, gain: float = 1.0) -> Any:
    """The model, with all its matrices multiplied by a gain."""
    torch.manual_seed(SEED)
    model = MODELS[name][0]()
    for module in model.modules():
        if isinstance(module, torch.nn.Linear):
            module.weight.data.mul_(gain)
    return model.to(torch.bfloat16).eval()


def weights(model: Any) -> dict[str, Any]:
    """The tensors of the checkpoint: a tied output projection is the embedding, stored once."""
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    return {name: value.clone() for name, value in model.state_dict().items() if name not in tied}


def write_quantized(name: str, kind: str, directory: Path) -> None:
    """Write directory/int4, the checkpoint of that kind, and directory/twin, the same weights in bfloat16."""
    model, group, form = make(name), MODELS[name][1], FORMATS[kind]
    twin = weights(model)
    checkpoint = dict(twin)
    for layer, module in model.named_modules():
        if isinstance(module, torch.nn.Linear) and layer != "lm_head":
            weight = to_int4(module.weight, group, symmetric=form.symmetric)
            twin[f"{layer}.weight"] = weight.dequantized().bfloat16()
            del checkpoint[f"{layer}.weight"]
            checkpoint |= form.tensors(layer, weight)
    save(directory / "int4", model, checkpoint, form.config(group))
    save(directory / "twin", model, twin, None)


def save(directory: Path, model: Any, tensors: dict[str, Any], quantization: dict[str, Any] | None) -> None:
    directory.mkdir(parents=True)
    save_file({key: value.contiguous() for key, value in tensors.items()}, directory / "model.safetensors")
    fields = json.loads(model.config.to_json_string(use_diff=False))
    fields |= {"architectures": [type(model).__name__], "torch_dtype": "bfloat16"}
    if quantization is not None:
        fields["quantization_config"] = quantization
    (directory / "config.json").write_text(json.dumps(fields, indent=1))
    words_only = Tokenizer(WordLevel({f"w{token}": token for token in range(VOCABULARY)}, unk_token="w0"))
    hf.PreTrainedTokenizerFast(tokenizer_object=words_only, bos_token="w1", eos_token="w2").save_pretrained(directory)


def main() -> None:
    """Write every model as AWQ, two in the other formats, and all as they were before: OUT/<model>-<kind>/..."""
    out = Path(sys.argv[1])
    for name in MODELS:
        write_quantized(name, "awq", out / f"{name}-awq")
        # Attention with the full gain picks single tokens, and a small change another one: no error bound would hold.
        model = make(name, gain=0.2)
        save(out / name, model, weights(model), None)
    write_quantized("qwen2", "gptq", out / "qwen2-gptq")
    write_quantized("mistral", "compressed-tensors", out / "mistral-compressed-tensors")


if __name__ == "__main__":
    main()
