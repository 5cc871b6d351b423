"""What tensors weigh: in files, as published, and in the memory of an engine."""

import copy
import json
from typing import Any

import pytest

from deployment.checkpoint.reading import read_checkpoint
from deployment.checkpoint.tensors import Tensor, packed_bytes
from deployment.errors import ConfigError
from tests.support.hollow import TINY, checkpoint, shard_header, tensors_of
from tests.support.published import AWQ, CONFIGS

QWEN = CONFIGS["qwen_coder"]


def test_phi_4_minis_files_are_as_long_as_published() -> None:
    """Two shards of 7,672,066,216 bytes: the tensors of this configuration, and headers of 22.7 kB."""
    tensors = tensors_of(CONFIGS["phi4_fast"])
    assert sum(tensor.size for tensor in tensors.values()) == 7_672_043_520
    assert pytest.approx(len(shard_header(tensors)), rel=0.1) == 7_672_066_216 - 7_672_043_520


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("phi4_fast", 3_836_021_760),
        ("qwen_coder", 7_615_616_512),
        ("mistral_balanced", 7_248_023_552),
        ("gemma3_multimodal", 27_432_406_640),
    ],
)
def test_the_four_models_have_as_many_parameters_as_published(name: str, parameters: int) -> None:
    assert sum(part.parameters for part in checkpoint(CONFIGS[name]).tensors.parts.values()) == parameters


def test_groups_of_32_are_held_with_a_word_each() -> None:
    """Gemma 3 27B: 25.6 billion packed weights are 16.0 GB in memory, where its files hold 14.8."""
    tensors = checkpoint(CONFIGS["gemma3_multimodal"]).tensors
    assert dict(tensors.int4) == {32: 25_598_361_600}
    assert packed_bytes(25_598_361_600, 32) == 15_998_976_000
    assert tensors.parts["linear"].size == 14_799_052_800


def test_an_image_tower_is_counted_from_its_tensors() -> None:
    assert checkpoint(CONFIGS["gemma3_multimodal"]).tensors.parts["image_tower"].parameters == 423_060_336


def test_layers_that_were_left_out_of_quantization_are_counted_in_16_bits() -> None:
    left = copy.deepcopy(QWEN)
    left["quantization_config"]["modules_to_not_convert"] = ["down_proj"]
    assert checkpoint(QWEN).tensors.size / 1e9 == pytest.approx(5.57, abs=0.005)
    assert checkpoint(left).tensors.size / 1e9 == pytest.approx(8.39, abs=0.005)
    assert checkpoint(left).tensors.loaded_bytes(2) / 1e9 == pytest.approx(8.44, abs=0.005)


def test_online_int4_packs_what_a_group_divides_and_leaves_the_rest() -> None:
    phi = checkpoint(CONFIGS["phi4_fast"]).tensors
    assert dict(phi.convertible) == {128: 3_221_225_472}
    assert phi.loaded_bytes(2, is_online_int4=True) == 3_221_225_472 // 128 * 68 + 2 * (614_596_608 + 199_680)
    odd = checkpoint(intermediate_size=80).tensors  # down_proj has 80 inputs: no group divides that
    assert dict(odd.convertible) == {64: 2 * (64 * (64 + 32 + 32 + 80 + 80) + 64 * 64)}


def test_an_image_tower_stays_in_16_bits_with_online_int4() -> None:
    tower = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "image_size": 28}
    plain = {**TINY, "architectures": ["Gemma3ForConditionalGeneration"], "sliding_window": 512}
    with_tower = checkpoint({**plain, "vision_config": tower}).tensors
    assert dict(with_tower.convertible) == dict(checkpoint(plain).tensors.convertible)


def test_a_head_that_is_the_embedding_is_counted_once_even_where_files_repeat_it() -> None:
    repeated = {**tensors_of(TINY), "lm_head.weight": Tensor("BF16", (512, 64))}
    assert read_checkpoint({"config.json": json.dumps(TINY)}, repeated).tensors.loaded_bytes(
        2
    ) == checkpoint().tensors.loaded_bytes(2)


def test_weights_take_the_engines_own_type() -> None:
    half = checkpoint(torch_dtype="float32").tensors
    assert half.size == 2 * half.loaded_bytes(2) == half.loaded_bytes(4)


def quantized(**changes: Any) -> dict[str, Any]:
    return {**TINY, "hidden_size": 128, "head_dim": 64, "quantization_config": {**AWQ, **changes}}


@pytest.mark.parametrize(
    ("config", "tensors", "sentence"),
    [
        (TINY, tensors_of(quantized()), "4-bit tensors, but config.json has no quantization_config, got model.layers"),
        (quantized(), tensors_of(TINY), "config.json says awq, but no layer is packed: none has qweight."),
        (quantized(group_size=64), tensors_of(quantized()), "groups of 64 by config.json, got 128 by its tensors."),
        (
            quantized(modules_to_not_convert=["mlp"]),
            tensors_of(quantized()),
            "4-bit tensors of layers that config.json leaves out, got model.layers.0.mlp.down_proj, ",
        ),
        (
            quantized(lm_head=True),
            tensors_of(quantized()),
            "config.json says that the output head is 4-bit, but lm_head is not packed.",
        ),
        (TINY, {"model.norm.weight": Tensor("F4", (64,))}, "tensors of a type that no engine here loads, got F4."),
    ],
)
def test_tensors_that_contradict_the_configuration_are_a_sentence(
    config: dict[str, Any], tensors: dict[str, Tensor], sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        read_checkpoint({"config.json": json.dumps(config)}, tensors)
    assert len(caught.value.problems) == 1
    assert sentence in caught.value.problems[0]
