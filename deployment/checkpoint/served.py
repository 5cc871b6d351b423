"""What vLLM 0.32 with our kernels serves on Arm of each method of quantization: which values, and why not others.

The facts are vLLM 0.32.0's sources, below model_executor: layers/quantization/{auto_awq,auto_gptq}.py, inc/ and
compressed_tensors/ there, and kernels/linear/mixed_precision; and our kernel's own conditions,
kernels/python/axion_kernels/linear_w4.py. Each verdict of tests/support/quantization_cases.py is held
against real vLLM.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployment.errors import ConfigError
from deployment.problems import shown

Config = Mapping[str, Any]
WHOLE_ROWS = -1
GROUP_SIZES = (WHOLE_ROWS, 32, 64, 128)
TAKE = (
    "Take a checkpoint in 4 bits as AWQ (version gemm), GPTQ (sym true, desc_act false) or compressed-tensors "
    "(pack-quantized, weights only), in groups of 32, 64 or 128; or the bfloat16 original with quantization axion_w4"
)


@dataclass(frozen=True, slots=True)
class Row:
    """Which values of a key are served, where absence is None, and why others are not."""

    key: str
    is_served: Callable[[Any], bool]
    why: str


def one_of(*values: Any) -> Callable[[Any], bool]:
    """The value is one of these. True is not 1 here."""
    return lambda value: not isinstance(value, bool) and (value.lower() if isinstance(value, str) else value) in values


def off(value: Any) -> bool:
    return not value


def empty(key: str) -> Callable[[Any], bool]:
    """The value is a mapping that says nothing under the key, or no mapping at all."""
    return lambda value: not (value or {}).get(key)


def computed_in_16_bits(activations: Config | None) -> bool:
    """vLLM leaves these to the kernel (compressed_tensors_wNa8.py), and ours does not round activations."""
    given = {"num_bits": 8, "type": "int", "symmetric": True, "dynamic": False, "strategy": None, **(activations or {})}
    is_int = given["type"] == "int" and given["num_bits"] in (4, 8)
    is_dynamic = given["dynamic"] is True and given["symmetric"] is True and given["strategy"] in ("token", "group")
    return not activations or (is_int and is_dynamic)


BITS = Row("bits", one_of(4), "our kernel has 4 bits, and for other widths vLLM has none on Arm")
GROUPS = Row("group_size", one_of(*GROUP_SIZES), "kernels are for groups of 32, 64 and 128, and for whole rows (-1)")
LAYOUT = "vLLM reads the tensors in another layout, whatever this says"
FLOATS = "floating point has no kernel on Arm"
ACTIVATIONS = "quantized activations have no kernel of ours, and vLLM's are not part of this deployment"
AWQ = (
    BITS,
    GROUPS,
    Row("zero_point", lambda value: isinstance(value, bool), "vLLM must be told whether there are zero points"),
    Row("version", one_of(None, "gemm", "exllama", "ipex"), LAYOUT),  # the latter two compute with gemm's layout
    Row("format", one_of(None, "gemm"), LAYOUT),
    Row("backend", lambda value: value != "llm-awq", LAYOUT),
)
GPTQ = (
    BITS,
    GROUPS,
    Row("sym", lambda value: value is True, "vLLM reads no zero points of GPTQ"),
    Row("checkpoint_format", one_of(None, "gptq", "gptq_v2"), LAYOUT),  # they differ in zero points alone
    Row("format", one_of(None, "gptq", "gptq_v2"), LAYOUT),
    Row("is_marlin_format", off, LAYOUT),
    Row("pack_dtype", one_of(None, "int32"), LAYOUT),
)
AUTO_ROUND = (
    BITS,
    GROUPS,
    Row("data_type", one_of(None, "int"), FLOATS),
    Row("packing_format", one_of(None, "auto_round:auto_gptq", "auto_round:auto_awq"), LAYOUT),
    Row("backend", one_of(None, "auto", "marlin", "gptq:marlin", "awq:marlin"), "vLLM then wants a GPU's kernel"),
)
COMPRESSED = (
    Row("config_groups", bool, "vLLM must be told which layers are quantized"),
    Row("ignore", lambda value: isinstance(value, list), "vLLM expects a list"),
    Row("kv_cache_scheme", one_of(None), "attention has no 8-bit KV cache on Arm"),
    Row("sparsity_config", empty("targets"), "vLLM 0.32 has no sparse weights"),
    Row("transform_config", empty("config_groups"), "rotations of activations were not tried on Arm"),
)
GROUP = (
    Row("input_activations", computed_in_16_bits, ACTIVATIONS),
    Row("output_activations", off, ACTIVATIONS),
    Row("format", one_of("pack-quantized"), "only pack-quantized weights reach our kernel"),
)
WEIGHTS = (
    Row("num_bits", BITS.is_served, BITS.why),
    Row("type", one_of("int"), FLOATS),
    Row("symmetric", lambda value: isinstance(value, bool), "vLLM must be told whether there are zero points"),
    Row("strategy", one_of("group", "channel"), "only scales of groups or of whole rows reach our kernel"),
    GROUPS,
    Row("dynamic", off, "weights are quantized once"),
    Row("actorder", one_of(None, "weight", "static"), "vLLM 0.32 serves no columns that were sorted by activation"),
)
# compressed-tensors' QuantizationArgs: what absence means (null only means absence where the table has None), and what
# else may be said; it raises on any other key.
WEIGHTS_DEFAULTS: Config = {"num_bits": 8, "type": "int", "symmetric": True}
MORE_OF_WEIGHTS = {"block_structure", "scale_dtype", "zp_dtype", "observer", "observer_kwargs"}


def rows(table: Sequence[Row], content: Config, place: str) -> list[str]:
    """Hold values against a table: a sentence for each that is not served."""
    wrong = [row for row in table if not row.is_served(content.get(row.key))]
    return [sentence(f"{place}{row.key}", row.why, content.get(row.key)) for row in wrong]


def refuse(problems: Iterable[str]) -> None:
    """Raise ConfigError, if there is a problem."""
    if found := tuple(problems):
        raise ConfigError(found)


def sentence(where: str, what: str, got: Any) -> str:
    """Say what is not served, and what to take instead."""
    return f"{where}: {what}, got {'nothing' if got is None else shown(got)}. {TAKE}."
