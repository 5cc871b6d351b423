"""What options of one model mean together, and which arguments of vLLM are ours to give."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from deployment.checkpoint.facts import Checkpoint
from deployment.document import Path
from deployment.models.spec import Engine, Served
from deployment.problems import ENGINE_KEYS, shown

Finding = tuple[Path, str]
ARGUMENT = re.compile(r"[a-z][a-z0-9_.-]*")
# Flags that the renderer gives, whatever models.yaml says, and the one that names the file they stand in.
RENDERED = frozenset(
    {"uds", "disable_uvicorn_access_log", "enable_request_id_headers", "enable_server_load_tracking"}
    | {"enable_lora", "lora_modules", "config"}
)
OWNED = frozenset(Engine.model_fields) - {"extra_args"} | set(ENGINE_KEYS) | RENDERED


def option_findings(model: Mapping[str, Any], checkpoint: Checkpoint | None) -> Iterator[Finding]:
    """Check the options of one model against each other, and against its checkpoint where that is known."""
    engine, kernels, lora = (_mapping(model.get(key)) for key in ("engine", "kernels", "lora"))
    yield from _speculation(_mapping(engine.get("speculative_config")))
    method = checkpoint.quantization.method if checkpoint and checkpoint.quantization else None
    yield from _kernels(kernels, engine, method)
    for key in ("max_lora_rank", "max_loras"):
        if engine.get(key) is not None and not lora:
            yield ("engine", key), f"the model has no adapters, got {shown(engine[key])}. List them under lora."
    for key in _mapping(engine.get("extra_args")):
        if problem := argument_problem(key):
            yield ("engine", "extra_args", str(key)), problem


def _speculation(config: Mapping[str, Any]) -> Iterator[Finding]:
    shortest, longest = config.get("prompt_lookup_min"), config.get("prompt_lookup_max")
    if isinstance(shortest, int) and isinstance(longest, int) and shortest > longest:
        what = f"more than prompt_lookup_max {longest}, got {shortest}. Lower it, or raise the other."
        yield ("engine", "speculative_config", "prompt_lookup_min"), what


def _kernels(kernels: Mapping[str, Any], engine: Mapping[str, Any], method: str | None) -> Iterator[Finding]:
    quantization = method or engine.get("quantization")
    needed = "linear_w4" if method else str(quantization)
    if kernels.get(needed) is False:
        yield ("kernels", needed), f"{quantization} cannot be served on Arm without it, got false. Delete it."
    if kernels.get("lm_head") is True and engine.get("dtype") == "float32":
        yield ("kernels", "lm_head"), "only a bfloat16 output head is made int8, got true. Set dtype to bfloat16."


def parser_problems(model: Served) -> Iterator[tuple[str, str]]:
    """Report a choice of parsers that vLLM would refuse or ignore: the engine's key, and what is wrong."""
    engine = model.engine
    if engine.enable_auto_tool_choice and model.parsers.tool_call_parser is None:
        what = f"vLLM has no tool parser for {model.checkpoint.shape.architecture} by itself, got true"
        yield "enable_auto_tool_choice", f"{what}. Give tool_call_parser."
    if engine.enable_auto_tool_choice is False and engine.tool_call_parser is not None:
        what = f'unused while enable_auto_tool_choice is false, got "{engine.tool_call_parser}"'
        yield "tool_call_parser", f"{what}. Delete one of the two."


def argument_problem(key: Any) -> str | None:
    """Say why an argument cannot be passed on. vLLM's parser takes any beginning of a flag for the flag."""
    if not isinstance(key, str) or not ARGUMENT.fullmatch(key):
        return f"not the name of an argument, got {shown(key)}. Write it as vLLM does, without dashes in front."
    name = key.replace("-", "_").partition(".")[0]
    beginnings = (name, name.removeprefix("no_"))
    owned = name if name in OWNED else next((each for each in sorted(OWNED) if each.startswith(beginnings)), None)
    return None if owned is None else f"means {owned}, which is given already, got {shown(key)}. {_instead(owned)}."


def _instead(owned: str) -> str:
    if owned in ENGINE_KEYS:
        return ENGINE_KEYS[owned]
    return "Delete it" if owned in RENDERED else f"Set engine.{owned}"


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
