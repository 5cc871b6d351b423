"""Read one checkpoint's facts from its configuration and its tensors, or say every reason why it cannot be served."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from pydantic import ValidationError

from deployment.checkpoint.context import config_problems, context, hf_overrides, long_from
from deployment.checkpoint.exports import read_quantization
from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.families import defaults_for
from deployment.checkpoint.quantization import Quantization
from deployment.checkpoint.shape import LONGEST_CONTEXT, Shape, read_shape, shape_problems
from deployment.checkpoint.stored import stored_problems, type_problems
from deployment.checkpoint.tensors import Tensor, tensor_problems, weigh
from deployment.errors import ConfigError
from deployment.problems import shown

CONFIG, BESIDE = "config.json", ("quant_config.json", "quantize_config.json", "hf_quant_config.json")


def read_checkpoint(texts: Mapping[str, str], tensors: Mapping[str, Tensor], digest: str | None = None) -> Checkpoint:
    """Read the facts from config.json and its like, and from the tensors, whose `digest` is kept.

    Raises ConfigError with every reason why this checkpoint is not served.
    """
    with _strange_files_refused():
        shape, quantization, config = _described(texts, _plain_type(tensors))
        # In this order, and the first alone: what is of another type is also of another size.
        problems = [*tensor_problems(tensors, quantization)] or [*type_problems(tensors)]
        if problems := problems or [*stored_problems(tensors, shape, quantization)]:
            raise ConfigError(problems)
        return Checkpoint(
            shape=shape,
            quantization=quantization,
            tensors=weigh(tensors, quantization, is_tied=shape.tie_word_embeddings, digest=digest),
            hf_overrides=hf_overrides(config),
            long_from=long_from(config),
            parsers=defaults_for(shape.architecture, _chat_template(texts)),
        )


def differences(locked: Checkpoint, texts: Mapping[str, str], digest: str) -> list[str]:
    """Say where a checkpoint is another one than the locked facts were read from; empty where they agree."""
    try:
        with _strange_files_refused():
            shape, quantization, _ = _described(texts, locked.shape.dtype)
    except ConfigError as error:
        return list(error.problems)
    found: list[str] = []
    for prefix, ours, theirs in (("", locked.shape, shape), ("quantization.", locked.quantization, quantization)):
        before, now = (each.model_dump() if each else {} for each in (ours, theirs))
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        found += [f"{prefix}{key} {shown(now.get(key))} where {shown(before.get(key))} is locked" for key in keys]
    if not found and locked.tensors.digest not in (None, digest):
        found.append(f"tensors {digest} where {locked.tensors.digest} are locked")
    return found


def _described(texts: Mapping[str, str], plain_type: str) -> tuple[Shape, Quantization | None, Mapping[str, Any]]:
    """What the configuration says. `plain_type` is that of the weights, where it does not."""
    config, beside = _configs(texts)
    if problems := [*shape_problems(config)] or served_problems(config, beside):
        raise ConfigError(problems)
    longest = context(config)
    if not 0 < longest <= LONGEST_CONTEXT:
        raise ValueError(f"a context of {longest:.3g} tokens")
    return read_shape(config, longest, plain_type), read_quantization(config, beside), config


@contextmanager
def _strange_files_refused() -> Iterator[None]:
    """Have a sentence for what nobody foresaw in files that anybody may have written."""
    try:
        yield
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError, re.error) as error:
        said = str(error).strip().splitlines() or [type(error).__name__]
        got = ": ".join(said[1:3]) if isinstance(error, ValidationError) else said[0]
        raise ConfigError(
            [f"config.json: not of the form that its class reads, got {got[:200]}. Take another export of the model."]
        ) from None


def _plain_type(tensors: Mapping[str, Tensor]) -> str:
    """The type of most weights that are not quantized, by transformers' name: vLLM asks the files as well."""
    counted: Counter[str] = Counter()
    for tensor in tensors.values():
        counted[TYPES.get(tensor.dtype, "")] += tensor.elements
    del counted[""]
    return counted.most_common(1)[0][0] if counted else "bfloat16"


TYPES = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def served_problems(config: Mapping[str, Any], beside: Mapping[str, Any] | None) -> list[str]:
    """Say why vLLM with our kernels does not serve a configuration on Arm."""
    try:
        read_quantization(config, beside)
    except ConfigError as error:
        return [*config_problems(config), *error.problems]
    return config_problems(config)


def _chat_template(texts: Mapping[str, str]) -> str | None:
    """The text of the chat template: a file of its own, or a key of the tokenizer's."""
    if "chat_template.jinja" in texts:
        return texts["chat_template.jinja"]
    for name in ("chat_template.json", "tokenizer_config.json"):
        said = _object(texts.get(name, "{}")).get("chat_template")
        if said is not None:
            return said if isinstance(said, str) else json.dumps(said)
    return None


def _configs(texts: Mapping[str, str]) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """config.json, and the first of the files beside it in which exports keep their quantization."""
    beside = (_object(texts[name]) for name in BESIDE if name in texts)
    return _object(texts[CONFIG]), next((each for each in beside if each), None)


def _object(text: str) -> Mapping[str, Any]:
    """A JSON object; an empty one where a text is none."""
    try:
        value = json.loads(text.removeprefix("\ufeff"))
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
