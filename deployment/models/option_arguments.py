"""What a model's further options become: arguments of `vllm serve`, and what speaks against them."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.families import Family, defaults_for
from deployment.models.spec import Engine, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class Brought:
    """What the options of one model refer to."""

    template: str | None = None
    """The text of its chat template, where models.yaml names one."""
    template_path: str | None = None
    """Where that lies on the host."""
    adapters: Mapping[str, str] = field(default_factory=dict)
    """The directories of its LoRA adapters on the host, by name."""


def parsers_of(model: Model, checkpoint: Checkpoint, template: str | None) -> Family:
    """The parsers that an engine is started with: those of models.yaml, else those that fit the chat template."""
    engine = model.engine
    family = checkpoint.parsers if template is None else defaults_for(checkpoint.shape.architecture, template)
    tools = None if engine.enable_auto_tool_choice is False else engine.tool_call_parser or family.tool_call_parser
    return Family(tools, engine.reasoning_parser or family.reasoning_parser)


def option_arguments(model: Model, checkpoint: Checkpoint, brought: Brought) -> Mapping[str, Any]:
    """Name vLLM's flags, without their dashes. A value of None leaves the flag out."""
    engine, parsers = model.engine, parsers_of(model, checkpoint, brought.template)
    speculation = engine.speculative_config
    return {
        "hf-overrides": dict(checkpoint.hf_overrides) or None,
        "speculative-config": speculation.model_dump(exclude_none=True) if speculation else None,
        "enable-auto-tool-choice": True if parsers.tool_call_parser else None,
        "tool-call-parser": parsers.tool_call_parser,
        "reasoning-parser": parsers.reasoning_parser,
        "chat-template": brought.template_path,
        **(_lora_arguments(engine, brought.adapters) if brought.adapters else {}),
        **{key.replace("_", "-"): _as_words(value) for key, value in engine.extra_args.items()},
    }


def _lora_arguments(engine: Engine, adapters: Mapping[str, str]) -> Mapping[str, Any]:
    modules = [{"name": name, "path": path} for name, path in adapters.items()]
    return {
        "enable-lora": True,
        "lora-modules": _as_words(modules),
        "max-lora-rank": engine.max_lora_rank,
        # vLLM's own default is one: requests for two adapters would wait for each other.
        "max-loras": engine.max_loras or len(adapters),
    }


def _as_words(value: Any) -> Any:
    """vLLM writes each item of a list with str(): a mapping in it has to be JSON already."""
    if not isinstance(value, list):
        return value
    return [json.dumps(item) if isinstance(item, dict | list) else item for item in value]


def parser_problems(model: Model, checkpoint: Checkpoint, template: str | None) -> Iterator[tuple[str, str]]:
    """Report a choice of parsers that vLLM would refuse or ignore: the engine's key, and what is wrong."""
    engine, parsers = model.engine, parsers_of(model, checkpoint, template)
    if engine.enable_auto_tool_choice and parsers.tool_call_parser is None:
        yield (
            "enable_auto_tool_choice",
            f"vLLM has no tool parser for {checkpoint.shape.architecture} by itself, got true. Give tool_call_parser.",
        )
    if engine.enable_auto_tool_choice is False and engine.tool_call_parser is not None:
        yield (
            "tool_call_parser",
            f'unused while enable_auto_tool_choice is false, got "{engine.tool_call_parser}". Delete one of the two.',
        )
