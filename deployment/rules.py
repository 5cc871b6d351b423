"""What no single field can know: names that clash, arguments that contradict each other or the checkpoint.

Rules read the document itself, not parsed values: a mistake in one field must not hide one between two others.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError

from deployment.architecture import Architecture
from deployment.document import Document, Path
from deployment.kv_cache import ELEMENT_BYTES, sequence_bytes
from deployment.problems import joined, shown
from deployment.quantities import shown_bytes
from deployment.spec import RESERVED_ALIASES, RESERVED_NAMES, SIZE_ADAPTER, Engine

QUANTIZATIONS = ("awq", "gptq", "compressed-tensors")
Finding = tuple[Path, str]


def findings(document: Document) -> list[str]:
    """Check names across models, and each model against itself."""
    models = document.data.get("models")
    if not isinstance(models, dict):
        return []
    found = [*_default_model(document.data.get("default_model"), models), *_name_clashes(models)]
    for name, model in models.items():
        if isinstance(model, dict):
            found += [(("models", name, *path), what) for path, what in _model(model)]
    return [f"{document.where(path)}: {what}" for path, what in found]


def _default_model(default: Any, models: Mapping[Any, Any]) -> Iterator[Finding]:
    if isinstance(default, str) and default not in models:
        known = joined(str(name) for name in models)
        yield ("default_model",), f"no model has this key, got {shown(default)}. Use {known}."


def _name_clashes(models: Mapping[Any, Any]) -> Iterator[Finding]:
    owner: dict[str, str] = {str(name): str(name) for name in models}
    for name in models:
        if name in RESERVED_ALIASES:
            yield ("models", name), f"means the default model, got {shown(name)}. Choose another name."
        if name in RESERVED_NAMES:
            yield ("models", name), f"is the name of a process of ours, got {shown(name)}. Choose another name."
    for name, model in models.items():
        aliases = model.get("aliases") if isinstance(model, dict) else None
        for index, alias in enumerate(aliases if isinstance(aliases, list) else []):
            path: Path = ("models", name, "aliases", index)
            if alias in RESERVED_ALIASES:
                yield path, f"means the default model already, got {shown(alias)}. Delete it."
            elif isinstance(alias, str) and alias in owner:
                yield path, f"already names {owner[alias]}, got {shown(alias)}. Give it to one model only."
            elif isinstance(alias, str):
                owner[alias] = str(name)


def _model(model: Mapping[str, Any]) -> Iterator[Finding]:
    weights, engine, shape = (_mapping(model, key) for key in ("weights", "engine", "architecture"))
    yield from _source(weights, engine.get("quantization"))
    yield from _shape(shape)
    yield from _step(engine)
    try:
        architecture = Architecture.model_validate(shape)
    except ValidationError:
        return
    yield from _context(architecture, engine)
    yield from _pictures(architecture, engine)


def _source(weights: Mapping[str, Any], quantization: Any) -> Iterator[Finding]:
    hub, path, revision = (weights.get(key) for key in ("hub", "path", "revision"))
    if weights and (hub is None) == (path is None):
        yield ("weights",), f"one source is needed, got {'both' if hub else 'neither'}. Give hub and revision, or path."
    elif hub is not None and revision is None:
        what = "missing, got nothing. Give the 40 hex digits of a commit; a branch would be a silent deploy."
        yield ("weights", "revision"), what
    elif path is not None and revision is not None:
        yield ("weights", "revision"), f"a directory has none, got {shown(revision)}. Delete it."
    group_size = weights.get("group_size")
    if quantization in QUANTIZATIONS and weights and group_size is None:
        yield ("weights", "group_size"), f"missing for {quantization}, got nothing. Give 32, 64 or 128."
    if quantization == "axion_w4" and group_size is not None:
        yield ("weights", "group_size"), f"axion_w4 chooses the groups itself, got {group_size}. Delete it."
    if quantization is None and group_size is not None:
        what = f"only quantized weights have groups, got {group_size}. Set engine.quantization or delete it."
        yield ("weights", "group_size"), what


def _shape(shape: Mapping[str, Any]) -> Iterator[Finding]:
    heads, key_value_heads = _int(shape, "num_attention_heads"), _int(shape, "num_key_value_heads")
    if heads and key_value_heads and heads % key_value_heads:
        what = f"does not divide num_attention_heads {heads}, got {key_value_heads}. Copy both from config.json."
        yield ("architecture", "num_key_value_heads"), what
    full, layers = _int(shape, "full_attention_layers"), _int(shape, "num_hidden_layers")
    if full and layers and full > layers:
        what = f"more than num_hidden_layers {layers}, got {full}. Count the layers that are not windowed."
        yield ("architecture", "full_attention_layers"), what
    if full is not None and shape.get("sliding_window") is None:
        what = f"without a sliding_window every layer is full, got {full}. Give sliding_window or delete it."
        yield ("architecture", "full_attention_layers"), what


def _step(engine: Mapping[str, Any]) -> Iterator[Finding]:
    tokens, sequences = _int_or_default(engine, "max_num_batched_tokens"), _int_or_default(engine, "max_num_seqs")
    if 0 < tokens < sequences:
        what = f"less than max_num_seqs {sequences}, got {tokens}. A step decodes one token of each: raise it."
        yield ("engine", "max_num_batched_tokens"), what
    longest, threshold = _int(engine, "max_model_len"), _int(engine, "long_prefill_token_threshold")
    if longest and threshold and threshold > longest:
        what = f"more than max_model_len {longest}, got {threshold}. vLLM refuses that: lower it, or delete it."
        yield ("engine", "long_prefill_token_threshold"), what
    if engine.get("quantization") is not None and engine.get("dtype", "bfloat16") == "float32":
        yield ("engine", "dtype"), 'quantized layers compute in bfloat16, got "float32". Set bfloat16.'


def _pictures(shape: Architecture, engine: Mapping[str, Any]) -> Iterator[Finding]:
    limits = engine.get("limit_mm_per_prompt")
    if isinstance(limits, Mapping) and any(limits.values()) and not shape.takes_pictures:
        yield ("engine", "limit_mm_per_prompt"), f"{shape.name} takes no pictures, got {shown(limits)}. Delete it."


def _context(shape: Architecture, engine: Mapping[str, Any]) -> Iterator[Finding]:
    tokens, longest = _int(engine, "max_model_len"), shape.max_position_embeddings
    if tokens is None:
        return
    if tokens > longest:
        what = f"longer than the checkpoint's context of {longest} tokens, got {tokens}. Give at most {longest}."
        yield ("engine", "max_model_len"), what
        return
    dtype = engine.get("dtype", Engine.model_fields["dtype"].default)
    step = _int_or_default(engine, "max_num_batched_tokens")
    try:
        given = SIZE_ADAPTER.validate_python(engine.get("kv_cache_memory_bytes"))
    except ValidationError:
        return
    if dtype not in ELEMENT_BYTES:
        return
    needed = sequence_bytes(shape, dtype, tokens=tokens, step_tokens=step)
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
