"""Whole checkpoints of next to nothing, and the pieces that they are broken into: bytes, without torch."""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

FILLER = bytes(range(251)) * 1300  # 326 300 bytes without a period that a block size divides
LLAMA = ("input_layernorm.weight", "mlp.down_proj.weight", "self_attn.q_proj.weight")
AWQ = ("input_layernorm.weight", *(f"mlp.down_proj.{part}" for part in ("qweight", "qzeros", "scales")))


def config(layers: int = 2, **more: Any) -> bytes:
    return json.dumps({"architectures": ["LlamaForCausalLM"], "num_hidden_layers": layers, **more}).encode()


def names(layers: Iterable[int] = range(2), *, parts: Iterable[str] = LLAMA, at: str = "model.") -> list[str]:
    """Tensors of a decoder: embedding, layers, norm and head."""
    inside = [f"{at}layers.{layer}.{part}" for layer in layers for part in parts]
    return [f"{at}embed_tokens.weight", *inside, f"{at}norm.weight", "lm_head.weight"]


def safetensors(tensors: Iterable[str], *, size: int = 0) -> bytes:
    """A file of tensors, 8 bytes each; the first has all that is left of `size`."""
    lengths = dict.fromkeys(tensors, 8)
    small = _file(lengths, 0)
    if size:
        # Longer numbers make a longer header; what is left over is made up by spaces, which the format allows.
        lengths[next(iter(lengths))] += size - len(small) - 32 * len(lengths)
        return _file(lengths, size - len(_file(lengths, 0)))
    return small


def _file(lengths: Mapping[str, int], spaces: int) -> bytes:
    at, header = 0, {}
    for name, length in lengths.items():
        header[name] = {"dtype": "U8", "shape": [length], "data_offsets": [at, at + length]}
        at += length
    text = json.dumps(header).encode() + b" " * spaces
    return len(text).to_bytes(8, "little") + text + (FILLER * math.ceil(at / len(FILLER)))[:at]


def index(files: Mapping[str, Iterable[str]]) -> bytes:
    """The index of files with these tensors in them."""
    return json.dumps({"weight_map": {name: file for file, each in files.items() for name in each}}).encode()


def pointer(content: bytes, size_bytes: int | None = None) -> bytes:
    """What git LFS leaves where a file was not fetched; with a size, that of a file which nobody needs to make."""
    digest, size = hashlib.sha256(content).hexdigest(), len(content) if size_bytes is None else size_bytes
    return f"version https://git-lfs.github.com/spec/v1\noid sha256:{digest}\nsize {size}\n".encode()
