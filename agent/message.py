"""A document that two programs of ours exchange: a frozen dataclass, written and read by itself as JSON.

It says which schema it has, as "axion.lock-order/1". A reader takes what it knows and nothing else: of another version,
of fields that it does not know, that are missing or of another type, it names every one. Of a document that others
write as well an Excerpt has what is needed, and passes over the rest. Standard library only, for interpreters on hosts
have none of our dependencies.
"""

import dataclasses
import functools
import json
import reprlib
import types
import typing
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Self

TOLD = 8
"""So many differences of a document are named one by one."""

_REPR = reprlib.Repr()
_REPR.maxlevel = 3
_REPR.maxstring = _REPR.maxlong = _REPR.maxother = 1000  # cut by _short, at the end and not in the middle


class MessageError(ValueError):
    """A document that is not what its reader knows. The text is one line that names the differences, no full stop."""


class DamagedError(MessageError):
    """A document that nobody understands, a newer reader neither: half written, or none of ours."""


@dataclasses.dataclass(frozen=True)
class Excerpt:
    """What is needed of a document. Fields are plain values, other dataclasses, and tuples and mappings of these."""

    SCHEMA: ClassVar[str] = "excerpt"

    def to_json(self, indent: int | None = None) -> str:
        """Return it as ASCII, on one line unless it is indented for people."""
        return json.dumps({"schema": self.SCHEMA, **data_of(self)}, indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> Self:
        """Read it. Raises MessageError, and of what nobody understands DamagedError."""
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise DamagedError(f"{cls.SCHEMA}: no JSON: {error}") from None
        return cls.from_data(document)

    @classmethod
    def from_last_line(cls, printed: str) -> Self:
        """Read the last line of what a program printed: libraries say what they like before. Raises MessageError."""
        return cls.from_json(printed.rstrip().rpartition("\n")[2])

    @classmethod
    def of_file(cls, path: Path) -> Self | None:
        """Read a file; None where it is not there, not whole, or another version's. For what may be made anew."""
        try:
            return cls.from_json(path.read_bytes())
        except (OSError, MessageError):
            return None

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read a document that is parsed already. Raises MessageError."""
        problems: list[str] = []
        read = _read(cls, document, "", problems)
        if problems:
            told = problems[:TOLD] + [f"{len(problems) - TOLD} more"] * (len(problems) > TOLD)
            raise MessageError(f"{cls.SCHEMA}: {'; '.join(told)}")
        return typing.cast("Self", read)


@dataclasses.dataclass(frozen=True)
class Message(Excerpt):
    """A document that is ours alone: all of it is known, or its schema is another."""

    @classmethod
    def from_data(cls, document: object) -> Self:
        """Read a document that is parsed already. Raises MessageError."""
        if not isinstance(document, dict):
            raise DamagedError(f"{cls.SCHEMA} is understood here, got {_short(document)}")
        if "schema" not in document:
            raise DamagedError(f"{cls.SCHEMA} is understood here, and this names no schema")
        if document["schema"] != cls.SCHEMA:
            raise MessageError(f"{cls.SCHEMA} is understood here, got {_short(document['schema'])}")
        return super().from_data({key: value for key, value in document.items() if key != "schema"})


def data_of(value: object) -> Any:
    """Return a value as what JSON has: its dataclasses as mappings of their fields, its tuples as lists."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: data_of(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {data_of(key): data_of(each) for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [data_of(each) for each in value]
    if isinstance(value, str):  # names on a disk are bytes: what of them is no UTF-8 no reader of JSON has to take
        return value.encode(errors="replace").decode()
    return value


@functools.cache
def _fields(kind: type) -> dict[str, tuple[object, bool]]:
    """The type of each field of a dataclass, and whether it may be left out."""
    hints = typing.get_type_hints(kind)
    missing = dataclasses.MISSING
    return {
        each.name: (hints[each.name], each.default is not missing or each.default_factory is not missing)
        for each in dataclasses.fields(kind)
    }


def _read(kind: Any, value: Any, place: str, problems: list[str]) -> Any:
    """Return a value as its type; where it is not of it, add to the problems."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return value
    if dataclasses.is_dataclass(kind) and isinstance(value, dict):
        return _read_dataclass(typing.cast("type", kind), value, place, problems)
    if origin in (typing.Union, types.UnionType):
        return _read_union(arguments, value, place, problems)
    if origin is typing.Literal and value in arguments:
        return value
    if origin is tuple and isinstance(value, list):
        return tuple(_read(arguments[0], each, f"{place}[{index}]", problems) for index, each in enumerate(value))
    if origin in (Mapping, dict) and isinstance(value, dict):
        return {key: _read(arguments[1], each, _under(place, key), problems) for key, each in value.items()}
    # A bool is an int to Python, and a whole number is a float to JSON.
    if isinstance(kind, type) and (type(value) is kind or (kind is float and type(value) is int)):
        return value
    problems.append(f"{place or 'it'} is no {_name(kind)}, got {_short(value)}")
    return None


def _read_dataclass(kind: type, value: dict[str, Any], place: str, problems: list[str]) -> Any:
    known, before = _fields(kind), len(problems)
    if not issubclass(kind, Excerpt) or issubclass(kind, Message):
        problems += [f"{_under(place, name)} is unknown" for name in sorted(value.keys() - known.keys())]
    problems += [
        f"{_under(place, name)} is missing"
        for name, (_, has_default) in known.items()
        if not has_default | (name in value)
    ]
    given = {
        name: _read(known[name][0], each, _under(place, name), problems)
        for name, each in value.items()
        if name in known
    }
    return kind(**given) if len(problems) == before else None


def _read_union(kinds: tuple[Any, ...], value: Any, place: str, problems: list[str]) -> Any:
    """Read one of several types: the first that takes it whole. Its problems are told where only one is in question."""
    if value is None and type(None) in kinds:
        return None
    tried: list[list[str]] = []
    for kind in (each for each in kinds if each is not type(None)):
        tried.append([])
        read = _read(kind, value, place, tried[-1])
        if not tried[-1]:
            return read
    problems += tried[0] if len(tried) == 1 else [f"{place} is none of what it may be, got {_short(value)}"]
    return None


def _under(place: str, name: str) -> str:
    shown = name if name.isprintable() and 0 < len(name) <= 60 else _short(name)
    return f"{place}.{shown}" if place else shown


def _name(kind: Any) -> str:
    if typing.get_origin(kind) is typing.Literal:
        return " or ".join(map(str, typing.get_args(kind)))
    return {str: "text", int: "whole number", float: "number", bool: "true or false"}.get(kind) or (
        "list" if typing.get_origin(kind) is tuple else "mapping"
    )


def _short(value: object) -> str:
    text = _REPR.repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
