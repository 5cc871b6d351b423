"""Which environment variables the checkout's sources read, found by looking at the sources: nobody has to tell."""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ENVIRONMENTS = frozenset({"environ", "environment"})
"""What a mapping of variables is called here: `os.environ`, a parameter, an attribute."""
TAKES_NAMES = frozenset({"first"})
"""Methods that take several names: `around.first("A", "B")`."""
SHELL = re.compile(r"\$\{?([A-Z][A-Z0-9_]*)\b")
SHELL_SETS = re.compile(
    r"(?:^|[\s;({])(?:export\s+|local\s+|for\s+)?([A-Z][A-Z0-9_]*)(?:=|\s+in\s|\s*[:?+]?=)", re.MULTILINE
)
SHELL_OWN = frozenset({"PWD"})
C_READS = re.compile(r'getenv\("([A-Z_]+)"\)')


@dataclass(frozen=True, slots=True)
class Read:
    """One place that reads one variable."""

    file: str
    line: int
    name: str | None
    """None where the source does not show it."""


def reads_of(path: Path, file: str, elsewhere: Mapping[str, tuple[str, ...]]) -> Iterator[Read]:
    """Find the reads of one source; `elsewhere` are the constants of all modules, by name."""
    text = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        yield from _python(ast.parse(text), file, elsewhere)
    elif path.suffix in (".cpp", ".h"):
        yield from (Read(file, 0, name) for name in C_READS.findall(text))
    elif path.suffix == ".sh":
        code = re.sub(r"^\s*#.*$", "", text, flags=re.MULTILINE)
        yield from (
            Read(file, 0, name) for name in sorted({*SHELL.findall(code)} - {*SHELL_SETS.findall(code)} - SHELL_OWN)
        )


def constants(tree: ast.Module) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Names at the top of a module that stand for a text, or for several."""
    for node in tree.body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and (found := _literals(node.value)):
            yield node.targets[0].id, found


def _literals(node: ast.AST | None) -> tuple[str, ...]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return (node.value,)
    if isinstance(node, ast.Tuple | ast.List | ast.Set):
        return tuple(text for item in node.elts for text in _literals(item))
    return ()


def _python(tree: ast.Module, file: str, elsewhere: Mapping[str, tuple[str, ...]]) -> Iterator[Read]:
    texts = {**elsewhere, **dict(constants(tree))}
    loops: dict[str, tuple[str, ...]] = {}
    for node in ast.walk(tree):  # `for name in NAMES`: the loop's variable stands for each of them
        if isinstance(node, ast.For | ast.comprehension) and isinstance(node.target, ast.Name):
            over = _literals(node.iter) or (texts.get(node.iter.id, ()) if isinstance(node.iter, ast.Name) else ())
            loops[node.target.id] = (*loops.get(node.target.id, ()), *over)
    for node in ast.walk(tree):
        for key in _keys(node):
            word = str(getattr(key, "attr", getattr(key, "id", None)))
            names = _literals(key) or loops.get(word) or texts.get(word)
            yield from (Read(file, key.lineno, name) for name in names or (None,))


def _keys(node: ast.AST) -> list[ast.expr]:
    """The expressions that name the variable in a read; none where this is no read."""
    match node:
        case ast.Subscript(value=where, slice=key, ctx=ast.Load()) if _is_environment(where):
            return [key]
        case ast.Call(func=ast.Attribute(value=where, attr="get" | "pop"), args=[key, *_]) if _is_environment(where):
            return [key]
        case ast.Call(func=ast.Attribute(attr="getenv"), args=[key, *_]):
            return [key]
        case ast.Call(func=ast.Attribute(attr=method), args=args) if method in TAKES_NAMES:
            return [arg.value if isinstance(arg, ast.Starred) else arg for arg in args]
        case ast.Compare(left=key, ops=[ast.In() | ast.NotIn()], comparators=[where]) if _is_environment(where):
            return [key]
    return []


def _is_environment(node: ast.expr) -> bool:
    return getattr(node, "attr", getattr(node, "id", None)) in ENVIRONMENTS
