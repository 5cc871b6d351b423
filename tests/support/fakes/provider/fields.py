"""One table for both directions: where an input of the SDK stands in the REST body, and how it is written there."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]
Convert = Callable[[Any], Any]


def same(value: Any) -> Any:
    """As it is."""
    return value


def last(value: Any) -> Any:
    """The name at the end of a URL."""
    return value.rpartition("/")[2] if isinstance(value, str) else value


@dataclass(frozen=True, slots=True, kw_only=True)
class Field:
    """`rest` is a dotted path in the body. An output-only field is never sent; a hidden one is never in an answer."""

    name: str
    rest: str = ""
    out: Convert = same
    back: Convert = same
    inner: "tuple[Field, ...]" = ()
    is_list: bool = False
    output_only: bool = False
    is_set: bool = False
    sends_empty: bool = False

    @property
    def where(self) -> str:
        """The path in the body."""
        return self.rest or self.name


def f(name: str, rest: str = "", **rest_of_it: Any) -> Field:
    """A field, written short."""
    return Field(name=name, rest=rest, **rest_of_it)


def int64(name: str, rest: str = "") -> Field:
    """A whole number that the API writes as a string of digits."""
    return Field(name=name, rest=rest, out=str, back=int)


def only(*names: str) -> tuple[Field, ...]:
    """Outputs that have the same name in the API."""
    return tuple(Field(name=name, output_only=True) for name in names)


def nested(name: str, *inner: Field, rest: str = "", is_list: bool = False) -> Field:
    """An object, or a list of them."""
    return Field(name=name, rest=rest, inner=inner, is_list=is_list)


def to_rest(fields: Sequence[Field], inputs: Json) -> Json:
    """The body that says what the inputs say."""
    body: Json = {}
    for field in fields:
        if field.output_only or field.name not in inputs:
            continue
        value = inputs[field.name]
        if field.inner:
            value = [to_rest(field.inner, one) for one in value] if field.is_list else to_rest(field.inner, value)
        else:
            value = field.out(value)
        *above, name = field.where.split(".")
        place = body
        for part in above:
            place = place.setdefault(part, {})
        place[name] = value
    return body


def from_rest(fields: Sequence[Field], body: Json) -> Json:
    """What the body says, in the SDK's names."""
    found: Json = {}
    for field in fields:
        value: Any = body
        for part in field.where.split("."):
            value = value.get(part) if isinstance(value, dict) else None
        if value is None:
            continue
        if field.inner:
            value = [from_rest(field.inner, one) for one in value] if field.is_list else from_rest(field.inner, value)
        else:
            value = field.back(value)
        found[field.name] = value
    return found


def known_paths(fields: Sequence[Field], where: str = "") -> frozenset[str]:
    """Every input that the table maps, by its dotted path."""
    paths: set[str] = set()
    for field in fields:
        if not field.output_only:
            path = f"{where}.{field.name}" if where else field.name
            paths |= {path, *known_paths(field.inner, path)}
    return frozenset(paths)
