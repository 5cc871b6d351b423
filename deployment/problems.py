"""Turn what pydantic found wrong into sentences that say where, what, and what to do."""

import difflib
import json
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from deployment.document import Document, Path
from deployment.documented import kinds_within
from deployment.errors import printable

OBSOLETE: Mapping[str, Mapping[str, str]] = tomllib.loads(
    FilePath(__file__).with_name("obsolete.toml").read_text(encoding="utf-8")
)
ENGINE_KEYS = OBSOLETE["models.NAME.engine"]
# Pydantic adds a step such as "[key]" to the path of a wrong mapping key.
NOT_KEYS = frozenset({"[key]"})


def describe(error: ValidationError, at: Path, document: Document, model: type[BaseModel]) -> list[str]:
    """One line per mistake. `at` is where in the document the validated piece stands."""
    items = error.errors(include_url=False)
    places = [item["loc"] for item in items]
    # A list whose only item is wrong is also reported as empty: once is enough.
    kept = [i for i in items if not (i["type"] == "too_short" and any(p[:-1] == i["loc"] for p in places if p))]
    return [_sentence(item, at, document, model) for item in kept]


def flaw(error: ValidationError) -> str:
    """What is wrong first, and where, in a file that `fab` writes: it has no lines to correct by hand."""
    item: Any = error.errors(include_url=False)[0]
    what = {"missing": "missing", "extra_forbidden": "unknown key"}.get(item["type"]) or _what(item)
    got = "" if item["type"] == "missing" else f", got {shown(item['input'])}"
    place = ".".join(str(step) for step in item["loc"] if step not in NOT_KEYS)
    return f"{place}: {what}{got}" if place else f"{what}{got}"


def unknown_key(document: Document, path: Path, value: Any, known: Iterable[str]) -> str:
    """Say that a key is none of those that are known there, and which may be meant."""
    return f"{document.where(path)}: unknown key, got {shown(value)}. {_instead(path, known)}."


def keys_of(model: type[BaseModel]) -> list[str]:
    """What a file may have in the place of a model."""
    return [field.alias or name for name, field in model.model_fields.items()]


def _sentence(item: Any, at: Path, document: Document, model: type[BaseModel]) -> str:
    item = _of_the_kind(item) if item["type"].startswith("union_tag") else item
    spot = _spot(item["loc"], model)
    path, within, wanted = (*at, *spot.path), spot.path, spot.wanted
    place = document.where(path)
    if item["type"] == "extra_forbidden":
        return unknown_key(document, path, item["input"], keys_of(spot.parent) if spot.parent else ())
    if item["type"] == "missing":
        return f"{place}: missing. Give {wanted}."
    if "[key]" in item["loc"]:
        rule = next((KEY_RULES[step] for step in reversed(within[:-1]) if step in KEY_RULES), NAME_RULE)
        return f"{place}: not a usable name, got {shown(item['input'])}. {rule}."
    if item["type"] == "string_pattern_mismatch" and "aliases" in within:
        return f"{place}: not a usable alias, got {shown(item['input'])}. {ALIAS_RULE}."
    return f"{place}: {_what(item)}, got {shown(item['input'])}. Give {wanted}."


def _of_the_kind(item: Any) -> Any:
    """What pydantic says of a mapping that names no kind, or none that there is, as it would of that field."""
    key = item["ctx"]["discriminator"].strip("'")
    is_given = key in item["input"]
    return item | {
        "loc": (*item["loc"], key),
        "type": "unknown_kind" if is_given else "missing",
        "input": item["input"].get(key),
    }


NAME_RULE = "Use up to 31 of a-z, 0-9, _ and -, starting with a letter or digit: it becomes a unit and a file name"
ALIAS_RULE = "Use letters, digits and . _ : / -, starting with a letter or digit"
KEY_RULES: Mapping[str | int, str] = {
    "rules": "Use up to 31 of a-z, 0-9, _ and -, starting with a letter or digit: it is part of a header",
    "lora": "Use up to 31 of a-z, 0-9, _ and -, starting with a letter or digit: clients send it",
    "router_settings": ALIAS_RULE,
    "set": "Use a parameter of requests, such as temperature",
    "limit_mm_per_prompt": "Use image, audio or video",
    "axion:hosts": "Use up to 12 of a-z and 0-9, starting with a letter: it is part of Google's names",
    "axion:labels": "Use up to 63 of a-z, 0-9, _ and -, starting with a letter: Google takes no other label",
}

WORDS = {
    "int_type": "not a whole number",
    "int_parsing": "not a whole number",
    "greater_than": "too small",
    "greater_than_equal": "too small",
    "less_than_equal": "too large",
    "bool_type": "not true or false",
    "string_type": "not text",
    "string_unicode": "not text",
    "string_too_short": "empty",
    "too_short": "empty",
    "dict_type": "not a mapping",
    "model_type": "not a mapping",
    "model_attributes_type": "not a mapping",
    "tuple_type": "not a list",
    "list_type": "not a list",
    "byte_size": "not a size",
    "byte_size_unit": "not a size",
    "string_pattern_mismatch": "not of the expected form",
    "float_parsing": "not a number",
    "float_type": "not a number",
    "unknown_kind": "no such kind",
}


def _what(item: Any) -> str:
    if item["type"] == "literal_error":
        expected = item["ctx"]["expected"].replace("'", "")
        return f"not one of {expected}" if " or " in expected else f"not {expected}"
    if item["type"] == "value_error":
        return str(item["ctx"]["error"])
    return WORDS.get(item["type"], str(item["msg"]).lower())


def _instead(path: Path, known_keys: Iterable[str]) -> str:
    place = ".".join("NAME" if step == 1 and path[0] == "models" else str(part) for step, part in enumerate(path[:-1]))
    if known := OBSOLETE.get(place, {}).get(str(path[-1])):
        return known
    fields = list(known_keys)
    # A namespace in front, as in axion:hosts, would make all names alike.
    bare = {field.rpartition(":")[2]: field for field in fields}
    near = difflib.get_close_matches(str(path[-1]).rpartition(":")[2], bare, n=1)
    if near:
        return f"Write {bare[near[0]]}, if that is meant"
    return f"Delete it; known here: {', '.join(fields)}"


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where something is wrong."""

    path: Path
    """Keys as the file has them, without the steps that pydantic adds."""
    parent: type[BaseModel] | None
    """The class that the last key is, or should be, a field of."""
    wanted: str
    """The expectation written at the field, or at the list or mapping that the wrong value is an item of."""


def _spot(steps: Path, model: type[BaseModel]) -> _Spot:
    """Follow pydantic's steps down nested models."""
    path: Path = ()
    parent: type[BaseModel] | None = None
    inner, wanted, is_key = [model], "its keys, as docs/configuration.md has them", False
    for step in (each for each in steps if each not in NOT_KEYS):
        chosen = [kind for kind in inner if not is_key and step in _tags(kind)]
        if chosen:  # of several kinds, pydantic names the one that the mapping says it is
            inner = chosen
            continue
        path = (*path, step)
        if is_key:
            is_key = False
            continue
        parent = inner[0] if inner else None
        field = _field(parent, step) if parent else None
        wanted = field.description or wanted if field else wanted
        is_key = field is not None and get_origin(field.annotation) in (dict, Mapping)
        inner = list(kinds_within(field.annotation)) if field else []
    return _Spot(path, parent, wanted)


def _tags(kind: type[BaseModel]) -> tuple[str, ...]:
    """What a mapping says that is of this kind, where there are several."""
    return get_args(kind.model_fields["kind"].annotation) if "kind" in kind.model_fields else ()


def _field(model: type[BaseModel], part: str | int) -> FieldInfo | None:
    """The field that a key in a file means: by its alias, where it has one."""
    named = {field.alias or name: field for name, field in model.model_fields.items()}
    return named.get(str(part))


def shown(value: Any, limit: int = 60) -> str:
    """A value as the person wrote it, shortened."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=str)
    except ValueError:
        text = repr(value)
    text = printable(text)
    return text if len(text) <= limit else text[: limit - 3] + "..."


def joined(names: Iterable[str]) -> str:
    """Names for a sentence: `a, b and c`."""
    *head, last = list(names)
    return f"{', '.join(head)} and {last}" if head else last
