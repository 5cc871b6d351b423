"""Write into models.yaml as a person would: a model's lines come, change or go, and every other byte stays.

PyYAML says where things stand; what it would write back has neither the comments nor the order of the file.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deployment.errors import ConfigError

COMMENT = re.compile(r"\s*#")


def add_stanza(text: str, name: str, stanza: Mapping[str, Any]) -> str:
    """Append a model after the last one. `stanza`'s own mappings are written on one line each.

    Raises ConfigError where the name is taken.
    """
    models = _models(text)
    if any(key.value == name for key, _ in models.value):
        raise ConfigError([f"models.{name}: there already, got it again. Give another name with --name, or update it."])
    lines = text.splitlines(keepends=True)
    last = _last_line(models, lines)
    if not lines[last].endswith("\n"):
        lines[last] += "\n"
    indent = " " * models.value[0][0].start_mark.column
    is_airy = _has_blank_line_before(models, lines)
    new = [f"{indent}{name}:\n", *(f"{indent}  {line}\n" for line in _lines_of(stanza))]
    return "".join([*lines[: last + 1], *(["\n"] if is_airy else []), *new, *lines[last + 1 :]])


def remove_stanza(text: str, name: str) -> str:
    """Take a model out, with the comment directly above it. Raises ConfigError where others lean on its lines."""
    models = _models(text)
    key, value = _entry(models, name)
    lines = text.splitlines(keepends=True)
    first, last = key.start_mark.line, _last_line(value, lines)
    while COMMENT.match(lines[first - 1]):
        first -= 1
    if not lines[first - 1].strip() and (last + 1 == len(lines) or not lines[last + 1].strip()):
        first -= 1
    rest = "".join(lines[:first] + lines[last + 1 :])
    try:
        yaml.compose(rest, yaml.SafeLoader)
    except yaml.YAMLError as error:
        got = getattr(error, "problem", None) or str(error)
        raise ConfigError(
            [f"models.{name}: other models repeat its lines by an anchor, got {got}. Write theirs out first."]
        ) from None
    return rest


def set_revision(text: str, name: str, revision: str) -> str:
    """Pin a model to another commit."""
    models = _models(text)
    _, value = _entry(models, name)
    node = _child(_child(value, "weights", name), "revision", name)
    return text[: node.start_mark.index] + _inline(revision) + text[node.end_mark.index :]


def _models(text: str) -> yaml.MappingNode:
    root = yaml.compose(text, yaml.SafeLoader)
    found = [value for key, value in root.value if key.value == "models"] if isinstance(root, yaml.MappingNode) else []
    if not found or not isinstance(found[0], yaml.MappingNode) or found[0].flow_style or not found[0].value:
        raise ConfigError(["models: no mapping with a model on lines of its own, got none to write beside. Write one."])
    models: yaml.MappingNode = found[0]
    return models


def _entry(models: yaml.MappingNode, name: str) -> tuple[yaml.Node, yaml.Node]:
    for key, value in models.value:
        if key.value == name:
            return key, value
    known = ", ".join(str(key.value) for key, _ in models.value)
    raise ConfigError([f"models.{name}: no such model, got {name}. Use {known}."])


def _child(node: yaml.Node, name: str, model: str) -> yaml.Node:
    for key, value in node.value if isinstance(node, yaml.MappingNode) else ():
        if key.value == name:
            found: yaml.Node = value
            return found
    raise ConfigError([f"models.{model}: has no {name}, got nothing to change. A directory has no revision."])


def _last_line(node: yaml.Node, lines: list[str]) -> int:
    """The last line with content: a block's own end is where the next thing begins, comments included."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    line = int(node.end_mark.line)
    if node.end_mark.column == 0 or line >= len(lines):  # a text over several lines ends before the next line
        line -= 1
    while not lines[line].strip():
        line -= 1
    return line


def _has_blank_line_before(models: yaml.MappingNode, lines: list[str]) -> bool:
    """Whether the file sets its models apart."""
    line = models.value[-1][0].start_mark.line
    while COMMENT.match(lines[line - 1]):
        line -= 1
    return len(models.value) > 1 and not lines[line - 1].strip()


def _lines_of(stanza: Mapping[str, Any]) -> Iterator[str]:
    for key, value in stanza.items():
        yield f"{key}: {_inline(value)}"


def _inline(value: Any) -> str:
    """Write a value on one line, in quotes where YAML would take it for a number: a commit may be all digits."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("...\n").strip()
