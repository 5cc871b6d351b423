"""A YAML file as plain data that still knows on which line each key stands."""

import json
import re
from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, Self

import yaml

from deployment.errors import CONTROL, ConfigError, why

Path = tuple[str | int, ...]
MAX_DEPTH = 50
"""More than any of our files has, and less than what Python's own readers and writers can go down."""
TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels. Nothing here is: look where a bracket is missing"
LINES = re.compile(r"[\n\t]")


@dataclass(frozen=True, slots=True)
class Document:
    """Parsed YAML, the line of every key and item (from 1), and keys that were written twice."""

    file: str
    data: Any
    lines: Mapping[Path, int] = field(default_factory=dict)
    duplicates: tuple[Path, ...] = ()

    def problems(self) -> list[str]:
        """What is wrong with it, whatever it means."""
        return [f"{self.where(path)}: written twice, got two values. Keep one." for path in self.duplicates]

    def where(self, path: Path) -> str:
        """Name a place as `models.yaml:12 models.phi.cores`, at the nearest line that exists."""
        nearest = path
        while nearest and nearest not in self.lines:
            nearest = nearest[:-1]
        line = f":{self.lines[nearest]}" if nearest in self.lines else ""
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{_on_a_line(part)}" for part in path).lstrip(".")
        return f"{self.file}{line} {dotted}".rstrip()

    def checked(self, *, has_lines: bool) -> Self:
        """Return it. Raises ConfigError where it is nested too deeply, or holds characters that nobody can see.

        `has_lines` tells whether a text may have several lines. A key never may.
        """
        problems = []
        for path, text, is_key in _texts(self.data, self.file):
            found = CONTROL.search(text) or (LINES.search(text) if is_key or not has_lines else None)
            if found:  # all of the text might be a secret
                what = f"with a character that cannot be printed, got {json.dumps(found[0])}"
                problems.append(f"{self.where(path)}: {what}. Take it out.")
        if problems:
            raise ConfigError(problems)
        return self


def _on_a_line(key: object) -> str:
    text = str(key)
    return json.dumps(text)[1:-1] if LINES.search(text) else text


def _texts(data: Any, file: str) -> Iterator[tuple[Path, str, bool]]:
    """Every text, with its path and whether it is a key, in order. Raises ConfigError below MAX_DEPTH."""
    rest: list[tuple[Path, Any]] = [((), data)]
    while rest:
        path, value = rest.pop()
        if len(path) > MAX_DEPTH:
            raise ConfigError([f"{file}: {TOO_DEEP}."])
        if path and isinstance(path[-1], str):
            yield path, path[-1], True
        if isinstance(value, str):
            yield path, value, False
        inner = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
        rest += reversed([((*path, key), each) for key, each in inner])


def read_text(file: FilePath) -> str:
    """Read a file that a person wrote, its line ends as they are. Raises ConfigError."""
    try:
        return file.read_bytes().decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: cannot be read: {why(error)}. Give a readable UTF-8 file."]) from None


def parse_document(text: str, file: str) -> Document:
    """Parse one YAML document. PyYAML keeps the last of two equal keys in silence; here both are known.

    Raises ConfigError where the text is not YAML, or none that anybody could print.
    """
    try:
        return _parsed(yaml.SafeLoader(text), file).checked(has_lines=True)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError([f"{file}{line}: not YAML: {error.problem}. Correct the line."]) from None
    except RecursionError:
        raise ConfigError([f"{file}: {TOO_DEEP}."]) from None
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError([f"{file}: not YAML: {' '.join(str(error).split())}. Correct it."]) from None
    except (AttributeError, LookupError):  # PyYAML of `!!timestamp x`, `!!float ''`
        raise ConfigError([f"{file}: not YAML: a value that its tag cannot have. Leave the tag out."]) from None


def _parsed(loader: yaml.SafeLoader, file: str) -> Document:
    try:
        root = loader.get_single_node()
        lines: dict[Path, int] = {}
        duplicates: list[Path] = []
        if root is not None:
            _walk(root, (), lines, duplicates)
        data = loader.construct_document(root) if root is not None else None
    finally:
        loader.dispose()
    return Document(file, data, lines, tuple(duplicates))


def _walk(node: yaml.Node, path: Path, lines: dict[Path, int], duplicates: list[Path]) -> None:
    lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), lines, duplicates)
        return
    if not isinstance(node, yaml.MappingNode):
        return
    seen: set[Hashable] = set()
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):  # which PyYAML will refuse
            continue
        if key.value in seen:
            duplicates.append((*path, key.value))
        seen.add(key.value)
        lines[(*path, key.value)] = key.start_mark.line + 1
        _walk(value, (*path, key.value), lines, duplicates)
