"""Write docs/configuration.md, the reference of all settings, from the classes that read them: `make schema`.

Sentences, defaults and types come from the fields, example values from examples/every-setting, which tests load.
"""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel

from deployment.documented import kinds_within, sentences
from deployment.models.schema import PYDANTIC_SIZE
from deployment.models.spec import ModelsFile
from deployment.quantities import GIB, KIB, MIB
from deployment.stack.file import SECRETS
from deployment.stack.inventory import Inventory
from deployment.stack.settings import StackSettings

EXAMPLES = Path(__file__).parents[1] / "examples" / "every-setting"
VARIABLES: Mapping[str, Mapping[str, Mapping[str, str]]] = yaml.safe_load(
    Path(__file__).with_name("environment_variables.yaml").read_text(encoding="utf-8")
)
"""By group and by names: what a variable holds, what it does, and perhaps an example."""
NAME = "NAME"
"""Stands in a path for the name that a person chooses."""
# What the file's reader fills in before the class is asked (deployment/stack/file.py).
DERIVED = {"gcp:region": "the zone's"}
LINE_LENGTH = 120
INTRODUCTION = """\
# Configuration

Every setting: what it does, what to give, and its default. `make schema` generates this page from the code that reads
the settings: change a sentence there, not here.

| where | what it says | check it with |
|---|---|---|
| [`models.yaml`](#modelsyaml) | which models are served, and how | `fab plan` |
| [`Pulumi.STACK.yaml`](#pulumistackyaml) | on which Google machines they run | `pulumi preview` |
| [an inventory](#inventory) | how to reach your own hosts | `fab doctor --inventory FILE` |
| [environment variables](#environment-variables) | what differs between computers | `fab doctor` |

A check changes nothing. It names every mistake at once, with its line. A key that is not on this page is refused.

Each key has what it does, the value to give with its unit and type, and the default, which applies when the key is left
out. `NAME` in a key is a name that you choose. Sizes have a unit: 1 KiB is 1024 bytes, 1 MiB is 1024 KiB, 1 GiB is
1024 MiB. Keys that end in `_s` are in seconds.
"""


@dataclass(frozen=True, kw_only=True)
class Part:
    """One file that people write: the class that reads it, and files that show every key of it."""

    title: str
    root: type[BaseModel]
    about: str
    examples: tuple[str, ...]
    beneath: str | None = None
    """The key of the example's file below which the settings stand."""

    @property
    def is_json(self) -> bool:
        return self.examples[0].endswith(".json")

    @cached_property
    def values(self) -> tuple[Any, ...]:
        """What the examples say."""
        said = (yaml.safe_load((EXAMPLES / name).read_text(encoding="utf-8")) for name in self.examples)  # JSON as well
        return tuple(each[self.beneath] if self.beneath else each for each in said)


PARTS = (
    Part(
        title="models.yaml",
        root=ModelsFile,
        about="What is served. Few keys are required: `fab models-add` writes those of a model.",
        examples=("models.yaml",),
    ),
    Part(
        title="Pulumi.STACK.yaml",
        root=StackSettings,
        about="Where it runs: the settings of a stack, below `config:`. `pulumi config set KEY VALUE` writes them.",
        examples=("Pulumi.example.yaml", "Pulumi.organisation.yaml"),
        beneath="config",
    ),
    Part(
        title="Inventory",
        root=Inventory,
        about="Hosts that `fab` may deploy to. For a stack, `pulumi up` writes one. For hosts that are not Google's, "
        "write one by hand: see [a host that is not Google's](operations.md#a-host-that-is-not-googles).",
        examples=("inventory.json", "inventory.google.json"),
    ),
)


@dataclass(frozen=True)
class Section:
    """One settings class at its place in a file."""

    kind: type[BaseModel]
    path: tuple[str, ...]
    of: str = ""
    """Which of several kinds a mapping there says that it is."""

    @property
    def title(self) -> str:
        """The noun, and the key that it stands at."""
        words = self.kind.__name__.removesuffix("Settings")
        noun = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", words).capitalize().replace("Ssh", "SSH")
        return f"{noun}: `{'.'.join(self.path)}`" if self.path else f"{noun}: top level"

    @property
    def keys(self) -> Mapping[str, str]:
        """The keys as a file has them, and the fields that hold them. What several kinds share is told once."""
        own = vars(self.kind)["__annotations__"]
        return {field.alias or name: name for name, field in self.kind.model_fields.items() if name in own}

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of its fields."""
        properties = self.kind.model_json_schema()["properties"]
        return {key: properties[key] for key in self.keys}


def sections(root: type[BaseModel], path: tuple[str, ...] = (), of: str = "") -> Iterator[Section]:
    """Yield a class and all below it, in the order of the file. Before several kinds comes what they share."""
    yield Section(root, path, of)
    for name, field in root.model_fields.items():
        at = (*path, field.alias or name)
        inner = (*at, NAME) if str(field.annotation).startswith("dict[") else at
        kinds = list(kinds_within(field.annotation))
        shared = kinds[0].__base__ if len(kinds) > 1 else None
        if shared is not None:
            yield Section(shared, inner)
        for kind in kinds:
            yield from sections(kind, inner, get_args(kind.model_fields["kind"].annotation)[0] if shared else "")


def page() -> str:
    """Return the whole page."""
    body = "\n".join(line for lines in (*map(_part, PARTS), _variables()) for line in lines)
    headings = re.findall(r"^(###?) (.*)$", body, re.MULTILINE)
    contents = [f"{'  ' * (len(level) - 2)}- {_link(title)}" for level, title in headings]
    return re.sub(r"\n{3,}", "\n\n", "\n".join([INTRODUCTION, "## Contents\n", *contents, "", body]).rstrip()) + "\n"


def _part(part: Part) -> Iterator[str]:
    yield f"## {part.title}\n"
    yield from (*_wrapped(part.about), "", f"### Example: {part.title}\n")
    yield from map(_example_block, part.examples)
    for section in sections(part.root):
        yield f"### {section.title}\n"
        yield from (*_wrapped(" ".join((section.kind.__doc__ or "").split())), "")
        for key, field in section.keys.items():
            yield from (*_entry(part, section, key, field), "")


def _entry(part: Part, section: Section, key: str, field: str) -> Iterator[str]:
    """One key: what it does, what to give, type, default, example."""
    path, info = (*section.path, key), section.kind.model_fields[field]
    yield f"#### `{'.'.join(path)}`{f' ({section.of})' if section.of else ''}\n"
    told = sentences(section.kind).get(key)
    assert told, f"{section.kind.__name__}.{field} has no docstring that says what it does"
    yield from (*_wrapped(told), "")
    inner = [each for kind in kinds_within(info.annotation) for each in sections(section.kind, section.path)
             if each.kind is kind]  # fmt: skip
    if inner:
        yield f"- Value: see {' or '.join(_link(each.title) for each in inner)}"
    else:
        yield from _item(f"Value: {_value(key, str(info.description), section.schema[key])}")
    yield from _item(_default(key, info.is_required(), info.default))
    places = (each for value in part.values for each in _at(value, section.path) if isinstance(each, dict))
    example = next((each[key] for each in places if key in each and section.of in ("", each.get("kind"))), None)
    if not inner and key not in SECRETS:
        pair = f'"{key}": {json.dumps(example)}' if part.is_json else f"{key}: {_shown(example)}"
        yield from _item(f"Example: `{pair}`")


def _value(key: str, description: str, schema: Mapping[str, Any]) -> str:
    """What to give, and its type where that does not say it already."""
    words = "text" if key in SECRETS else _type_words(schema)
    choices = re.findall(r"`(.*?)`", words)
    is_said = words in description or (choices and all(choice in description for choice in choices))
    return description if is_said else f"{description} ({words})"


def _type_words(schema: Mapping[str, Any]) -> str:
    """A type as a person says it, with its bounds."""
    choices = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    if choices == [each for each in PYDANTIC_SIZE if each.get("type") != "null"]:
        return "size with its unit"
    (one,) = choices
    if "enum" in one or "const" in one:
        return "one of " + ", ".join(f"`{each}`" for each in one.get("enum", [one.get("const")]))
    if one.get("type") == "array":
        return f"list, each item {_type_words(one['items'])}"
    return _TYPES.get(one.get("type", "object"), "mapping") + _bounds(one)


_TYPES = {"integer": "whole number", "number": "number", "boolean": "true or false", "string": "text"}


def _bounds(schema: Mapping[str, Any]) -> str:
    low, high = schema.get("minimum"), schema.get("maximum")
    above = schema.get("exclusiveMinimum")
    if low is None and above is not None:
        low = 1 if schema["type"] == "integer" else f"more than {above}"
    if high is not None:
        return f", {low} to {high}" if isinstance(low, int) else f", {low}, at most {high}"
    return "" if low is None else f", {low} or more" if isinstance(low, int) else f", {low}"


def _default(key: str, is_required: bool, default: Any) -> str:
    if key in DERIVED:
        return f"Default: {DERIVED[key]}"
    if is_required:
        return "No default: it must be given"
    if default is None or key in SECRETS:
        return "Default: not set"
    if isinstance(default, BaseModel):
        return "Default: each key has its own"
    return f"Default: `{_shown(default)}`"


def _shown(value: Any) -> str:
    """A value as one would write it in the file, on one line."""
    if isinstance(value, int) and not isinstance(value, bool) and type(value) is not int:  # pydantic's ByteSize
        unit, name = next(each for each in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB"), (1, "B")) if not value % each[0])
        return f"{value // unit}{name}"
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    text = json.dumps(value, ensure_ascii=False) if isinstance(value, str) and ": " in value else None
    plain = list(value) if isinstance(value, tuple) else value
    written = yaml.safe_dump([plain], default_flow_style=True, width=10_000, allow_unicode=True, sort_keys=False)
    return text or written.strip()[1:-1]


def _at(value: Any, path: tuple[str, ...]) -> Iterator[Any]:
    """Every value that an example has at a path."""
    if not path:
        yield value
    elif isinstance(value, dict):
        for key in value if path[0] == NAME else [path[0]] if path[0] in value else []:
            yield from _at(value[key], path[1:])


def _example_block(name: str) -> str:
    text = (EXAMPLES / name).read_text(encoding="utf-8").rstrip()
    text = re.sub(r"^# yaml-language-server:.*\n", "", text, flags=re.MULTILINE)
    link = f"[examples/every-setting/{name}](../examples/every-setting/{name})"
    return f"{link}:\n\n```{name.rpartition('.')[2]}\n{text}\n```\n"


def _variables() -> Iterator[str]:
    yield "## Environment variables\n"
    yield from _wrapped(
        "What `fab`, `make` and the programs of the toolkit read from the environment. An option of the command counts "
        "more than a variable. Tools that they start, such as pip, git, Pulumi and gcloud, read further variables."
    )
    yield ""
    for group, variables in VARIABLES.items():
        yield f"### {group}\n"
        for names, variable in variables.items():
            yield from (*_variable(names.split(), variable), "")


def _variable(names: Sequence[str], variable: Mapping[str, str]) -> Iterator[str]:
    yield f"#### {', '.join(f'`{name}`' for name in names)}\n"
    yield from (*_wrapped(variable["does"]), "")
    yield from _item(f"Value: {variable['give']}")
    if example := variable.get("example"):
        yield from _item(f"Example: `{names[0]}={example}`")


def _item(text: str) -> list[str]:
    return [f"{'  ' if number else '- '}{line}" for number, line in enumerate(_wrapped(text, LINE_LENGTH - 2))]


def _wrapped(text: str, length: int = LINE_LENGTH) -> list[str]:
    """Break lines between words, and never inside a piece of code or a link."""
    lines = [""]
    for word in re.findall(r"(?:`[^`]*`|\[[^\]]*\]\([^)]*\)|[^\s`])+", text):
        if lines[-1] and len(lines[-1]) + 1 + len(word) > length:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".lstrip()
    return lines


def _link(title: str) -> str:
    """A link to a heading of this page, by the rule that makes anchors of headings."""
    anchor = re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-")
    return f"[{title}](#{anchor})"


if __name__ == "__main__":
    sys.stdout.write(page())
