"""The settings that a schema knows, read from the schema itself: a new field is a new setting."""

import re
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel


def leaves(schema: type[BaseModel]) -> tuple[str, ...]:
    """Name every place where one value is written, under the names that people write; `*` is a key of their own."""
    return tuple(dict.fromkeys(_below(schema, ())))


def _below(kind: Any, at: tuple[str, ...]) -> Iterator[str]:
    origin, args = get_origin(kind), get_args(kind)
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        for name, field in kind.model_fields.items():
            yield from _below(field.annotation, (*at, field.alias or name))
    elif origin is Annotated:
        yield from _below(args[0], at)
    elif origin in (Union, UnionType):
        for each in args:
            if each is not type(None):
                yield from _below(each, at)
    elif origin in (dict, Mapping):
        key, value = args
        for name in get_args(key) if get_origin(key) is Literal else ("*",):
            yield from _below(value, (*at, name))
    else:
        assert not any(isinstance(each, type) and issubclass(each, BaseModel) for each in args), (
            f"{at}: models in a list"
        )
        yield ".".join(at)


def leaf_of(setting: str, known: tuple[str, ...]) -> str | None:
    """Find the leaf that a written place such as `models.alpha.cores` is one of."""
    return next((leaf for leaf in known if re.fullmatch(re.escape(leaf).replace(r"\*", r"[^.]+"), setting)), None)
