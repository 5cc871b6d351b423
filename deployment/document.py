"""A YAML file as plain data that still knows on which line each key stands."""

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from deployment.errors import ConfigError

Path = tuple[str | int, ...]


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
        dotted = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")
        return f"{self.file}{line} {dotted}".rstrip()


def parse_document(text: str, file: str) -> Document:
    """Parse one YAML document. PyYAML keeps the last of two equal keys in silence; here both are known.

    Raises ConfigError where the text is not YAML.
    """
    try:
        return _parsed(yaml.SafeLoader(text), file)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError([f"{file}{line}: not YAML: {error.problem}. Correct the line."]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([f"{file}: not YAML: {error}. Correct it."]) from None


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
        if key.value in seen:
            duplicates.append((*path, key.value))
        seen.add(key.value)
        lines[(*path, key.value)] = key.start_mark.line + 1
        _walk(value, (*path, key.value), lines, duplicates)
