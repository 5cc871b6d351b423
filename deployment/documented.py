"""The sentences that stand below the fields of a settings class: what each setting does, and what it decides.

A field's `description` says what to give, as messages do; its docstring says what for. Both reach the JSON schema and
docs/configuration.md, and nothing else says them.
"""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any, get_args

from pydantic import BaseModel


@cache
def sentences(kind: type[BaseModel]) -> Mapping[str, str]:
    """Read the docstring below each field from the source, on one line, by the key that a file has for it."""
    (definition,) = ast.parse(textwrap.dedent(inspect.getsource(kind))).body
    assert isinstance(definition, ast.ClassDef), f"{kind} is a class"
    found = dict(sentences(kind.__base__)) if kind.__base__ not in (None, BaseModel) else {}
    for field, below in itertools.pairwise(definition.body):
        match field, below:
            case ast.AnnAssign(target=ast.Name(id=name)), ast.Expr(value=ast.Constant(value=str(text))):
                found[kind.model_fields[name].alias or name] = " ".join(text.split())
    return found


def kinds_within(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the settings classes that a field may hold, be it in a list, in a mapping or not at all."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from kinds_within(inner)


def kinds_below(root: type[BaseModel]) -> dict[str, type[BaseModel]]:
    """Every settings class from a file's top to its leaves, by name, in the order of the file."""
    found = {root.__name__: root}
    for field in root.model_fields.values():
        for kind in kinds_within(field.annotation):
            found |= kinds_below(kind)
    return found
