"""Read from config.json how a checkpoint is quantized: each method's exports, as vLLM 0.32 reads them."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from deployment.checkpoint.auto_round import auto_round
from deployment.checkpoint.quantization import FUSED, Quantization, is_converted, is_named, matches
from deployment.checkpoint.served import (
    AWQ,
    COMPRESSED,
    GPTQ,
    GROUP,
    MORE_OF_WEIGHTS,
    WEIGHTS,
    WEIGHTS_DEFAULTS,
    WHOLE_ROWS,
    Config,
    refuse,
    rows,
    sentence,
)
from deployment.errors import ConfigError
from deployment.problems import joined, shown


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
        raise ConfigError([sentence(f"{place}quant_method", where, method or None)])
    try:
        quantization = reader(content, place)
        refuse([*_split(config, quantization, place), *_head(config, content, quantization, place)])
    except (AttributeError, KeyError, TypeError, ValueError, re.error) as error:
        raise ConfigError(
            [sentence(place.rstrip(".") or "quant_method", "not of the form that vLLM reads", method)]
        ) from error
    return quantization


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
    refuse(rows(AWQ, content, place))
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
    refuse([*rows(GPTQ, content, place), *_sorted_columns(content, place), *_changes(rules, content, place)])
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
        yield sentence(f"{place}desc_act", "vLLM must be told whether columns are sorted by activation", None)
    elif content["desc_act"] and content.get("group_size") != WHOLE_ROWS:  # one group has no order
        yield sentence(f"{place}desc_act", "vLLM 0.32 serves no columns that were sorted by activation", True)


def _changes(rules: Mapping[str, Config], content: Config, place: str) -> Iterator[str]:
    """GPTQ's rules for some layers may leave them in 16 bits, but not quantize them in another way."""
    for rule, changed in rules.items():
        if not rule.startswith("-:"):
            for key in ("bits", "group_size", "sym", "desc_act"):
                if key in changed and changed[key] != content.get(key):
                    where = f"{place}dynamic.{rule}.{key}"
                    yield sentence(where, f"the other layers have {shown(content.get(key))}", changed[key])


def _compressed(content: Config, place: str) -> Quantization:
    content = {"ignore": [], **content}
    problems = rows(COMPRESSED, content, place)
    kinds: dict[tuple[Any, ...], str] = {}
    targets: list[str] = []
    for name, group in (content.get("config_groups") or {}).items():
        if len(group["targets"]) == 1 and group["targets"][0].endswith("Attention"):
            continue  # it belongs to the KV cache, and vLLM leaves it out
        at = f"{place}config_groups.{name}."
        weights = _weights(group["weights"])
        in_format = {**group, "format": group.get("format") or content.get("format")}
        problems += [*rows(GROUP, in_format, at), *rows(WEIGHTS, weights, f"{at}weights.")]
        for key in weights.keys() - MORE_OF_WEIGHTS - {row.key for row in WEIGHTS}:
            problems.append(sentence(f"{at}weights.{key}", "vLLM does not know it", weights[key]))
        if (weights["strategy"] == "channel") != (weights.get("group_size") == WHOLE_ROWS):
            problems.append(sentence(f"{at}weights.strategy", "it contradicts group_size", weights["strategy"]))
        kind = (weights["num_bits"], weights.get("group_size"), weights["symmetric"])
        targets += group["targets"]
        kinds.setdefault(kind, at)
    if len(kinds) > 1:
        problems.append(sentence(f"{place}config_groups", "all layers must be quantized alike", len(kinds)))
    for target in targets:
        if target == "Embedding" or matches(target, "model.embed_tokens", "compressed-tensors"):
            problems.append(sentence(f"{place}config_groups", "an embedding in 4 bits was not tried on Arm", target))
    refuse(problems)
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
    named = any(target == "ParallelLMHead" or matches(target, "lm_head", quantization.method) for target in targets)
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
    "auto-round": auto_round,
}


def _with_head(quantization: Quantization, is_claimed: bool) -> Quantization:
    return quantization.model_copy(update={"quantizes_head": is_claimed and is_named("lm_head", quantization)})


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
                yield sentence(place.rstrip(".") or quantization.method, why, left[0])


def _head(config: Config, content: Config, quantization: Quantization, place: str) -> Iterator[str]:
    """compressed-tensors means lm_head too by the class Linear, vLLM does not: it raises where it finds it in 4 bits.

    A head that is the embedding is stored once, in 16 bits.
    """
    text = config.get("text_config") or config
    gemma_ties = "gemma3" in str(config.get("model_type"))
    is_tied = config.get("tie_word_embeddings", text.get("tie_word_embeddings", gemma_ties))
    kept = quantization.not_converted
    is_kept = any(each.endswith("lm_head") or matches(each, "lm_head", quantization.method) for each in kept)
    by_class = quantization.method == "compressed-tensors" and not quantization.converted
    if by_class and not (quantization.quantizes_head or is_tied or is_kept):
        why = "vLLM reads lm_head in 16 bits unless config_groups name it, and it is not left out"
        yield sentence(f"{place}ignore", why, content.get("ignore", []))


def _flat(names: Sequence[Any]) -> Iterator[str]:
    for name in names:
        if isinstance(name, str):
            yield name
        else:
            yield from _flat(name)
