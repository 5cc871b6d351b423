"""Checkpoints without weights: configurations as published, the tensors that belong to them, and directories of both.

A directory's safetensors files have whole headers and holes for weights: what reads headers and lengths is content.
"""

import json
import struct
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.reading import read_checkpoint
from deployment.checkpoint.shape import read_shape, text_part
from deployment.checkpoint.tensors import Tensor

TINY: dict[str, Any] = {
    "architectures": ["Qwen2ForCausalLM"],
    "model_type": "qwen2",
    "hidden_size": 64,
    "intermediate_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "head_dim": 32,
    "vocab_size": 512,
    "max_position_embeddings": 2048,
    "tie_word_embeddings": True,
    "torch_dtype": "bfloat16",
}
DTYPES = {"bfloat16": "BF16", "float16": "F16", "float32": "F32"}
SHARD = "model.safetensors"


def tensors_of(config: Mapping[str, Any]) -> dict[str, Tensor]:
    """List the tensors of a published checkpoint with this configuration."""
    return dict(_tensors(config))


def checkpoint(config: Mapping[str, Any] = TINY, *, without: Iterable[str] = (), **changes: Any) -> Checkpoint:
    """The facts of a configuration with some keys changed or left out."""
    bent = {key: value for key, value in {**config, **changes}.items() if key not in without}
    return read_checkpoint({"config.json": json.dumps(bent)}, tensors_of(bent))


def write_checkpoint(directory: Path, config: Mapping[str, Any] = TINY, **changes: Any) -> Path:
    """Write a directory that is whole as far as headers and lengths tell."""
    bent = {**config, **changes}
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "config.json").write_text(json.dumps(bent))
    (directory / "tokenizer.json").write_text("{}")
    write_shard(directory / SHARD, tensors_of(bent))
    return directory


def write_shard(file: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write a safetensors file of zeros that take no space on the disk."""
    header = shard_header(tensors)
    with file.open("wb") as stream:
        stream.write(struct.pack("<Q", len(header)) + header)
        stream.truncate(8 + len(header) + sum(tensor.size for tensor in tensors.values()))


def shard_header(tensors: Mapping[str, Tensor]) -> bytes:
    """The JSON at the beginning of a safetensors file, padded as the format asks."""
    said: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        said[name] = {"dtype": tensor.dtype, "shape": list(tensor.shape), "data_offsets": [at, at + tensor.size]}
        at += tensor.size
    text = json.dumps(said, separators=(",", ":")).encode()
    return text + b" " * (-len(text) % 8)


def _tensors(config: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    shape = read_shape(config)
    plain = DTYPES[shape.dtype]
    root = "language_model.model" if "vision_config" in config else "model"
    quantized = _quantization(config)
    yield f"{root}.embed_tokens.weight", Tensor(plain, (shape.vocab_size, shape.hidden_size))
    for layer in range(shape.num_hidden_layers):
        for name, outputs, inputs in _linears(shape):
            module = f"{root}.layers.{layer}.{name}"
            left = (quantized or {}).get("modules_to_not_convert") or []
            if quantized is None or any(part in module for part in left):
                yield f"{module}.weight", Tensor(plain, (outputs, inputs))
            else:
                yield from _packed(module, outputs, inputs, quantized)
            if shape.architecture == "Qwen2ForCausalLM" and name.endswith(("q_proj", "k_proj", "v_proj")):
                yield f"{module}.bias", Tensor(plain, (outputs,))
        for name, size in _norms(shape):
            yield f"{root}.layers.{layer}.{name}.weight", Tensor(plain, (size,))
    yield f"{root}.norm.weight", Tensor(plain, (shape.hidden_size,))
    if not shape.tie_word_embeddings:
        if quantized is not None and quantized.get("lm_head"):
            yield from _packed("lm_head", shape.vocab_size, shape.hidden_size, quantized)
        else:
            yield "lm_head.weight", Tensor(plain, (shape.vocab_size, shape.hidden_size))
    if "vision_config" in config:
        yield from _image_tower(config["vision_config"], shape.hidden_size, plain)


def _linears(shape: Any) -> Iterator[tuple[str, int, int]]:
    hidden, head = shape.hidden_size, shape.head_dim
    query, key = shape.num_attention_heads * head, shape.num_key_value_heads * head
    if shape.architecture == "Phi3ForCausalLM":
        yield "self_attn.qkv_proj", query + 2 * key, hidden
        yield "mlp.gate_up_proj", 2 * shape.intermediate_size, hidden
    else:
        yield from (("self_attn.q_proj", query, hidden), ("self_attn.k_proj", key, hidden))
        yield "self_attn.v_proj", key, hidden
        yield "mlp.gate_proj", shape.intermediate_size, hidden
        yield "mlp.up_proj", shape.intermediate_size, hidden
    yield "self_attn.o_proj", hidden, query
    yield "mlp.down_proj", hidden, shape.intermediate_size


def _norms(shape: Any) -> Iterator[tuple[str, int]]:
    yield from (("input_layernorm", shape.hidden_size), ("post_attention_layernorm", shape.hidden_size))
    if shape.architecture.startswith("Gemma3"):
        yield "pre_feedforward_layernorm", shape.hidden_size
        yield "post_feedforward_layernorm", shape.hidden_size
    if shape.architecture.startswith(("Gemma3", "Qwen3")):
        yield from (("self_attn.q_norm", shape.head_dim), ("self_attn.k_norm", shape.head_dim))


def _quantization(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    found = config.get("quantization_config") or text_part(config).get("quantization_config")
    return found if isinstance(found, Mapping) else None


def _packed(module: str, outputs: int, inputs: int, quantized: Mapping[str, Any]) -> Iterator[tuple[str, Tensor]]:
    group = quantized.get("group_size", quantized.get("q_group_size", 128))
    if quantized["quant_method"] == "compressed-tensors":
        scheme = quantized["config_groups"]["group_0"]["weights"]
        group = scheme.get("group_size", -1)
        groups = inputs // (inputs if group in (-1, None) else group)
        yield f"{module}.weight_packed", Tensor("I32", (outputs, inputs // 8))
        yield f"{module}.weight_scale", Tensor("BF16", (outputs, groups))
        yield f"{module}.weight_shape", Tensor("I64", (2,))
        return
    groups = inputs // (inputs if group == -1 else group)
    if quantized["quant_method"] == "awq":
        yield f"{module}.qweight", Tensor("I32", (inputs, outputs // 8))
    else:
        yield f"{module}.qweight", Tensor("I32", (inputs // 8, outputs))
        yield f"{module}.g_idx", Tensor("I32", (inputs,))
    yield f"{module}.qzeros", Tensor("I32", (groups, outputs // 8))
    yield f"{module}.scales", Tensor("F16", (groups, outputs))


def _image_tower(vision: Mapping[str, Any], text_hidden: int, plain: str) -> Iterator[tuple[str, Tensor]]:
    """SigLIP's tower with Gemma 3's projector."""
    hidden, inner = vision["hidden_size"], vision["intermediate_size"]
    patch, root = vision.get("patch_size", 14), "vision_tower.vision_model"
    patches = (vision["image_size"] // patch) ** 2
    yield f"{root}.embeddings.patch_embedding.weight", Tensor(plain, (hidden, 3, patch, patch))
    yield f"{root}.embeddings.patch_embedding.bias", Tensor(plain, (hidden,))
    yield f"{root}.embeddings.position_embedding.weight", Tensor(plain, (patches, hidden))
    for layer in range(vision["num_hidden_layers"]):
        at = f"{root}.encoder.layers.{layer}"
        sizes = {
            **{f"self_attn.{name}": (hidden, hidden) for name in ("q_proj", "k_proj", "v_proj", "out_proj")},
            "mlp.fc1": (inner, hidden),
            "mlp.fc2": (hidden, inner),
        }
        for name, size in sizes.items():
            yield f"{at}.{name}.weight", Tensor(plain, size)
            yield f"{at}.{name}.bias", Tensor(plain, size[:1])
        for name in ("layer_norm1", "layer_norm2"):
            yield f"{at}.{name}.weight", Tensor(plain, (hidden,))
            yield f"{at}.{name}.bias", Tensor(plain, (hidden,))
    yield f"{root}.post_layernorm.weight", Tensor(plain, (hidden,))
    yield f"{root}.post_layernorm.bias", Tensor(plain, (hidden,))
    yield "multi_modal_projector.mm_input_projection_weight", Tensor(plain, (hidden, text_hidden))
    yield "multi_modal_projector.mm_soft_emb_norm.weight", Tensor(plain, (hidden,))


class Hollow(bytes):
    """A file of which only the beginning takes memory; what follows is zeros."""

    length: int

    def __new__(cls, head: bytes, length: int) -> "Hollow":
        made = super().__new__(cls, head)
        made.length = length
        return made

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, at: Any) -> Any:
        start, stop, _ = at.indices(self.length)
        found = bytes(self).__getitem__(slice(start, stop))
        return found + bytes(stop - start - len(found))


def repository_files(config: Mapping[str, Any], **more: bytes) -> dict[str, bytes]:
    """The files of a repository as a hub keeps them: configuration, weights without content, and their index."""
    files = {"config.json": json.dumps(config).encode(), "tokenizer.json": b"{}", **more}
    shards = shards_of(tensors_of(config))
    for name, tensors in shards.items():
        header = shard_header(tensors)
        head = struct.pack("<Q", len(header)) + header
        files[name] = Hollow(head, len(head) + sum(tensor.size for tensor in tensors.values()))
    if len(shards) > 1:
        places = {tensor: name for name, tensors in shards.items() for tensor in tensors}
        files["model.safetensors.index.json"] = json.dumps({"weight_map": places}).encode()
    return files


def shards_of(tensors: Mapping[str, Tensor], largest: int = 5_000_000_000) -> dict[str, dict[str, Tensor]]:
    """Distribute tensors over files as save_pretrained does: in order, a new file where one would be too large."""
    parts: list[dict[str, Tensor]] = [{}]
    for name, tensor in tensors.items():
        if sum(each.size for each in parts[-1].values()) + tensor.size > largest:
            parts.append({})
        parts[-1][name] = tensor
    if len(parts) == 1:
        return {SHARD: parts[0]}
    return {f"model-{at:05}-of-{len(parts):05}.safetensors": part for at, part in enumerate(parts, start=1)}
