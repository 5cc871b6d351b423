"""One checkpoint's facts, from its configuration and its tensors; or every reason why it cannot be served."""

import json
from collections.abc import Mapping
from typing import Any

from deployment.checkpoint.context import config_problems, context, hf_overrides
from deployment.checkpoint.quantization import Quantization, read_quantization
from deployment.checkpoint.shape import Shape, read_shape, shape_problems
from deployment.checkpoint.tensors import Tensor, Tensors, tensor_problems, weigh
from deployment.errors import ConfigError
from deployment.families import Family, defaults_for
from deployment.frozen import Frozen
from deployment.problems import shown

CONFIG, BESIDE = "config.json", ("quant_config.json", "quantize_config.json")


class Checkpoint(Frozen):
    """What sizing, rules and rendering know of a model beyond what models.yaml says."""

    shape: Shape
    quantization: Quantization | None = None
    """How the checkpoint itself is quantized; None where its weights are as they were trained."""
    tensors: Tensors
    hf_overrides: Mapping[str, int] = {}
    """What vLLM must be told of the context that it does not see in config.json."""
    parsers: Family = Family()
    """Of tool calls and of reasoning, as far as vLLM has them for what the chat template taught the model."""

    @property
    def has_packed_head(self) -> bool:
        """Whether the output head is 4-bit like the other layers."""
        return self.quantization is not None and self.quantization.quantizes_head


def read_checkpoint(texts: Mapping[str, str], tensors: Mapping[str, Tensor], digest: str | None = None) -> Checkpoint:
    """Read the facts from config.json and its like, and from the tensors, whose `digest` is kept.

    Raises ConfigError with every reason why this checkpoint is not served.
    """
    config, beside = _configs(texts)
    problems = [*shape_problems(config)] or served_problems(config, beside)
    if problems:
        raise ConfigError(problems)
    shape, quantization = read_shape(config, context(config)), read_quantization(config, beside)
    if problems := [*tensor_problems(tensors, quantization)]:
        raise ConfigError(problems)
    return Checkpoint(
        shape=shape,
        quantization=quantization,
        tensors=weigh(tensors, quantization, is_tied=shape.tie_word_embeddings, digest=digest),
        hf_overrides=hf_overrides(config),
        parsers=defaults_for(shape.architecture, _chat_template(texts)),
    )


def differences(locked: Checkpoint, texts: Mapping[str, str], digest: str) -> list[str]:
    """Say where a checkpoint is another one than the locked facts were read from; empty where they agree."""
    config, beside = _configs(texts)
    problems = [*shape_problems(config)] or served_problems(config, beside)
    if problems:
        return [problem.rstrip(".") for problem in problems]
    pairs = (
        ("", locked.shape, read_shape(config, context(config))),
        ("quantization.", locked.quantization, read_quantization(config, beside)),
    )
    found: list[str] = []
    for prefix, ours, theirs in pairs:
        before, now = (each.model_dump() if each else {} for each in (ours, theirs))
        keys = [key for key in {**before, **now} if before.get(key) != now.get(key)]
        found += [f"{prefix}{key} {shown(now.get(key))} where {shown(before.get(key))} is locked" for key in keys]
    if not found and locked.tensors.digest not in (None, digest):
        found.append(f"tensors {digest} where {locked.tensors.digest} are locked")
    return found


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
        said = json.loads(texts.get(name, "{}")).get("chat_template")
        if said is not None:
            return said if isinstance(said, str) else json.dumps(said)
    return None


def _configs(texts: Mapping[str, str]) -> tuple[Mapping[str, Any], Mapping[str, Any] | None]:
    """config.json, and the first of the files beside it in which exports keep their quantization."""
    said = {name: json.loads(text) for name, text in texts.items() if name in (CONFIG, *BESIDE)}
    return said[CONFIG], next((said[name] for name in BESIDE if isinstance(said.get(name), dict)), None)
