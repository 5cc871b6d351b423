"""Decide from config.json what is quantized, how, and whether vLLM 0.32 with our kernels serves it on Arm.

The tables say which values are served, and why others are not. Their facts are vLLM 0.32.0's sources, below
model_executor: layers/quantization/{auto_awq,auto_gptq}.py, inc/ and compressed_tensors/ there, and
kernels/linear/mixed_precision; and our kernel's own conditions, kernels/python/axion_kernels/linear_w4.py.
Of tests/quantization_cases.py each verdict is held against real vLLM.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from deployment.errors import ConfigError
from deployment.frozen import Frozen
from deployment.problems import joined, shown

Config = Mapping[str, Any]

WHOLE_ROWS = -1
GROUP_SIZES = (WHOLE_ROWS, 32, 64, 128)
TAKE = (
    "Take a checkpoint in 4 bits as AWQ (version gemm), GPTQ (sym true, desc_act false) or compressed-tensors "
    "(pack-quantized, weights only), in groups of 32, 64 or 128; or the bfloat16 original with quantization axion_w4"
)
# vLLM computes these as one layer, in one precision.
FUSED = (("self_attn", ("q_proj", "k_proj", "v_proj")), ("mlp", ("gate_proj", "up_proj")))


class Quantization(Frozen):
    """What vLLM makes of a checkpoint's linear layers, all of it in layouts that our kernel packs.

    Patterns are parts of module names, for compressed-tensors whole names; or `re:` and an expression that matches from
    a name's beginning.
    """

    method: Literal["awq", "gptq", "compressed-tensors"]
    bits: int
    group_size: int
    """Weights per scale; -1 is whole rows."""
    has_zero_points: bool
    not_converted: tuple[str, ...] = ()
    converted: tuple[str, ...] = ()
    """Only these are quantized; empty is every linear layer."""
    quantizes_head: bool = False
    argument: str | None = None
    """What vLLM must be told by `quantization`, where config.json does not say it."""


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


def read_quantization(config: Config, beside: Config | None = None) -> Quantization | None:
    """Return how the checkpoint is quantized, or None for 16 and 32 bits. Raises ConfigError with every reason.

    `beside` is what quant_config.json or quantize_config.json says; it counts where config.json says nothing.
    """
    place, content = _find(config, beside)
    if not content:
        return None
    method = _method(place, content) if isinstance(content, Mapping) else ""
    reader = READERS.get(method)
    if reader is None or (not place and method not in ("awq", "gptq")):
        where = "not served on Arm" if reader is None else "vLLM reads it in config.json alone"
        raise ConfigError([_sentence(f"{place}quant_method", where, method or None)])
    try:
        quantization = reader(content, place)
        _refuse([*_split(config, quantization, place), *_head(config, content, quantization, place)])
    except (AttributeError, KeyError, TypeError, ValueError, re.error) as error:
        raise ConfigError(
            [_sentence(place.rstrip(".") or "quant_method", "not of the form that vLLM reads", method)]
        ) from error
    return quantization


def is_converted(module_name: str, quantization: Quantization) -> bool:
    """Say whether vLLM takes this linear layer, by its name in the checkpoint, as quantized.

    Of AWQ and GPTQ without lists vLLM asks each tensor's type instead: there the file is right, whatever it holds. A
    quantized head must be in it: without, vLLM 0.32 answers from memory that nobody filled (tried, with a tied head).
    """
    last = module_name.rpartition(".")[2]
    if last == "lm_head":
        return quantization.quantizes_head
    is_linear = not any(part in last for part in ("norm", "embed"))
    return is_linear and _is_named(module_name, quantization)


def _find(config: Config, beside: Config | None) -> tuple[str, Config | None]:
    """The first of the places where vLLM looks, as the beginning of its keys' names."""
    text = config.get("text_config") or {}
    for place, holder in (("", config), ("text_config.", text)):
        if holder.get("quantization_config") is not None:
            return f"{place}quantization_config.", holder["quantization_config"]
    if config.get("compression_config") is not None:
        return "compression_config.", config["compression_config"]
    return "", beside


def _method(place: str, content: Config) -> str:
    """As vLLM spells it. Files beside config.json are older than the key, and are read by the keys they have."""
    said = str(content.get("quant_method") or "").lower().replace("compressed_tensors", "compressed-tensors")
    if said or place:
        return said
    if "producer" in content:
        return "modelopt"
    return "gptq" if "desc_act" in content else "awq"


def _awq(content: Config, place: str) -> Quantization:
    # MIT's names for the same come first, as in vLLM.
    bits = content.get("w_bit", content.get("bits"))
    group_size = content.get("q_group_size", content.get("group_size"))
    content = {**content, "bits": bits, "group_size": group_size}
    _refuse(_rows(AWQ, content, place))
    kept = tuple(content.get("modules_to_not_convert") or ())
    return Quantization(
        method="awq",
        bits=bits,
        group_size=group_size,
        has_zero_points=content["zero_point"],
        not_converted=kept,
        quantizes_head=bool(content.get("lm_head")) and not any(name in "lm_head" for name in kept),
        argument=None if place else "awq",
    )


def _gptq(content: Config, place: str) -> Quantization:
    rules: Mapping[str, Config] = content.get("dynamic") or {}
    _refuse([*_rows(GPTQ, content, place), *_sorted_columns(content, place), *_changes(rules, content, place)])
    # The first rule that matches counts: one that only repeats the defaults keeps later ones from skipping a layer.
    kept, before = [], ""
    for rule in rules:
        expression = rule.removeprefix("-:").removeprefix("+:")
        if rule.startswith("-:"):
            kept.append(f"re:{before}{expression}")
        else:
            before += f"(?!{expression})"
    quantization = Quantization(
        method="gptq",
        bits=content["bits"],
        group_size=content["group_size"],
        has_zero_points=False,
        not_converted=tuple(kept),
        converted=tuple(_flat(content.get("modules_in_block_to_quantize") or [])),
        argument=None if place else "gptq",
    )
    return _with_head(quantization, bool(content.get("lm_head")))


def _sorted_columns(content: Config, place: str) -> Iterator[str]:
    if "desc_act" not in content:
        yield _sentence(f"{place}desc_act", "vLLM must be told whether columns are sorted by activation", None)
    elif content["desc_act"] and content.get("group_size") != WHOLE_ROWS:  # one group has no order
        yield _sentence(f"{place}desc_act", "vLLM 0.32 serves no columns that were sorted by activation", True)


def _changes(rules: Mapping[str, Config], content: Config, place: str) -> Iterator[str]:
    """GPTQ's rules for some layers may leave them in 16 bits, but not quantize them in another way."""
    for rule, changed in rules.items():
        if not rule.startswith("-:"):
            for key in ("bits", "group_size", "sym", "desc_act"):
                if key in changed and changed[key] != content.get(key):
                    where = f"{place}dynamic.{rule}.{key}"
                    yield _sentence(where, f"the other layers have {shown(content.get(key))}", changed[key])


def _auto_round(content: Config, place: str) -> Quantization:
    """AutoRound's own exports: GPTQ's or AWQ's tensors, and a list of exceptions by layer."""
    problems = _rows(AUTO_ROUND, content, place)
    is_awq = content.get("packing_format") == "auto_round:auto_awq"
    symmetric = content.get("sym", True)
    if bool(symmetric) == is_awq:
        why = "in this packing_format vLLM has no kernel on Arm " + ("without zero points" if is_awq else "with them")
        problems.append(_sentence(f"{place}sym", why, symmetric))
    kept, head = [], False
    for name, changed in (content.get("extra_config") or {}).items():
        bits = changed.get("bits", content.get("bits"))
        if bits >= 16:
            kept.append(_expression(name))
            continue
        head |= name.rpartition(".")[2] == "lm_head"
        for key, usual in (
            ("bits", content.get("bits")),
            ("group_size", content.get("group_size")),
            ("sym", symmetric),
        ):
            if changed.get(key, usual) != usual:
                where = f"{place}extra_config.{name}.{key}"
                problems.append(_sentence(where, f"the other layers have {shown(usual)}", changed[key]))
    _refuse(problems)
    blocks = content.get("block_name_to_quantize") or content.get("to_quant_block_names") or []
    return Quantization(
        method="awq" if is_awq else "gptq",
        bits=content["bits"],
        group_size=content["group_size"],
        has_zero_points=is_awq,
        not_converted=tuple(kept),
        converted=tuple(f"re:{re.escape(name)}" for name in (blocks.split(",") if isinstance(blocks, str) else blocks)),
        quantizes_head=head,
    )


def _expression(name: str) -> str:
    """AutoRound's name of a layer: an end of the name, or an expression that may match anywhere in it."""
    is_expression = any(sign in name for sign in r"*+?^$()[]{}|\\")
    return f"re:.*(?:{name})" if is_expression else rf"re:(?:.*\.)?{re.escape(name)}$"


def _compressed(content: Config, place: str) -> Quantization:
    content = {"ignore": [], **content}
    problems = _rows(COMPRESSED, content, place)
    kinds: dict[tuple[Any, ...], str] = {}
    targets: list[str] = []
    for name, group in (content.get("config_groups") or {}).items():
        if len(group["targets"]) == 1 and group["targets"][0].endswith("Attention"):
            continue  # it belongs to the KV cache, and vLLM leaves it out
        at = f"{place}config_groups.{name}."
        weights = _weights(group["weights"])
        in_format = {**group, "format": group.get("format") or content.get("format")}
        problems += [*_rows(GROUP, in_format, at), *_rows(WEIGHTS, weights, f"{at}weights.")]
        for key in weights.keys() - MORE_OF_WEIGHTS - {row.key for row in WEIGHTS}:
            problems.append(_sentence(f"{at}weights.{key}", "vLLM does not know it", weights[key]))
        if (weights["strategy"] == "channel") != (weights.get("group_size") == WHOLE_ROWS):
            problems.append(_sentence(f"{at}weights.strategy", "it contradicts group_size", weights["strategy"]))
        kind = (weights["num_bits"], weights.get("group_size"), weights["symmetric"])
        targets += group["targets"]
        kinds.setdefault(kind, at)
    if len(kinds) > 1:
        problems.append(_sentence(f"{place}config_groups", "all layers must be quantized alike", len(kinds)))
    for target in targets:
        if target == "Embedding" or _matches(target, "model.embed_tokens", "compressed-tensors"):
            problems.append(_sentence(f"{place}config_groups", "an embedding in 4 bits was not tried on Arm", target))
    _refuse(problems)
    ((bits, group_size, symmetric),) = kinds
    quantization = Quantization(
        method="compressed-tensors",
        bits=bits,
        group_size=group_size,
        has_zero_points=not symmetric,
        not_converted=tuple(content["ignore"]),
        converted=() if "Linear" in targets else tuple(targets),
    )
    # The head is no Linear to vLLM.
    named = any(target == "ParallelLMHead" or _matches(target, "lm_head", quantization.method) for target in targets)
    return _with_head(quantization, named)


def _weights(given: Config) -> Config:
    """With what compressed-tensors' QuantizationArgs adds; `-1` is its word for no groups too."""
    weights = {**WEIGHTS_DEFAULTS, **given}
    size = weights.get("group_size")
    inferred = "tensor" if size is None else "channel" if size == WHOLE_ROWS else "group"
    weights["strategy"] = weights.get("strategy") or inferred
    if weights["strategy"] == "channel" and size is None:
        weights["group_size"] = WHOLE_ROWS
    weights["actorder"] = None if weights.get("actorder") is False else weights.get("actorder")
    return weights


READERS: Mapping[str, Callable[[Config, str], Quantization]] = {
    "awq": _awq,
    "gptq": _gptq,
    "compressed-tensors": _compressed,
    "auto-round": _auto_round,
}


def _with_head(quantization: Quantization, is_claimed: bool) -> Quantization:
    return quantization.model_copy(update={"quantizes_head": is_claimed and _is_named("lm_head", quantization)})


def _is_named(module_name: str, quantization: Quantization) -> bool:
    def any_of(patterns: tuple[str, ...]) -> bool:
        return any(_matches(pattern, module_name, quantization.method) for pattern in patterns)

    return (not quantization.converted or any_of(quantization.converted)) and not any_of(quantization.not_converted)


def _matches(pattern: str, module_name: str, method: str) -> bool:
    if pattern.startswith("re:"):
        return re.match(pattern.removeprefix("re:"), module_name) is not None
    return pattern == module_name if method == "compressed-tensors" else pattern in module_name


def _split(config: Config, quantization: Quantization, place: str) -> Iterator[str]:
    """Layers that vLLM fuses, of which only a part is quantized."""
    text = config.get("text_config")
    layers = "language_model.model.layers" if text else "model.layers"
    for layer in range((text or config).get("num_hidden_layers") or 0):
        for block, parts in FUSED:
            names = [f"{layers}.{layer}.{block}.{part}" for part in parts]
            left = [name for name in names if not is_converted(name, quantization)]
            if left and left != names:
                why = f"vLLM computes {joined(parts)} as one layer: all are quantized, or none"
                yield _sentence(place.rstrip(".") or quantization.method, why, left[0])


def _head(config: Config, content: Config, quantization: Quantization, place: str) -> Iterator[str]:
    """compressed-tensors means lm_head too by the class Linear, vLLM does not: it raises where it finds it in 4 bits.

    A head that is the embedding is stored once, in 16 bits.
    """
    text = config.get("text_config") or config
    gemma_ties = "gemma3" in str(config.get("model_type"))
    is_tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", gemma_ties))
    kept = quantization.not_converted
    is_kept = any(each.endswith("lm_head") or _matches(each, "lm_head", quantization.method) for each in kept)
    by_class = quantization.method == "compressed-tensors" and not quantization.converted
    if by_class and not (quantization.quantizes_head or is_tied or is_kept):
        why = "vLLM reads lm_head in 16 bits unless config_groups name it, and it is not left out"
        yield _sentence(f"{place}ignore", why, content.get("ignore", []))


def _rows(rows: Sequence[Row], content: Config, place: str) -> list[str]:
    wrong = [row for row in rows if not row.is_served(content.get(row.key))]
    return [_sentence(f"{place}{row.key}", row.why, content.get(row.key)) for row in wrong]


def _refuse(problems: Iterable[str]) -> None:
    if found := tuple(problems):
        raise ConfigError(found)


def _sentence(where: str, what: str, got: Any) -> str:
    return f"{where}: {what}, got {'nothing' if got is None else shown(got)}. {TAKE}."


def _flat(names: Sequence[Any]) -> Iterator[str]:
    for name in names:
        if isinstance(name, str):
            yield name
        else:
            yield from _flat(name)
