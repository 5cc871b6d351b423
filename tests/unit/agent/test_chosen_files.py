"""What is downloaded of a repository: what an engine reads, once."""

import pytest

from agent.completeness import needed

FIRST, SECOND = "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"
REPOSITORY = """\
.gitattributes README.md config.json generation_config.json tokenizer.json tokenizer.model chat_template.jinja
preprocessor_config.json modeling_x.py additional_chat_templates/tool.jinja tokenizer/vocab.txt
model.safetensors model.fp16.safetensors consolidated.safetensors pytorch_model.bin model.gguf weights.npz page.png
speech-lora/adapter_config.json speech-lora/adapter_model.safetensors vision-lora/adapter_config.json
mlx-4bit/model.safetensors mlx-4bit/config.json mlx-4bit/notes/a.txt onnx/model.onnx onnx/config.json
original/params.json fp8/config.json training_args.bin"""
READ = """\
README.md additional_chat_templates/tool.jinja chat_template.jinja config.json generation_config.json
model.safetensors modeling_x.py preprocessor_config.json tokenizer.json tokenizer.model tokenizer/vocab.txt"""


def test_what_an_engine_reads_is_chosen_and_no_other_copy_of_it() -> None:
    assert needed(REPOSITORY.split(), {}) == READ.split()


@pytest.mark.parametrize(
    ("there", "chosen"),
    [
        (["model.fp16.safetensors"], ["model.fp16.safetensors"]),
        (["model-00001-of-00002.fp16.safetensors", FIRST, SECOND], [FIRST, SECOND]),
        (["model.fp16-00001-of-00002.safetensors", FIRST, SECOND], [FIRST, SECOND]),
        (["consolidated-00001-of-00002.safetensors", FIRST, SECOND], [FIRST, SECOND]),
        (["consolidated.safetensors"], ["consolidated.safetensors"]),
        (["adapter_model.safetensors", "model.safetensors"], ["model.safetensors"]),
        (["Qwen2.5-7B.safetensors", "visual.safetensors"], ["Qwen2.5-7B.safetensors", "visual.safetensors"]),
    ],
)
def test_of_several_copies_of_the_weights_one_is_chosen(there: list[str], chosen: list[str]) -> None:
    assert needed(there, {}) == chosen


def test_with_an_index_exactly_its_files_are_weights() -> None:
    there = ["model.safetensors", FIRST, SECOND, "model.extra.safetensors"]
    assert needed(there, {"a": FIRST, "b": SECOND}) == [FIRST, SECOND]
