"""Read a stack's configuration, from Pulumi's hands or from the file itself, into StackSettings and problems.

Settings come with the problems: what a mistake in one value leaves readable is still checked by the guardrails, so
that one mistake hides no other.
"""

import copy
import itertools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any

from pydantic import ValidationError

from deployment.document import Document, Path, parse_document, read_text
from deployment.errors import ConfigError
from deployment.problems import describe, shown
from deployment.stack.name import StackName
from deployment.stack.settings import STACK_NAME, StackSettings

SECRETS = ("axion:gatewayApiKeys", "axion:hubToken")
# Values that Pulumi passes as they are; all others are JSON text.
PLAIN = frozenset({"gcp:project", "gcp:zone", "gcp:region", *SECRETS})
NAMES = tuple(field.alias or name for name, field in StackSettings.model_fields.items())
DELETE = "axion:deleteData"
ALLOW_UNKNOWN, ALLOW_UNKNOWN_PRICES = "axion:allowUnknown", "axion:allowUnknownPrices"
"""A setting, and its name until it came to mean more than prices."""
SALVAGE_ROUNDS = 8
# What may stand in for a wrong value while the others are checked: no rule between values reads them.
IMMATERIAL = {"gcp:project": "some-project", "axion:maxHourlyUsd": 1e9}
REGION = re.compile(r"[a-z]+-[a-z]+\d+")
# Where a stack of no readable place is taken to be; rules about regions and prices are then silent.
SOMEWHERE = "us-central1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A stack's configuration as far as it could be read."""

    stack: str
    settings: StackSettings | None
    problems: tuple[str, ...]
    document: Document
    has_region: bool = True
    """Whether the file says where the stack is, in zone or region."""

    def where(self, *path: str | int) -> str:
        """Name a place in the stack's file."""
        return self.document.where(("config", *path))


def read_pulumi(stack: str, values: Mapping[str, str], secret_keys: frozenset[str], directory: FilePath) -> Reading:
    """Read what Pulumi hands a program; the stack's file, where there is one, lends its line numbers."""
    file = directory / f"Pulumi.{stack}.yaml"
    document = Document(file.name, {})
    if file.is_file():
        document = parse_document(read_text(file), file.name)
    return _read(stack, {key: _parsed(key, value) for key, value in values.items()}, document, secret_keys)


def read_file(given: str, directory: FilePath) -> Reading:
    """Read a stack's file without Pulumi. Raises ConfigError where there is nothing to read."""
    stack = StackName(given)
    file = directory / stack.file
    if not file.is_file():
        known = sorted(
            path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in directory.glob("Pulumi.*.yaml")
        )
        have = f"There are {', '.join(known)}" if known else "Write one, or run `pulumi stack init`"
        raise ConfigError([f"{file.name}: not found. {have}."])
    document = parse_document(read_text(file), file.name)
    config = document.data.get("config") if isinstance(document.data, dict) else None
    if not isinstance(config, dict):
        got = "missing" if config is None else f"not a mapping, got {shown(config)}"
        raise ConfigError([f"{file.name} config: {got}. Give config: with axion:hosts below it."])
    secret_keys = {key for key, value in config.items() if isinstance(value, dict) and set(value) == {"secure"}}
    return _read(stack.short, config, document, frozenset(secret_keys))


def _read(stack: str, values: Mapping[str, Any], document: Document, secret_keys: frozenset[str]) -> Reading:
    problems = document.problems()
    if not re.fullmatch(STACK_NAME, stack):
        rule = "Use lower-case letters and digits, starting with a letter: it is part of every name"
        problems.append(f"stack: not a usable name, got {shown(stack)}. {rule}.")
    data = {key: value for key, value in values.items() if key in NAMES or key.startswith("axion:")}
    former = data.pop(ALLOW_UNKNOWN_PRICES, None)
    if former is not None and data.get(ALLOW_UNKNOWN) in (None, False):  # Pulumi fills in the default of the new name
        data[ALLOW_UNKNOWN] = former
    for key in SECRETS:
        if data.get(key) and key not in secret_keys:
            say = f"written in clear, got {len(str(data[key]))} characters. Run `pulumi config set --secret {key}`."
            problems.append(f"{document.where(('config', key))}: {say}")
        data[key] = bool(data.get(key))
    if "axion:protectData" in data:
        kept = shown(data.pop("axion:protectData"))
        say = f"no setting any more, got {kept}: data is always protected. Delete it; what may go, name in {DELETE}."
        problems.append(f"{document.where(('config', 'axion:protectData'))}: {say}")
    region = _region(data)
    data.setdefault("gcp:region", region or SOMEWHERE)
    settings, found = _validated(data, document, {**IMMATERIAL, **_place(region or SOMEWHERE)})
    problems += found
    return Reading(
        stack=stack, settings=settings, problems=tuple(problems), document=document, has_region=region is not None
    )


def _region(data: Mapping[str, Any]) -> str | None:
    """The region that is written, or the one that the zone begins with, be the rest of it right or wrong."""
    for key in ("gcp:region", "gcp:zone"):
        found = REGION.match(str(data.get(key, "")))
        if found:
            return found[0]
    return None


def _place(region: str) -> dict[str, str]:
    """What stands in for a wrong zone or region: no rule reads more of a zone than its region."""
    return {"gcp:zone": f"{region}-a", "gcp:region": region}


def _validated(
    data: dict[str, Any], document: Document, stand_ins: Mapping[str, Any]
) -> tuple[StackSettings | None, list[str]]:
    """Validate; where that fails, take the wrong values out until the rest is readable."""
    try:
        return StackSettings.model_validate(data), []
    except ValidationError as error:
        problems = describe(error, ("config",), document, StackSettings)
        rest, wrong = copy.deepcopy(data), error
    for _ in range(SALVAGE_ROUNDS):
        for item in wrong.errors(include_url=False):
            path = tuple(itertools.takewhile(lambda part: part != "[key]", item["loc"]))
            _take_out(rest, path[:-1] if item["type"] == "missing" else path)
        for key, value in stand_ins.items():
            rest.setdefault(key, value)
        try:
            return StackSettings.model_validate(rest), problems
        except ValidationError as error:
            wrong = error
    return None, problems


def _take_out(data: Any, path: Path) -> None:
    """Delete a value, or of a list's item the whole list: half a list would mean something else."""
    for index, part in enumerate(path):
        last = index == len(path) - 1 or not isinstance(data.get(part), dict)
        if last:
            data.pop(part, None)
            return
        data = data[part]


def _parsed(key: str, value: str) -> Any:
    if key in PLAIN:
        return value
    try:
        return json.loads(value)
    except ValueError:
        return value
