"""Quantizations that people publish, and whether vLLM with the plug-in serves them where only our kernel is compiled.

The unit tests ask `deployment.checkpoint.exports`, the tests marked `kernels` ask vLLM itself: a verdict here that
either does not share fails.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

LAYERS = 2


@dataclass(frozen=True, kw_only=True)
class Case:
    """A tiny Mistral checkpoint: what its configuration says, and how its tensors are written."""

    config: Mapping[str, Any]
    tensors: str  # a layout in tests/support/kernels/quantizations.py
    served: bool
    group: int = 32  # weights per scale in the tensors; -1 is whole rows
    symmetric: bool = False
    kept: tuple[str, ...] = ()  # ends of the names of layers that stay in bfloat16
    head: bool = False  # the output head is quantized too
    beside: str | None = None  # the file that holds the configuration, where config.json has none
    key: str = "quantization_config"
    options: Mapping[str, Any] = field(default_factory=dict)  # further arguments of LLM


AWQ = {"quant_method": "awq", "bits": 4, "group_size": 32, "zero_point": True, "version": "gemm"}
GPTQ = {"quant_method": "gptq", "bits": 4, "group_size": 32, "desc_act": False, "sym": True}
AUTO_ROUND = {
    "quant_method": "auto-round", "bits": 4, "group_size": 32, "sym": True, "data_type": "int",
    "packing_format": "auto_round:auto_gptq",
}  # fmt: skip
WEIGHTS = {"num_bits": 4, "type": "int", "symmetric": True, "strategy": "group", "group_size": 32}


def without(config: Mapping[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key not in keys}


def awq(served: bool, *, changed: Mapping[str, Any] | None = None, **fields: Any) -> Case:
    return Case(config=fields.pop("config", {**AWQ, **(changed or {})}), tensors="awq", served=served, **fields)


def gptq(served: bool, *, changed: Mapping[str, Any] | None = None, **fields: Any) -> Case:
    layout = {"tensors": "gptq", "symmetric": True, **fields}
    return Case(config=layout.pop("config", {**GPTQ, **(changed or {})}), served=served, **layout)


def packed(served: bool, *weights: Mapping[str, Any], changed: Mapping[str, Any] | None = None, **fields: Any) -> Case:
    """compressed-tensors: a group for each set of weights; the first takes all layers, later ones what they name."""
    groups = {
        f"group_{at}": {
            "targets": given.get("targets", ["Linear"]),
            "weights": {**WEIGHTS, **without(given, "targets")},
        }
        for at, given in enumerate(weights or ({},))
    }
    config = {
        "quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": groups,
        "ignore": ["lm_head"], **(changed or {}),
    }  # fmt: skip
    return Case(config=config, served=served, **{"tensors": "compressed", "symmetric": True, **fields})


def auto_round(served: bool, *, changed: Mapping[str, Any] | None = None, **fields: Any) -> Case:
    layout = {"tensors": "gptq", "symmetric": True, **fields}
    return Case(config={**AUTO_ROUND, **(changed or {})}, served=served, **layout)


def activations(served: bool, **arguments: Any) -> Case:
    """Weights in 4 bits, as ever, whose inputs are quantized too."""
    group = {"targets": ["Linear"], "weights": WEIGHTS, "input_activations": {"num_bits": 8, **arguments}}
    return packed(served, changed={"config_groups": {"group_0": group}})


BY_AWQ = {"packing_format": "auto_round:auto_awq"}
MIT = {"w_bit": 4, "q_group_size": 64, "zero_point": True, "version": "GEMM"}
UNKNOWN = ("bitsandbytes", "hqq", "aqlm", "exl2", "vptq", "quip", "gguf", "quanto", "eetq", "spqr", "bitnet")
HEAD = {"targets": ["re:.*lm_head"]}
GIVEN_AWQ, GIVEN_GPTQ = {"quantization": "awq"}, {"quantization": "gptq"}

CASES: Mapping[str, Case] = {
    "awq": awq(True),
    "awq, group 64": awq(True, changed={"group_size": 64}, group=64),
    "awq, whole rows": awq(True, changed={"group_size": -1}, group=-1),
    "awq, group 16": awq(False, changed={"group_size": 16}, group=16),
    "awq, MIT's keys": awq(True, config={"quant_method": "awq", **MIT}, group=64),
    "awq, MIT's keys in quant_config.json": awq(
        True, config=MIT, group=64, beside="quant_config.json", options=GIVEN_AWQ
    ),
    "awq, in quantize_config.json": awq(True, beside="quantize_config.json", options=GIVEN_AWQ),
    "awq, left out": awq(True, changed={"modules_to_not_convert": ["down_proj"]}, kept=("down_proj",)),
    "awq, a list of null": awq(True, changed={"modules_to_not_convert": None}),
    "awq, left out without a list": awq(True, kept=("1.mlp.down_proj",)),
    "awq, one of three": awq(False, changed={"modules_to_not_convert": ["q_proj"]}, kept=("q_proj",)),
    "awq, head": awq(True, changed={"lm_head": True}, head=True),
    "awq, no zero points": awq(True, changed={"zero_point": False}, symmetric=True),
    "awq, zero_point not said": awq(False, config=without(AWQ, "zero_point")),
    "awq, bits not said": awq(False, config=without(AWQ, "bits")),
    "awq, 8 bits": awq(False, changed={"bits": 8}),
    "gptq": gptq(True),
    "gptq, whole rows": gptq(True, changed={"group_size": -1}, group=-1),
    "gptq, group 16": gptq(False, changed={"group_size": 16}, group=16),
    "gptq, second format": gptq(True, changed={"checkpoint_format": "gptq_v2"}, tensors="gptq_v2"),
    "gptq, Marlin's format": gptq(False, changed={"checkpoint_format": "marlin"}, tensors="marlin"),
    "gptq, activation order": gptq(False, changed={"desc_act": True}),
    "gptq, static activation order": gptq(False, changed={"desc_act": True, "static_groups": True}),
    "gptq, activation order of whole rows": gptq(True, changed={"desc_act": True, "group_size": -1}, group=-1),
    "gptq, desc_act null": gptq(True, changed={"desc_act": None}),
    "gptq, desc_act not said": gptq(False, config=without(GPTQ, "desc_act")),
    "gptq, asymmetric": gptq(False, changed={"sym": False}, symmetric=False),
    "gptq, sym not said": gptq(False, config=without(GPTQ, "sym")),
    "gptq, group_size null": gptq(False, changed={"group_size": None}),
    "gptq, 8 bits": gptq(False, changed={"bits": 8}),
    "gptq, 3 bits": gptq(False, changed={"bits": 3}),
    "gptq, head": gptq(True, changed={"lm_head": True}, head=True),
    "gptq, left out": gptq(True, changed={"dynamic": {r"-:.*\.down_proj": {}}}, kept=("down_proj",)),
    "gptq, a rule that changes nothing": gptq(True, changed={"dynamic": {r"+:.*\.down_proj": {"bits": 4}}}),
    "gptq, mixed bits": gptq(False, changed={"dynamic": {r"+:.*\.down_proj": {"bits": 8}}}),
    "gptq, named": gptq(
        True, changed={"modules_in_block_to_quantize": [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"]]},
        kept=("o_proj", "gate_proj", "up_proj", "down_proj"),
    ),
    "gptq, in quantize_config.json": gptq(
        True, config=without(GPTQ, "quant_method"), beside="quantize_config.json", options=GIVEN_GPTQ
    ),
    "packed": packed(True),
    "packed, whole rows": packed(True, {"strategy": "channel", "group_size": None}, group=-1),
    "packed, whole rows by number": packed(True, {"strategy": None, "group_size": -1}, group=-1),
    "packed, strategy not said": packed(True, {"strategy": None}),
    "packed, group 16": packed(False, {"group_size": 16}, group=16),
    "packed, asymmetric": packed(True, {"symmetric": False}, tensors="compressed_zeros", symmetric=False),
    "packed, ordered by weight": packed(True, {"actorder": "weight"}),
    "packed, ordered statically": packed(True, {"actorder": "static"}),
    "packed, ordered by group": packed(False, {"actorder": "group"}),
    "packed, ordered dynamically": packed(False, {"actorder": "dynamic"}),
    "packed, ordered true": packed(False, {"actorder": True}),
    "packed, 8 bits": packed(False, {"num_bits": 8, "group_size": 128}),
    "packed, a tensor a scale": packed(False, {"strategy": "tensor", "group_size": None}),
    "packed, left out": packed(True, changed={"ignore": ["lm_head", "re:.*down_proj"]}, kept=("down_proj",)),
    "packed, named": packed(
        True, {"targets": ["re:.*self_attn.*"]}, kept=("gate_proj", "up_proj", "down_proj"),
    ),
    "packed, one of two": packed(False, changed={"ignore": ["re:.*up_proj"]}, kept=("up_proj",)),
    "packed, head by class": packed(False, changed={"ignore": []}, head=True),
    "packed, head by name": packed(True, {}, HEAD, changed={"ignore": []}, head=True),
    "packed, two equal groups": packed(True, {"targets": ["re:.*self_attn.*"]}, {"targets": ["re:.*mlp.*"]}),
    "packed, mixed bits": packed(False, {"targets": ["re:.*self_attn.*"]}, {"targets": ["re:.*mlp.*"], "num_bits": 8}),
    "packed, empty leftovers": packed(
        True, changed={"sparsity_config": {}, "transform_config": {}, "kv_cache_scheme": None}
    ),
    "packed, sparse": packed(
        False, changed={"sparsity_config": {"format": "sparse-24-bitmask", "targets": ["Linear"], "ignore": []}}
    ),
    "packed, Marlin's sparse format": packed(False, changed={"format": "marlin-24"}),
    "packed, ints": packed(False, changed={"format": "int-quantized"}),
    "packed, floats": packed(False, {"type": "float"}, changed={"format": "float-quantized"}),
    "packed, mixed formats": packed(False, changed={"format": "mixed-precision"}),
    "packed, activations by token": activations(True, strategy="token", dynamic=True, symmetric=True),
    "packed, activations in 4 bits": activations(True, num_bits=4, strategy="token", dynamic=True),
    "packed, activations with zero points": activations(False, strategy="token", dynamic=True, symmetric=False),
    "packed, activations with fixed scales": activations(False, strategy="tensor"),
    "packed, activations in floats": activations(False, type="float", strategy="token", dynamic=True),
    "packed, under its old key": packed(True, key="compression_config"),
    "packed, spelt with _": packed(True, changed={"quant_method": "compressed_tensors"}),
    "packed, in capitals": packed(True, changed={"quant_method": "Compressed-Tensors"}),
    "auto-round": auto_round(True),
    "auto-round, format not said": Case(
        config=without(AUTO_ROUND, "packing_format"), tensors="gptq", symmetric=True, served=True
    ),
    "auto-round, asymmetric": auto_round(False, changed={"sym": False}, symmetric=False),
    "auto-round, 8 bits": auto_round(False, changed={"bits": 8}),
    "auto-round, left out": auto_round(
        True,
        changed={"extra_config": {f"model.layers.{at}.mlp.down_proj": {"bits": 16} for at in range(LAYERS)}},
        kept=("down_proj",),
    ),
    "auto-round, left out by pattern": auto_round(
        True, changed={"extra_config": {r".*mlp\.down.*": {"bits": 16, "data_type": "float"}}}, kept=("down_proj",)
    ),
    "auto-round, mixed bits": auto_round(False, changed={"extra_config": {r".*mlp\.down.*": {"bits": 8}}}),
    "auto-round, blocks": auto_round(True, changed={"block_name_to_quantize": "model.layers"}),
    "auto-round, backend gptq": auto_round(False, changed={"backend": "gptq"}),
    "auto-round, own format": auto_round(False, changed={"packing_format": "auto_round:exllamav2"}),
    "auto-round, as awq": auto_round(True, changed={**BY_AWQ, "sym": False}, tensors="awq", symmetric=False),
    "auto-round, as awq, symmetric": auto_round(False, changed=BY_AWQ, tensors="awq"),
    **{
        f"{method}, which vLLM does not know": Case(
            config={"quant_method": method, "bits": 4}, tensors="awq", served=False
        )
        for method in UNKNOWN
    },
    "no method": Case(config=without(AWQ, "quant_method"), tensors="awq", served=False),
}  # fmt: skip
