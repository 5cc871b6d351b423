"""What a checkpoint's config.json says of its quantization, and whether it is served."""

import pytest

from deployment.checkpoint.exports import read_quantization
from deployment.checkpoint.quantization import Quantization, is_converted
from deployment.errors import ConfigError
from tests.support.quantization_cases import AWQ, CASES, GPTQ, LAYERS, WEIGHTS, Case

PACKED = CASES["packed"].config
MODEL = {"architectures": ["MistralForCausalLM"], "model_type": "mistral", "num_hidden_layers": LAYERS}
LAYER_NAMES = (
    *(f"model.layers.{layer}.self_attn.{part}_proj" for layer in range(LAYERS) for part in "qkvo"),
    *(f"model.layers.{layer}.mlp.{part}_proj" for layer in range(LAYERS) for part in ("gate", "up", "down")),
)


def read(case: Case) -> Quantization | None:
    if case.beside:
        return read_quantization(MODEL, case.config)
    return read_quantization({**MODEL, case.key: case.config})


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.served])
def test_what_vllm_serves_is_read_as_its_tensors_are(name: str) -> None:
    case = CASES[name]
    read_as = read(case)
    assert read_as is not None
    assert (read_as.bits, read_as.group_size) == (4, case.group)
    assert read_as.quantizes_head == case.head
    if not (read_as.method == "awq" and not read_as.not_converted):  # the tensors say it then
        kept = [name for name in LAYER_NAMES if not is_converted(name, read_as)]
        assert kept == [name for name in LAYER_NAMES if name.endswith(case.kept or ("nothing",))]


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if not case.served])
def test_what_vllm_does_not_serve_is_refused_in_sentences(name: str) -> None:
    with pytest.raises(ConfigError) as error:
        read(CASES[name])
    for problem in error.value.problems:
        assert ", got " in problem and ". Take " in problem and problem.endswith(".")


TAKE = (
    "Take a checkpoint in 4 bits as AWQ (version gemm), GPTQ (sym true, desc_act false) or compressed-tensors "
    "(pack-quantized, weights only), in groups of 32, 64 or 128; or the bfloat16 original with quantization axion_w4."
)
KV_CACHE = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}


def problems(quantization: object, **model: object) -> list[str]:
    with pytest.raises(ConfigError) as error:
        read_quantization({**MODEL, **model, "quantization_config": quantization})
    return [problem.removesuffix(f" {TAKE}") for problem in error.value.problems]


@pytest.mark.parametrize(
    ("quantization", "said"),
    [
        (
            {**AWQ, "version": "gemv"},
            ["version: vLLM reads the tensors in another layout, whatever this says, got \"gemv\"."],
        ),
        (
            {**AWQ, "backend": "llm-awq"},
            ["backend: vLLM reads the tensors in another layout, whatever this says, got \"llm-awq\"."],
        ),
        (
            {**GPTQ, "desc_act": True},
            ["desc_act: vLLM 0.32 serves no columns that were sorted by activation, got true."],
        ),
        ({**GPTQ, "sym": False}, ["sym: vLLM reads no zero points of GPTQ, got false."]),
        (
            {**GPTQ, "bits": 8, "sym": False},
            [
                "bits: our kernel has 4 bits, and for other widths vLLM has none on Arm, got 8.",
                "sym: vLLM reads no zero points of GPTQ, got false.",
            ],
        ),
        (
            {**PACKED, "kv_cache_scheme": KV_CACHE},
            ["kv_cache_scheme: attention has no 8-bit KV cache on Arm, "
             "got {\"num_bits\": 8, \"type\": \"float\", \"strategy\": \"tensor\", \"d..."],
        ),
        ({"quant_method": "fp8"}, ["quant_method: not served on Arm, got \"fp8\"."]),
        ({"quant_method": "mxfp4"}, ["quant_method: not served on Arm, got \"mxfp4\"."]),
        ({"bits": 4}, ["quant_method: not served on Arm, got nothing."]),
        (["awq"], ["quant_method: not served on Arm, got nothing."]),
    ],
)  # fmt: skip
def test_a_refusal_names_the_key_the_reason_and_what_to_take(quantization: object, said: list[str]) -> None:
    assert problems(quantization) == [f"quantization_config.{sentence}" for sentence in said]


@pytest.mark.parametrize(
    "method", ["fbgemm_fp8", "modelopt", "modelopt_fp4", "torchao", "quark", "fp_quant", "humming"]
)
def test_what_vllm_knows_and_arm_does_not_is_refused(method: str) -> None:
    assert problems({"quant_method": method}) == [
        f'quantization_config.quant_method: not served on Arm, got "{method}".'
    ]


@pytest.mark.parametrize(
    "malformed", [{"group_size": [128]}, {"modules_to_not_convert": 3}, {"modules_to_not_convert": [1]}]
)
def test_what_vllm_could_not_read_either_is_a_sentence(malformed: dict[str, object]) -> None:
    assert len(problems({**AWQ, **malformed})) == 1


@pytest.mark.parametrize("size", [2, 16, 48, 256, 768])
def test_groups_that_no_kernel_on_arm_takes_are_refused_in_one_sentence(size: int) -> None:
    """`fab plan` says it; the plug-in refuses the same while the model loads (tests/support/kernels/hooks.py)."""
    said = f"group_size: kernels are for groups of 32, 64 and 128, and for whole rows (-1), got {size}."
    assert problems({**AWQ, "group_size": size}) == [f"quantization_config.{said}"]
    assert problems({**GPTQ, "group_size": size}) == [f"quantization_config.{said}"]
    groups = {"group_0": {"targets": ["Linear"], "weights": {**WEIGHTS, "group_size": size}}}
    where = "quantization_config.config_groups.group_0.weights."
    assert problems({**PACKED, "config_groups": groups}) == [where + said]


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"invented": 1}, "invented: vLLM does not know it, got 1."),
        ({"strategy": "channel"}, 'strategy: it contradicts group_size, got "channel".'),
        ({"group_size": -1}, 'strategy: it contradicts group_size, got "group".'),
        ({"symmetric": None}, "symmetric: vLLM must be told whether there are zero points, got nothing."),
    ],
)
def test_weights_that_compressed_tensors_itself_refuses_are_refused(weights: dict[str, object], said: str) -> None:
    groups = {"group_0": {"targets": ["Linear"], "weights": {**WEIGHTS, **weights}}}
    where = "quantization_config.config_groups.group_0.weights."
    assert problems({**PACKED, "config_groups": groups}) == [where + said]


def test_a_checkpoint_without_quantization_has_none() -> None:
    for config in (MODEL, {**MODEL, "quantization_config": None}, {**MODEL, "text_config": None}):
        assert read_quantization(config) is None


def test_a_file_beside_counts_only_where_config_json_says_nothing() -> None:
    inside, alone = read_quantization({**MODEL, "quantization_config": AWQ}, GPTQ), read_quantization(MODEL, GPTQ)
    assert inside is not None and alone is not None
    assert (inside.method, inside.argument) == ("awq", None)
    assert (alone.method, alone.argument) == ("gptq", "gptq")


def test_a_file_beside_is_read_for_the_formats_that_vllm_reads_there() -> None:
    for beside, method in ((PACKED, "compressed-tensors"), ({"producer": {"name": "modelopt"}}, "modelopt")):
        with pytest.raises(ConfigError, match=f'got "{method}"'):
            read_quantization(MODEL, beside)


def test_the_text_part_of_a_model_with_pictures_may_say_it() -> None:
    config = {"model_type": "gemma3", "text_config": {"num_hidden_layers": LAYERS, "quantization_config": AWQ}}
    read_as = read_quantization(config)
    assert read_as is not None
    assert (read_as.method, read_as.group_size, read_as.has_zero_points) == ("awq", 32, True)
    wrong = {**config, "text_config": {"quantization_config": {**AWQ, "bits": 8}}}
    with pytest.raises(ConfigError, match=r"^text_config.quantization_config.bits: "):
        read_quantization(wrong)


def test_parts_of_a_fused_layer_are_named_where_they_differ() -> None:
    said = problems({**AWQ, "modules_to_not_convert": ["1.self_attn.v_proj"]})
    assert said == [
        "quantization_config: vLLM computes q_proj, k_proj and v_proj as one layer: all are quantized, or none, "
        'got "model.layers.1.self_attn.v_proj".'
    ]


def test_an_image_tower_is_left_out_by_its_names() -> None:
    read_as = read_quantization({**MODEL, "quantization_config": {**PACKED, "ignore": ["lm_head", "re:.*vision.*"]}})
    assert read_as is not None
    assert not is_converted("model.vision_tower.encoder.layers.0.mlp.fc1", read_as)
    assert is_converted("model.language_model.layers.0.mlp.up_proj", read_as)


def test_whole_names_are_compared_as_wholes() -> None:
    """compressed-tensors compares whole names, AWQ looks for parts of them."""
    for config, expected in (({**PACKED, "ignore": ["lm_head", "down_proj"]}, True),
                             ({**AWQ, "modules_to_not_convert": ["down_proj"]}, False)):  # fmt: skip
        read_as = read_quantization({**MODEL, "quantization_config": config})
        assert read_as is not None
        assert is_converted("model.layers.0.mlp.down_proj", read_as) == expected


@pytest.mark.parametrize("target", ["Embedding", "re:.*embed_tokens", "re:.*"])
def test_a_quantized_embedding_is_refused(target: str) -> None:
    group = {"targets": [target], "weights": WEIGHTS}
    assert problems({**PACKED, "config_groups": {"group_0": group}}) == [
        f'quantization_config.config_groups: an embedding in 4 bits was not tried on Arm, got "{target}".'
    ]


def test_the_first_of_gptqs_rules_counts() -> None:
    skip: dict[str, dict[str, int]] = {r"-:.*down_proj": {}}
    repeat = {r"+:.*\.1\.mlp": {"bits": 4}}
    kept = []
    for rules in ({**repeat, **skip}, {**skip, **repeat}):
        read_as = read_quantization({**MODEL, "quantization_config": {**GPTQ, "dynamic": rules}})
        assert read_as is not None
        kept.append([name for name in LAYER_NAMES if not is_converted(name, read_as)])
    assert kept == [["model.layers.0.mlp.down_proj"], ["model.layers.0.mlp.down_proj", "model.layers.1.mlp.down_proj"]]


def test_norms_and_embeddings_are_never_quantized() -> None:
    read_as = read_quantization({**MODEL, "quantization_config": AWQ})
    assert read_as is not None
    for name in ("model.embed_tokens", "model.norm", "model.layers.0.input_layernorm", "lm_head"):
        assert not is_converted(name, read_as)


def test_a_head_that_is_the_embedding_need_not_be_left_out() -> None:
    config = {**MODEL, "quantization_config": {**PACKED, "ignore": []}}
    assert problems(config["quantization_config"]) == [
        "quantization_config.ignore: vLLM reads lm_head in 16 bits unless config_groups name it, and it is not left "
        "out, got []."
    ]
    assert read_quantization({**config, "tie_word_embeddings": True}) is not None
    pictures = {"model_type": "gemma3", "text_config": {}, "quantization_config": {**PACKED, "ignore": []}}
    assert read_quantization(pictures) is not None
    whole = {**PACKED, "ignore": ["language_model.lm_head"]}
    assert read_quantization({**config, "quantization_config": whole}) is not None
