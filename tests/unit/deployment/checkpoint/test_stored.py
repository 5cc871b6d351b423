"""Tensors that are not those of which the configuration speaks: vLLM would die of them, or answer nonsense."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from deployment.checkpoint.reading import read_checkpoint
from deployment.checkpoint.tensors import Tensor
from deployment.errors import ConfigError
from tests.support.hollow import TINY, tensors_of
from tests.support.published import AWQ

Tensors = dict[str, Tensor]
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "sym": True, "desc_act": False}
UNTIED = {**TINY, "tie_word_embeddings": False}


def said(config: dict[str, Any], tensors: Tensors) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        read_checkpoint({"config.json": json.dumps(config)}, tensors)
    return list(caught.value.problems)


def without(end: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: each for name, each in tensors.items() if not name.endswith(end)}


@pytest.mark.parametrize(
    ("config", "bend", "expected"),
    [
        (TINY, without("o_proj.weight"), "missing: model.layers.0.self_attn.o_proj, model.layers.1.self_attn.o_proj."),
        (TINY, without("model.norm.weight"), "tensors that each layer needs are missing: norm."),
        (TINY, without("embed_tokens.weight"), "missing: embed_tokens."),
        (TINY, without("1.input_layernorm.weight"), "missing: model.layers.1.input_layernorm."),
        (UNTIED, without("lm_head.weight"), "missing: lm_head."),
        (
            {**TINY, "quantization_config": {**AWQ, "group_size": 32}},
            without("scales"),
            "missing: model",
        ),
        (
            {**TINY, "quantization_config": {**AWQ, "group_size": 32}},
            without("qzeros"),
            "missing: model",
        ),
    ],
)
def test_what_every_layer_needs_is_there(
    config: dict[str, Any], bend: Callable[[Tensors], Tensors], expected: str
) -> None:
    (problem,) = said(config, bend(tensors_of(config)))
    assert expected in problem


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        (
            {"hidden_size": 128},
            "model.layers.0.self_attn.q_proj: 64 outputs of 128 inputs by config.json, got 64 of",
        ),
        ({"vocab_size": 600}, "model.embed_tokens: 600 outputs of 64 inputs by config.json, got 512 of 64."),
        ({"intermediate_size": 96}, "model.layers.0.mlp.gate_proj: 96 outputs of 64 inputs by config.json, got 128 of"),
        ({"num_key_value_heads": 2}, "model.layers.0.self_attn.k_proj: 64 outputs of 64 inputs by config.json, got 32"),
    ],
)
def test_sizes_are_those_of_the_configuration(changes: dict[str, Any], expected: str) -> None:
    (problem,) = said({**TINY, **changes}, tensors_of(TINY))
    assert problem.startswith(expected)


def plain(config: dict[str, Any], part: str) -> Tensors:
    """The tensors of a quantized checkpoint in which one layer's part was left in 16 bits."""
    ours = {**config, "quantization_config": {**config["quantization_config"], "modules_to_not_convert": [part]}}
    return tensors_of(ours)


def test_a_layer_that_vllm_fuses_is_not_quantized_in_part() -> None:
    config = {**TINY, "quantization_config": {**AWQ, "group_size": 32, "modules_to_not_convert": None}}
    (problem,) = said(config, plain(config, "layers.1.mlp.gate_proj"))
    assert problem.startswith(
        "layers that vLLM computes as one are quantized in part, got model.layers.1.mlp.gate_proj"
    )


def test_a_layer_that_awq_left_out_without_saying_so_is_served() -> None:
    """vLLM asks the tensors where there is no list."""
    config = {**TINY, "quantization_config": {**AWQ, "group_size": 32, "modules_to_not_convert": None}}
    found = read_checkpoint({"config.json": json.dumps(config)}, plain(config, "mlp.down_proj"))
    assert found.tensors.parts["linear"].parameters == 73_728


def test_a_promised_head_that_is_not_packed_is_refused() -> None:
    config = {**UNTIED, "quantization_config": {**GPTQ, "lm_head": True}}
    stored = tensors_of({**UNTIED, "quantization_config": GPTQ})
    assert "the output head is 4-bit, but lm_head is not packed." in said(config, stored)[0]


def test_weights_in_8_bits_without_a_word_about_them_are_refused() -> None:
    eight = {
        name: Tensor("F8_E4M3", each.shape) if name.endswith("proj.weight") else each
        for name, each in tensors_of(TINY).items()
    }
    assert said(TINY, eight) == [
        "weights that no engine here computes with as they are, got F8_E4M3. Take another export of the model, in "
        "bfloat16."
    ]


def test_a_quantization_beside_the_configuration_is_read_wherever_it_is() -> None:
    texts = {"config.json": json.dumps(TINY), "hf_quant_config.json": '{"producer": {"name": "modelopt"}}'}
    with pytest.raises(ConfigError, match="quant_method: not served on Arm, got"):
        read_checkpoint(texts, tensors_of(TINY))
