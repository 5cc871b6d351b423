"""What no single field can know: names that clash, arguments that contradict each other or the checkpoint.

Rules read the document itself, not parsed values: a mistake in one field must not hide one between two others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.kv_cache import ELEMENT_BYTES, sequence_bytes
from deployment.checkpoint.shape import Shape
from deployment.document import Document, Path
from deployment.models.listen_rules import listen_findings
from deployment.models.option_rules import option_findings
from deployment.models.reserved import MEANT_BY_CLIENTS, why_reserved
from deployment.models.routing import Routing
from deployment.models.spec import Engine, Served
from deployment.models.step import step_tokens
from deployment.models.values import SIZE_ADAPTER
from deployment.problems import joined, shown
from deployment.quantities import shown_bytes

Finding = tuple[Path, str]


def findings(document: Document, checkpoints: Mapping[str, Checkpoint]) -> list[str]:
    """Check names across models, and each model against itself and against its checkpoint, where that is known."""
    models = document.data.get("models")
    if not isinstance(models, dict) or not models:  # which is a problem of its own
        return []
    found = [
        *listen_findings(_mapping(document.data, "gateway")),
        *_default_model(document.data.get("default_model"), models),
        *_name_clashes(models),
        *_adapter_clashes(models),
    ]
    found += _routing(_mapping(document.data, "routing"), models)
    for name, model in models.items():
        if isinstance(model, dict):
            found += [(("models", name, "router_settings", *path), what) for path, what in _settings(str(name), model)]
            found += [(("models", name, *path), what) for path, what in _model(model, checkpoints.get(name))]
    return [f"{document.where(path)}: {what}" for path, what in found]


def _default_model(default: Any, models: Mapping[Any, Any]) -> Iterator[Finding]:
    if isinstance(default, str) and default not in models:
        known = joined(str(name) for name in models)
        yield ("default_model",), f"no model has this key, got {shown(default)}. Use {known}."


def _name_clashes(models: Mapping[Any, Any]) -> Iterator[Finding]:
    owner: dict[str, str] = {str(name): str(name) for name in models}
    for name in models:
        if why := why_reserved(name):
            yield ("models", name), f"reserved, it {why}, got {shown(name)}. Choose another name."
    for name, model in models.items():
        aliases = model.get("aliases") if isinstance(model, dict) else None
        for index, alias in enumerate(aliases if isinstance(aliases, list) else []):
            path: Path = ("models", name, "aliases", index)
            if isinstance(alias, str) and alias in MEANT_BY_CLIENTS:
                yield path, f"reserved, it {MEANT_BY_CLIENTS[alias]}, got {shown(alias)}. Delete it."
            elif isinstance(alias, str) and alias in owner:
                yield path, f"already names {owner[alias]}, got {shown(alias)}. Give it to one model only."
            elif isinstance(alias, str):
                owner[alias] = str(name)


def _adapter_clashes(models: Mapping[Any, Any]) -> Iterator[Finding]:
    """An adapter is a model to clients: its name is nobody else's."""
    owner = {str(name): str(name) for name in models}
    for name, model in models.items():
        aliases = model.get("aliases") if isinstance(model, dict) else None
        owner |= {str(alias): str(name) for alias in (aliases if isinstance(aliases, list) else [])}
    for name, model in models.items():
        for adapter in _mapping(model, "lora") if isinstance(model, dict) else ():
            path: Path = ("models", name, "lora", str(adapter))
            if adapter in MEANT_BY_CLIENTS:
                yield path, f"reserved, it {MEANT_BY_CLIENTS[adapter]}, got {shown(adapter)}. Choose another name."
            elif adapter in owner:
                yield path, f"already names {owner[adapter]}, got {shown(adapter)}. Choose another name."
            owner.setdefault(str(adapter), f"an adapter of {name}")


def _model(model: Mapping[str, Any], checkpoint: Checkpoint | None) -> Iterator[Finding]:
    engine = _mapping(model, "engine")
    yield from _source(_mapping(model, "weights"))
    yield from _on_demand(model)
    yield from _step(engine)
    yield from _cap(model, engine)
    yield from option_findings(model, checkpoint)
    if checkpoint is not None:
        yield from _precision(checkpoint, engine)
        yield from _context(checkpoint, model)
        yield from _pictures(checkpoint.shape, engine)


def _on_demand(model: Mapping[str, Any]) -> Iterator[Finding]:
    if model.get("on_demand") is not True:
        for key in ("keep_warm", "idle_stop_s"):
            if model.get(key) not in (None, False):
                yield (key,), f"only for a model on demand, got {shown(model[key])}. Add on_demand: true, or delete it."
    elif model.get("keep_warm") is True and model.get("idle_stop_s") is not None:
        what = f"a model that is kept warm is never unused, got {shown(model['idle_stop_s'])}. Delete one of the two."
        yield ("idle_stop_s",), what


CONDITIONS = frozenset({"words", "has_images", "tools", "min_prompt_chars"})


def _routing(routing: Mapping[str, Any], models: Mapping[Any, Any]) -> Iterator[Finding]:
    known = joined(str(name) for name in models)
    rules = _mapping(routing, "rules")
    named = [(("routing", "rules", name, "model"), rule.get("model")) for name, rule in rules.items()
             if isinstance(rule, dict)]  # fmt: skip
    for path, model in (*named, (("routing", "fallback"), routing.get("fallback"))):
        if isinstance(model, str) and model not in models:
            yield path, f"no model has this key, got {shown(model)}. Use {known}."
    for name, rule in rules.items():
        if isinstance(rule, dict) and all(rule.get(condition) in (None, []) for condition in CONDITIONS):
            yield (
                ("routing", "rules", name),
                f"takes every request. Give a condition: {', '.join(sorted(CONDITIONS))}.",
            )


def unfit_rules(routing: Routing, served: Mapping[str, Served]) -> Iterator[Finding]:
    """Rules for requests that their own model would refuse: the gateway passes them over without a word."""
    for name, rule in routing.rules.items():
        model, path = served.get(rule.model), ("routing", "rules", name, "model")
        if model is not None and rule.has_images and not model.takes_pictures:
            yield path, f"takes no pictures, got {shown(rule.model)}. Name a model that does, or delete has_images."
        if model is not None and rule.tools and model.parsers.tool_call_parser is None:
            yield path, f"calls no tools, got {shown(rule.model)}. Name a model with a tool parser, or delete tools."


DECIDED_ALREADY = frozenset({"model", "stream", "messages", "prompt", "input"})
"""When a request's settings are applied: what it asks, whom, and how it wants the answer."""


def _settings(name: str, model: Mapping[str, Any]) -> Iterator[Finding]:
    aliases = model.get("aliases")
    names = {name, *(aliases if isinstance(aliases, list) else ()), *_mapping(model, "lora")}
    for asked, settings in _mapping(model, "router_settings").items():
        if asked not in names:
            yield (asked,), f"no name of this model, got {shown(asked)}. Add it to aliases, or use one of its names."
        if not isinstance(settings, dict):
            continue
        put, gone = _mapping(settings, "set"), settings.get("strip")
        stripped = gone if isinstance(gone, list) else []
        for key in [key for key in (*put, *stripped) if key in DECIDED_ALREADY]:
            where = "set" if key in put else "strip"
            yield (asked, where), f"requests keep their own, got {shown(key)}. Delete it."
        for key in [key for key in stripped if key in put]:
            yield (asked, "strip"), f"set as well, got {shown(key)}. Delete it from one of them."


def _source(weights: Mapping[str, Any]) -> Iterator[Finding]:
    hub, path, revision = (weights.get(key) for key in ("hub", "path", "revision"))
    if weights and (hub is None) == (path is None):
        yield ("weights",), f"one source is needed, got {'both' if hub else 'neither'}. Give hub and revision, or path."
    elif hub is not None and revision is None:
        what = "missing. Give the 40 hex digits of a commit; a branch would be a silent deploy."
        yield ("weights", "revision"), what
    elif path is not None and revision is not None:
        yield ("weights", "revision"), f"a directory has none, got {shown(revision)}. Delete it."


def _step(engine: Mapping[str, Any]) -> Iterator[Finding]:
    tokens, sequences = _int(engine, "max_num_batched_tokens"), _int_or_default(engine, "max_num_seqs")
    if tokens and tokens < sequences:
        what = f"less than max_num_seqs {sequences}, got {tokens}. A step decodes one token of each: raise it."
        yield ("engine", "max_num_batched_tokens"), what
    longest, threshold = _int(engine, "max_model_len"), _int(engine, "long_prefill_token_threshold")
    if longest and threshold and threshold > longest:
        what = f"more than max_model_len {longest}, got {threshold}. vLLM refuses that: lower it, or delete it."
        yield ("engine", "long_prefill_token_threshold"), what


def _cap(model: Mapping[str, Any], engine: Mapping[str, Any]) -> Iterator[Finding]:
    most, longest = _int(model, "max_output_tokens"), _int(engine, "max_model_len")
    if most and longest and most > longest:
        what = f"more than max_model_len {longest}, got {most}. It would cap nothing: lower it, or delete it."
        yield ("max_output_tokens",), what


def _precision(checkpoint: Checkpoint, engine: Mapping[str, Any]) -> Iterator[Finding]:
    """Quantized layers compute in bfloat16; weights stored in float32 would lose bits that nobody asked to lose."""
    method = checkpoint.quantization.method if checkpoint.quantization else None
    dtype, quantization = engine.get("dtype", "bfloat16"), engine.get("quantization")
    if quantization == "axion_w4" and method is not None:
        what = f"the checkpoint is quantized already, with {method}, got {shown(quantization)}. "
        yield ("engine", "quantization"), f"{what}Delete it, or take the bfloat16 original."
    if dtype == "float32" and (method or quantization) is not None:
        yield ("engine", "dtype"), 'quantized layers compute in bfloat16, got "float32". Set bfloat16.'
    if checkpoint.shape.dtype == "float32" and dtype == "bfloat16" and (method or quantization) is None:
        what = 'the checkpoint is float32, got "bfloat16". Set float32, or convert the checkpoint to bfloat16.'
        yield ("engine", "dtype"), what


def _pictures(shape: Shape, engine: Mapping[str, Any]) -> Iterator[Finding]:
    limits = engine.get("limit_mm_per_prompt")
    if isinstance(limits, Mapping) and any(limits.values()) and not shape.takes_pictures:
        what = f"{shape.architecture} takes no pictures, got {shown(limits)}. Delete it."
        yield ("engine", "limit_mm_per_prompt"), what


def _context(checkpoint: Checkpoint, model: Mapping[str, Any]) -> Iterator[Finding]:
    shape, engine = checkpoint.shape, _mapping(model, "engine")
    tokens, longest = _int(engine, "max_model_len"), shape.max_position_embeddings
    if tokens is None:
        return
    if tokens > longest:
        what = f"longer than the checkpoint's context of {longest} tokens, got {tokens}. Give at most {longest}."
        yield ("engine", "max_model_len"), what
        return
    dtype = engine.get("dtype", Engine.model_fields["dtype"].default)
    step = _int(engine, "max_num_batched_tokens") or step_tokens(
        checkpoint, cores=_int(model, "cores") or 1, sequences=_int_or_default(engine, "max_num_seqs")
    )
    try:
        given = SIZE_ADAPTER.validate_python(engine.get("kv_cache_memory_bytes"))
    except ValidationError:
        return
    if dtype not in ELEMENT_BYTES:
        return
    needed = sequence_bytes(shape.attention, dtype, tokens=tokens, step_tokens=step)
    if needed > given:
        what = (
            f"one sequence of max_model_len {tokens} needs {shown_bytes(needed)}, got {shown_bytes(given)}. "
            "Raise it, or lower max_model_len."
        )
        yield ("engine", "kv_cache_memory_bytes"), what


def _mapping(data: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def _int(data: Mapping[str, Any], key: str) -> int | None:
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _int_or_default(engine: Mapping[str, Any], key: str) -> int:
    return _int(engine, key) or int(Engine.model_fields[key].default)
