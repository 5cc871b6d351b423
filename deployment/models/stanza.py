"""Write into models.yaml as a person would: a model's lines come, change or go, and every other byte stays.

PyYAML says where things stand; what it would write back has neither the comments nor the order of the file. What comes
out is read again: it must say the same of everything else, or the file is left to its owner.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from deployment.errors import ConfigError

COMMENT = re.compile(r"\s*#")


def add_stanza(text: str, name: str, stanza: Mapping[str, Any]) -> str:
    """Append a model after the last one. `stanza`'s own mappings are written on one line each.

    Raises ConfigError where the name is taken, or where the file is written in a way that leaves no room.
    """
    models = _models(text)
    if any(key.value == name for key, _ in models.value):
        raise ConfigError(
            [f"models.{name}: there already, got it again. Give another --name, or run `fab models-update {name}`."]
        )
    lines, newline = text.splitlines(keepends=True), "\r\n" if "\r\n" in text else "\n"
    last = _last_line(models, lines)
    if not lines[last].endswith(("\n", "\r")):
        lines[last] += newline
    indent = " " * models.value[0][0].start_mark.column
    new = [f"{indent}{name}:{newline}", *(f"{indent}  {line}{newline}" for line in _lines_of(stanza))]
    blank = [newline] if _has_blank_line_before(models, lines) else []
    changed = "".join([*lines[: last + 1], *blank, *new, *lines[last + 1 :]])
    expected = yaml.safe_load(text)
    expected["models"] = {**expected["models"], name: dict(stanza)}
    return _checked(changed, expected, name)


def remove_stanza(text: str, name: str) -> str:
    """Take a model out, with the comment directly above it. Raises ConfigError where others lean on its lines."""
    models = _models(text)
    key, value = _entry(models, name)
    lines = text.splitlines(keepends=True)
    first, last = key.start_mark.line, _last_line(_Pair(key, value), lines)
    while first and COMMENT.match(lines[first - 1]):
        first -= 1
    if first and not lines[first - 1].strip() and (last + 1 == len(lines) or not lines[last + 1].strip()):
        first -= 1
    expected = yaml.safe_load(text)
    expected["models"] = {each: data for each, data in expected["models"].items() if each != name}
    return _checked("".join(lines[:first] + lines[last + 1 :]), expected, name)


def set_revision(text: str, name: str, revision: str) -> str:
    """Pin a model to another commit."""
    _, value = _entry(_models(text), name)
    node = _child(_child(value, "weights", name), "revision", name)
    expected = yaml.safe_load(text)
    model = expected["models"][name]
    if model["weights"]["revision"] == revision:
        return text
    expected["models"] = {
        **expected["models"],
        name: {**model, "weights": {**model["weights"], "revision": revision}},
    }
    return _checked(text[: node.start_mark.index] + _inline(revision) + text[node.end_mark.index :], expected, name)


def set_values(text: str, name: str, values: Mapping[str, Any]) -> str:
    """Write values of a model's keys, such as `engine.max_num_seqs`: in place, or behind the last key beside them."""
    expected = yaml.safe_load(text)
    for path, value in values.items():
        *above, key = path.split(".")
        node, data = _entry(_models(text), name)[1], expected["models"][name]
        for step in above:
            node, data = _child(node, step, name), data[step]
        data[key] = value
        text = _checked(_with_value(text, node, key, value, name), expected, name)
    return text


def _with_value(text: str, node: yaml.Node, key: str, value: Any, name: str) -> str:
    """Write a key into a mapping that is written on one line or on lines of its own."""
    if not isinstance(node, yaml.MappingNode) or not node.value:
        raise ConfigError([f"models.{name}: no mapping to write {key} into. Write one, with a first key."])
    found = [there for said, there in node.value if said.value == key]
    if found:
        start, end = found[0].start_mark.index, found[0].end_mark.index
        if isinstance(found[0], yaml.CollectionNode) and not found[0].flow_style:
            raise ConfigError([f"models.{name}: {key} is written over several lines. Write it on one."])
        return f"{text[:start]}{_inline(value)}{text[end:]}"
    if node.flow_style:
        last = node.value[-1][1].end_mark.index
        return f"{text[:last]}, {key}: {_inline(value)}{text[last:]}"
    lines, newline = text.splitlines(keepends=True), "\r\n" if "\r\n" in text else "\n"
    last = _last_line(node, lines)
    if not lines[last].endswith(("\n", "\r")):
        lines[last] += newline
    indent = " " * node.value[0][0].start_mark.column
    return "".join([*lines[: last + 1], f"{indent}{key}: {_inline(value)}{newline}", *lines[last + 1 :]])


class _Pair:
    """A key and its value, where no mapping around them matters."""

    def __init__(self, key: yaml.Node, value: yaml.Node) -> None:
        self.value, self.flow_style = [(key, value)], False


def _checked(changed: str, expected: Mapping[str, Any], name: str) -> str:
    try:
        is_right = yaml.safe_load(changed) == expected
    except yaml.YAMLError:
        is_right = False
    if not is_right:
        raise ConfigError(
            [
                f"models.{name}: the file repeats lines by anchors, or ends a model in a form of its own: no place "
                "to write at without changing more. Write the lines out, or edit it by hand."
            ]
        )
    return changed


def _models(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, yaml.SafeLoader)
    except yaml.YAMLError as error:
        got = getattr(error, "problem", None) or str(error)
        raise ConfigError([f"models: not YAML: {got}. Correct the file."]) from None
    found = [value for key, value in root.value if key.value == "models"] if isinstance(root, yaml.MappingNode) else []
    if not found or not isinstance(found[0], yaml.MappingNode) or found[0].flow_style or not found[0].value:
        raise ConfigError(["models: no mapping with a model on lines of its own to write beside. Write one."])
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
    raise ConfigError([f"models.{model}: has no {name} to change. A directory has no revision."])


def _last_line(node: Any, lines: list[str]) -> int:
    """The last line with content: a block's own end is where the next thing begins, comments included."""
    while not isinstance(node, yaml.ScalarNode) and not node.flow_style and node.value:
        last = node.value[-1]
        key, node = last if isinstance(last, tuple) else (node, last)
        if node.start_mark.index < key.start_mark.index:  # an alias has the place of its anchor
            return int(key.end_mark.line)
    line = int(node.end_mark.line)
    if node.end_mark.column == 0 or line >= len(lines):  # a text over several lines ends before the next line
        line -= 1
    while not lines[line].strip():
        line -= 1
    return line


def _has_blank_line_before(models: yaml.MappingNode, lines: list[str]) -> bool:
    """Whether the file sets its models apart."""
    line = models.value[-1][0].start_mark.line
    while line and COMMENT.match(lines[line - 1]):
        line -= 1
    return len(models.value) > 1 and not lines[line - 1].strip()


def _lines_of(stanza: Mapping[str, Any]) -> Iterator[str]:
    for key, value in stanza.items():
        yield f"{key}: {_inline(value)}"


def _inline(value: Any) -> str:
    """Write a value on one line, in quotes where YAML would take it for a number: a commit may be all digits."""
    text: str = yaml.safe_dump(value, default_flow_style=True, sort_keys=False, width=10**6)
    return text.removesuffix("...\n").strip()
