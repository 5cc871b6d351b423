"""A checkpoint of two shards, whole and in three states that vLLM loads without a word.

    OUT/whole    OUT/nan: one NaN in the last norm    OUT/zero: an output head of zeros
    OUT/half: no second shard, where it is AWQ

    broken_checkpoints.py OUT TOKENIZER     a checkpoint whose tokenizer has the first words

Runs in the engine environment, with the checkout on PYTHONPATH. The vocabulary is as large as Qwen's for the sake of
its output head: memory for it comes fresh from the kernel, so what no shard fills is zero, as it is in a large model.
"""

import json
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from agent.small_model import AWQ, BLOCKS, DECODER, HIDDEN, WORDS, Checkpoint

VOCABULARY = 151_936
IS_AWQ = "avx512f" in Path("/proc/cpuinfo").read_text()
"""vLLM has its int4 kernel for AVX512 alone. Elsewhere the checkpoint is not quantized, and half of it refused."""
IN_SECOND_SHARD = ("lm_head.", "model.norm.", f"model.layers.{BLOCKS - 1}.")
FIRST, SECOND = (f"model-0000{number}-of-00002.safetensors" for number in (1, 2))


def tensors() -> dict[str, Any]:
    made = Checkpoint(is_awq=IS_AWQ)
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        made.plain(name, VOCABULARY, HIDDEN, spread=1.0)
        made.tensors[name][WORDS:] = 0  # a word that the tokenizer lacks is never the likeliest
    made.norm("model.norm", HIDDEN)
    for block in range(BLOCKS):
        for norm in ("input", "post_attention"):
            made.norm(f"model.layers.{block}.{norm}_layernorm", HIDDEN)
        made.block(f"model.layers.{block}", has_bias=False)
    return made.tensors


def write(directory: Path, tokenizer: Path, shards: Mapping[str, dict[str, Any]]) -> None:
    shutil.copytree(tokenizer, directory, ignore=shutil.ignore_patterns("*.safetensors"))
    for name, content in shards.items():
        save_file(content, directory / name)
    config = {**DECODER, "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu"}
    config |= {"vocab_size": VOCABULARY, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}
    config |= {"quantization_config": AWQ} if IS_AWQ else {}
    (directory / "config.json").write_text(json.dumps(config))


def main() -> None:
    out, tokenizer = map(Path, sys.argv[1:])
    whole = tensors()
    second = {name: whole.pop(name) for name in list(whole) if name.startswith(IN_SECOND_SHARD)}
    write(out / "whole", tokenizer, {FIRST: whole, SECOND: second})
    if IS_AWQ:
        write(out / "half", tokenizer, {FIRST: whole})
    norm, head = second["model.norm.weight"].clone(), second["lm_head.weight"]
    norm[0] = float("nan")
    for name, changed in {"nan": {"model.norm.weight": norm}, "zero": {"lm_head.weight": head * 0}}.items():
        write(out / name, tokenizer, {FIRST: whole, SECOND: second | changed})


if __name__ == "__main__":
    main()
