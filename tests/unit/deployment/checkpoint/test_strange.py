"""Files that anybody may have written: whatever is in them, a sentence comes out, and soon."""

import json
import time
from typing import Any

import pytest

from agent.completeness import examine
from deployment.checkpoint.reading import differences, read_checkpoint
from deployment.errors import ConfigError
from tests.support.hollow import TINY, checkpoint, tensors_of

GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 128, "sym": True, "desc_act": False}
STRANGE: dict[str, dict[str, Any]] = {
    "a width with a fraction": {"head_dim": 64.5},
    "a window in words": {"sliding_window": "4096", "use_sliding_window": True, "max_window_layers": 0},
    "a window below nothing": {"sliding_window": -1, "use_sliding_window": True, "max_window_layers": 0},
    "a length in words": {"seq_length": "9"},
    "a length below nothing": {"seq_length": -5},
    "a rope in words": {"rope_scaling": "x"},
    "a rope of less than nothing": {"rope_scaling": {"rope_type": "linear", "factor": -2}},
    "a rope without end": {"rope_scaling": {"rope_type": "linear", "factor": 1e300}},
    "a rope of words": {"rope_scaling": {"rope_type": "linear", "factor": "4"}},
    "windows from a word on": {"use_sliding_window": True, "max_window_layers": "1"},
    "classes in a list": {"architectures": [["x"]]},
    "classes in a mapping": {"architectures": [{}]},
    "a context of thirty digits": {"max_position_embeddings": 10**30},
    "a billion layers": {"num_hidden_layers": 10**9},
    "layers as a list": {"num_hidden_layers": [2]},
    "groups that divide nothing": {"quantization_config": {**GPTQ, "group_size": -1}, "intermediate_size": 80},
    "an expression without end": {"quantization_config": {**GPTQ, "dynamic": {"-:(.*)*x": {}}}},
    "many wildcards": {"quantization_config": {**GPTQ, "dynamic": {"-:" + ".*" * 12 + "x": {}}}},
    "a broken expression": {"quantization_config": {**GPTQ, "dynamic": {"-:(": {}}}},
    "a quantization in words": {"quantization_config": "awq"},
    "a type of no use": {"torch_dtype": "float8_e4m3fn"},
}


@pytest.mark.parametrize("name", STRANGE)
def test_a_strange_configuration_is_a_sentence_within_a_second(name: str) -> None:
    text, began = json.dumps({**TINY, **STRANGE[name]}), time.monotonic()
    with pytest.raises(ConfigError) as caught:
        read_checkpoint({"config.json": text}, tensors_of(TINY))
    assert differences(checkpoint(), {"config.json": text}, "0" * 16) != []
    assert time.monotonic() - began < 1
    assert all(". " in problem and (", got " in problem or ": " in problem) for problem in caught.value.problems)


@pytest.mark.parametrize(
    ("file", "text"),
    [
        ("tokenizer_config.json", "[]"),
        ("tokenizer_config.json", "{"),
        ("tokenizer_config.json", ""),
        ("chat_template.json", '"x"'),
        ("quant_config.json", "{"),
        ("quantize_config.json", "[" * 100_000),
    ],
)
def test_a_broken_file_beside_the_configuration_says_nothing(file: str, text: str) -> None:
    texts = {"config.json": json.dumps(TINY), file: text}
    assert read_checkpoint(texts, tensors_of(TINY)).quantization is None


def test_a_configuration_with_a_byte_order_mark_is_read() -> None:
    assert read_checkpoint({"config.json": "\ufeff" + json.dumps(TINY)}, tensors_of(TINY)).shape.vocab_size == 512


@pytest.mark.parametrize(("dtype", "stored"), [(None, "bfloat16"), ("auto", "bfloat16"), ("float16", "float16")])
def test_a_type_that_is_not_said_is_that_of_the_weights(dtype: str | None, stored: str) -> None:
    config = {key: value for key, value in TINY.items() if key != "torch_dtype"} | ({"dtype": dtype} if dtype else {})
    found = read_checkpoint({"config.json": json.dumps(config)}, tensors_of(TINY))
    assert found.shape.dtype == stored


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ({"config.json": 60_000_000}, "config.json is too long to be one, got 60000000 bytes."),
        ({"model-00001-of-0009999999.safetensors": 9}, "a number of files that no checkpoint has, got 0009999999"),
    ],
)
def test_a_repository_without_measure_is_refused_at_once(sizes: dict[str, int], expected: str) -> None:
    began = time.monotonic()
    found = examine({"config.json": 2, **sizes}, lambda _path, _start, _count: b"{}", "Take another.")
    assert expected in " ".join(found.problems)
    assert time.monotonic() - began < 1
