"""Whole checkpoints pass; of each that is not, one sentence says what is missing."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from agent.completeness import examine, examine_directory
from tests.support.checkpoints import AWQ, config, index, names, pointer, safetensors

Files = dict[str, bytes]
REMEDY = "Do something."
ONE, TWO, THREE = (f"model-0000{number}-of-00003.safetensors" for number in (1, 2, 3))
FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
INDEX = "model.safetensors.index.json"
FOUR = names(range(4))


def said(files: Files) -> tuple[str, ...]:
    sizes = {path: len(content) for path, content in files.items()}
    return examine(sizes, lambda path, start, count: files[path][start : start + count], REMEDY).problems


def whole(tensors: Iterable[str] = FOUR, layers: int = 4, **more: Any) -> Files:
    return {"config.json": config(layers, **more), "model.safetensors": safetensors(tensors)}


def sharded(*parts: list[str], **changes: bytes) -> Files:
    files = dict(zip((ONE, TWO, THREE), parts, strict=True))
    made = {path: safetensors(tensors) for path, tensors in files.items()}
    return {"config.json": config(4), INDEX: index(files), **made, **changes}


PARTS = (FOUR[:4], FOUR[4:10], FOUR[10:])
MOE = [f"model.layers.{layer}.mlp.experts.{expert}.up_proj.weight" for layer in (1, 2, 3) for expert in (0, 1)]
TOWER = [f"vision_tower.encoder.layers.{layer}.{part}.weight" for layer in range(6) for part in ("q_proj", "k_proj")]


@pytest.mark.parametrize(
    "files",
    [
        whole(),
        sharded(*PARTS),
        {path: content for path, content in sharded(*PARTS).items() if path != INDEX},
        whole(names(range(4), parts=AWQ)),
        whole([f"layers.{layer}.attention.wq.weight" for layer in range(4)] + ["tok_embeddings.weight"]),
        whole([*names(range(4), at="language_model.model."), *TOWER], text_config={"num_hidden_layers": 4}),
        # The layers of a mixture of experts, the first of which is dense.
        whole([*names((), parts=()), "model.layers.0.mlp.up_proj.weight", *MOE]),
        # Layers of two kinds, told by the configuration: one kind has less than the other.
        whole([*names((0, 2)), *names((1, 3), parts=("input_layernorm.weight",))], layer_types=["a", "b"] * 2),
        whole([*names(range(5))]),  # a layer more than the model has, for drafts
        whole(FOUR[:-1], tie_word_embeddings=True),
        whole(FOUR[:-1]),
        whole([f"transformer.h.{layer}.mlp.c_fc.weight" for layer in range(4)] + ["transformer.wte.weight"]),
        # Numbered from 0, with an index: what it says counts.
        {
            "config.json": config(4),
            INDEX: index({"model-00000-of-00001.safetensors": FOUR[:5], "model-00001-of-00001.safetensors": FOUR[5:]}),
            "model-00000-of-00001.safetensors": safetensors(FOUR[:5]),
            "model-00001-of-00001.safetensors": safetensors(FOUR[5:]),
        },
        {**whole(), "model.fp16.safetensors": b"half", "consolidated.safetensors": b"", "lora/adapter.bin": b"?"},
    ],
)  # fmt: skip
def test_a_whole_checkpoint_has_no_problem(files: Files) -> None:
    assert said(files) == ()


MISSING_THIRD = sharded(*PARTS)
del MISSING_THIRD[THREE]
BROKEN: dict[str, tuple[Files, str]] = {
    "one of two files of an AWQ, no index": (
        {"config.json": config(4), FIRST: safetensors(names(range(4), parts=AWQ)[:9])},
        f"files are missing, got 1 of 2 without {SECOND}. {REMEDY}",
    ),
    "an index that names what is not there": (
        MISSING_THIRD,
        f"{INDEX} names what is not there: {THREE}. {REMEDY}",
    ),
    "a file for the image tower in a folder": (
        {"config.json": config(4), "a/x.safetensors": safetensors(FOUR), INDEX: index({"a/x.safetensors": FOUR}),
         "y.safetensors": b""},
        f"{INDEX} names what is not there: a/x.safetensors. {REMEDY}",
    ),
    "files without numbers that lack layers": (
        whole([name for name in FOUR if "layers.2" not in name and "layers.3" not in name]),
        f"layers are missing, got 2 of 4 in model.layers without 2 to 3. {REMEDY}",
    ),
    "a layer in the middle": (
        whole([name for name in FOUR if "layers.1." not in name]),
        f"layers are missing, got 3 of 4 in model.layers without 1. {REMEDY}",
    ),
    "layers of the text below another name": (
        whole([*names(range(3), at="language_model.model."), *TOWER], text_config={"num_hidden_layers": 4}),
        f"layers are missing, got 3 of 4 in language_model.model.layers without 3. {REMEDY}",
    ),
    "layers of the image tower": (
        whole([*FOUR, *(name for name in TOWER if "layers.3" not in name)]),
        f"layers are missing, got 5 of 6 in vision_tower.encoder.layers without 3. {REMEDY}",
    ),
    "half a layer": (
        whole([name for name in names(range(4), parts=AWQ) if name != "model.layers.2.mlp.down_proj.qzeros"]),
        f"model.layers.2 lacks what the other layers have: mlp.down_proj.qzeros (1 in all). {REMEDY}",
    ),
    "half a layer of two": (
        whole([name for name in names(range(2)) if name != "model.layers.1.mlp.down_proj.weight"], 2),
        f"model.layers.1 lacks what the other layers have: mlp.down_proj.weight (1 in all). {REMEDY}",
    ),
    "a layer without a single tensor that is said to be there": (
        whole(["model.embed_tokens.weight"]),
        f"layers are missing, got 0 of 4 in it without 0 to 3. {REMEDY}",
    ),
    "the embedding": (whole(FOUR[1:]), f"the token embedding is missing, got 14 other tensors. {REMEDY}"),
    "a head of its own": (
        whole(FOUR[:-1], tie_word_embeddings=False),
        f"the output head is missing, got tie_word_embeddings: false without lm_head. {REMEDY}",
    ),
    "a tensor that the index names": (
        sharded(PARTS[0], PARTS[1], PARTS[2], **{TWO: safetensors(PARTS[1][:-1])}),
        f"{TWO} lacks what {INDEX} names in it: {PARTS[1][-1]}. {REMEDY}",
    ),
    "a tensor that the index does not name": (
        sharded(PARTS[0], PARTS[1], PARTS[2], **{TWO: safetensors([*PARTS[1], "stray"])}),
        f"{TWO} holds what {INDEX} does not name in it: stray. {REMEDY}",
    ),
    "the end of a file": (
        {**whole(), "model.safetensors": whole()["model.safetensors"][:-1]},
        f"model.safetensors is not as long as its header says, got {len(whole()['model.safetensors']) - 1} bytes "
        f"where {len(whole()['model.safetensors'])} belong. {REMEDY}",
    ),
    "a configuration that is none": (
        {**whole(), "config.json": b"<html>"},
        f"config.json is not a JSON object, got b'<html>'. {REMEDY}",
    ),
    "an index that is none": ({**whole(), INDEX: b"[]"}, f"{INDEX} is not a JSON object, got b'[]'. {REMEDY}"),
    "an index without files": (
        {**whole(), INDEX: b'{"weight_map": {"a": 1}}'},
        f"{INDEX} names no files of tensors, got {{'a': 1}}. {REMEDY}",
    ),
    "weights: a pointer of LFS": (
        {**whole(), "model.safetensors": pointer(b"", 4_000_000_000)},
        f"model.safetensors is a pointer of git LFS in place of the file, got 135 bytes. {REMEDY}",
    ),
    "tokenizer: a pointer of LFS": (
        {**whole(), "tokenizer.json": pointer(b"", 10_000_000)},
        f"tokenizer.json is a pointer of git LFS in place of the file, got 133 bytes. {REMEDY}",
    ),
    "an adapter": (
        {"adapter_config.json": b"{}", "adapter_model.safetensors": b"", "config.json": config()},
        "an adapter and no model, got adapter_config.json. Take the model that it names as base_model_name_or_path.",
    ),
    "Mistral's own format": (
        {"params.json": b"{}", "consolidated.safetensors": safetensors(FOUR)},
        "no config.json, got consolidated.safetensors, which is Mistral's own format. "
        "Take a repository that has config.json and model*.safetensors as well.",
    ),
    "no configuration": (
        {"model.safetensors": safetensors(FOUR)},
        "no config.json, got model.safetensors without it. Take a repository that has it, or put it beside them.",
    ),
    "old weights": (
        {"config.json": config(), "pytorch_model-00001-of-00002.bin": b"", "pytorch_model-00002-of-00002.bin": b""},
        "no *.safetensors, got pytorch_model-00001-of-00002.bin, pytorch_model-00002-of-00002.bin. "
        "Take a commit or repository that has the same weights as safetensors.",
    ),
    "GGUF": (
        {"model-Q4_K_M.gguf": b"GGUF", "config.json": config()},
        "GGUF alone, got model-Q4_K_M.gguf. Take the repository that it was made from, or an AWQ or GPTQ of it.",
    ),
    "a pipeline for pictures": (
        {"model_index.json": b"{}", "transformer/config.json": b"{}", "transformer/a.safetensors": b""},
        "weights in folders alone, which vLLM does not read: transformer/a.safetensors. "
        "Take a repository with config.json and *.safetensors beside each other.",
    ),
    "no weights at all": (
        {"config.json": config(), "README.md": b""},
        "no *.safetensors, got 2 other files. Take a repository with config.json and *.safetensors.",
    ),
}  # fmt: skip


@pytest.mark.parametrize("missing", BROKEN)
def test_what_is_missing_is_one_sentence(missing: str, tmp_path: Path) -> None:
    files, sentence = BROKEN[missing]
    assert said(files) == (sentence,)
    for path, content in files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    assert len(examine_directory(tmp_path, REMEDY).problems) == 1, "as a directory of a host"
