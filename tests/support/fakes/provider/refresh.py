"""Read from the SDK's source which inputs a type has: `python -m tests.support.fakes.provider.refresh`.

The SDK's Python is generated from the real provider's schema, documentation strings included. They name only a few of
the inputs that force replacement; `Kind.replaces` has the rule for the others. Only the types of `registry.KINDS` are
read, and nothing is imported: the SDK takes seconds to load and its hints do not resolve.
"""

import ast
import importlib.metadata
import importlib.util
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tests.support.fakes.provider.registry import KINDS

Json = dict[str, Any]
DATA = Path(__file__).with_name("sdk.json")
FORCES = (
    *("changing this forces a new", "forces recreation of", "must be recreated to modify", "is force new"),
    *("cause the instance to recreate", "forces the instance to be recreated", "it cannot be changed"),
)
SCALARS = {"str": "string", "int": "integer", "float": "number", "bool": "boolean"}


def package() -> Path:
    """Where the SDK is installed."""
    found = importlib.util.find_spec("pulumi_gcp")
    assert found is not None and found.origin is not None, "pulumi_gcp: not installed, got none. Run `make setup`."
    return Path(found.origin).parent


@cache
def classes(path: Path) -> dict[str, ast.ClassDef]:
    """Top-level classes of a file by name."""
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.ClassDef)}


def properties(owner: ast.ClassDef) -> Iterator[tuple[str, str, ast.expr, str]]:
    """Python name, wire name, annotation and documentation of every getter."""
    for node in owner.body:
        if not isinstance(node, ast.FunctionDef) or node.returns is None:
            continue
        for decorator in node.decorator_list:
            if isinstance(decorator, ast.Name | ast.Attribute) and ast.unparse(decorator) == "pulumi.getter":
                yield node.name, node.name, node.returns, ast.get_docstring(node) or ""
            if isinstance(decorator, ast.Call) and ast.unparse(decorator.func) == "pulumi.getter":
                name = ast.literal_eval(decorator.keywords[0].value)
                yield node.name, name, node.returns, ast.get_docstring(node) or ""


def required(owner: ast.ClassDef) -> set[str]:
    """Keyword-only parameters of the constructor that have no default."""
    for node in owner.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            return {argument.arg for argument, default in pairs if default is None}
    return set()


def kind_of(annotation: ast.expr, nested: Path) -> Json:
    """The shape that an annotation allows."""
    if isinstance(annotation, ast.Constant):
        return {"object": inputs_of(classes(nested)[str(annotation.value)], nested)}
    if isinstance(annotation, ast.Subscript):
        outer = ast.unparse(annotation.value).rpartition(".")[2]
        inner = annotation.slice
        if outer in ("Input", "Optional", "Output"):
            return kind_of(inner, nested)
        if outer in ("Sequence", "List"):
            return {"list": kind_of(inner, nested)}
        assert outer == "Mapping" and isinstance(inner, ast.Tuple), ast.unparse(annotation)
        return {"map": kind_of(inner.elts[1], nested)}
    name = ast.unparse(annotation).rpartition(".")[2]
    return {"type": SCALARS[name]} if name in SCALARS else {"type": "any"}


def inputs_of(owner: ast.ClassDef, nested: Path) -> Json:
    """Every input of a class: its shape, whether it must be given, whether changing it replaces the resource."""
    needed = required(owner)
    found: Json = {}
    for python_name, name, annotation, documentation in properties(owner):
        found[name] = kind_of(annotation, nested)
        if python_name in needed:
            found[name]["required"] = True
        if any(words in " ".join(documentation.lower().split()) for words in FORCES):
            found[name]["replaces"] = True
    return found


def described(token: str) -> Json:
    """One resource type."""
    module, _, name = token.removeprefix("gcp:").partition(":")
    folder, _, _ = module.partition("/")
    for path in sorted((package() / folder).glob("*.py")):
        if f'@pulumi.type_token("{token}")' in path.read_text():
            own = classes(path)
            outputs = [wire for _, wire, _, _ in properties(own[name])]
            return {"inputs": inputs_of(own[f"{name}Args"], path.with_name("_inputs.py")), "outputs": sorted(outputs)}
    raise AssertionError(f"{token}: not in the SDK: no class. Correct the token.")


def main() -> None:
    """Write the table again."""
    head = {"sdk": "pulumi_gcp", "version": importlib.metadata.version("pulumi-gcp")}
    types = ",\n".join(
        f"  {json.dumps(token)}: {json.dumps(described(token), separators=(',', ':'))}" for token in KINDS
    )
    DATA.write_text(f'{json.dumps(head)[:-1]},\n"types": {{\n{types}\n}}}}\n')
    print(f"{len(KINDS)} types, {DATA.stat().st_size} bytes, SDK {head['version']}")


if __name__ == "__main__":
    main()
