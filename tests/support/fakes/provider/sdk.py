"""What the SDK says of inputs: which there are, their shapes, which must be given, which force replacement."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.fakes.provider.values import UNKNOWN

Json = dict[str, Any]
DATA = Path(__file__).with_name("sdk.json")
CONTAINERS = (
    ("object", dict, "Give its properties."),
    ("list", list, "Put it into brackets."),
    ("map", dict, "Give keys and values."),
)
PYTHON = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,)}


@cache
def types() -> Json:
    """Every known type."""
    found: Json = json.loads(DATA.read_text())["types"]
    return found


def problems(inputs: Json, shape: Json, where: str = "") -> Iterator[tuple[str, str]]:
    """Property and reason for everything that the real provider's schema would refuse."""
    for name, value in inputs.items():
        path = f"{where}.{name}" if where else name
        if name not in shape:
            known = ", ".join(sorted(shape))
            yield path, f"unknown input, got {value!r}. Use one of: {known}."
        else:
            yield from _value_problems(value, shape[name], path)
    for name, one in shape.items():
        if one.get("required") and name not in inputs:
            path = f"{where}.{name}" if where else name
            yield path, "missing required property, got nothing. Give it."


def _value_problems(value: Any, shape: Json, path: str) -> Iterator[tuple[str, str]]:
    if value == UNKNOWN or value is None or shape.get("type") == "any":
        return
    for kind, python, advice in CONTAINERS:
        if kind in shape and not isinstance(value, python):
            yield path, f"must be a {kind}, got {value!r}. {advice}"
            return
    if "object" in shape:
        yield from problems(value, shape["object"], path)
    elif "list" in shape:
        for index, item in enumerate(value):
            yield from _value_problems(item, shape["list"], f"{path}[{index}]")
    elif "map" in shape:
        for key, item in value.items():
            yield from _value_problems(item, shape["map"], f"{path}.{key}")
    elif not _fits(value, shape["type"]):
        yield path, f"must be a {shape['type']}, got {value!r}. Correct its type."


def _fits(value: Any, wanted: str) -> bool:
    """Whether a plain value has a type; the bridge takes "8" for 8 and "true" for true."""
    if isinstance(value, str) and wanted != "string":
        number = value.lstrip("-").replace(".", "", 1 if wanted == "number" else 0).isdigit()
        return value in ("true", "false") if wanted == "boolean" else number
    return isinstance(value, PYTHON[wanted]) and not (isinstance(value, bool) and wanted != "boolean")


def says_replaces(token: str, path: str) -> bool:
    """Whether the documentation of an input, or of one around it, says that changing it makes a new resource."""
    shape: Json = {"object": types()[token]["inputs"]}
    for part in path.split("."):
        while "list" in shape:
            shape = shape["list"]
        shape = shape.get("object", {}).get(part.partition("[")[0], {})
        if shape.get("replaces"):
            return True
    return False
