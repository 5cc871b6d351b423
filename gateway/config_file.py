"""Reading gateway.json: a checked configuration, or every mistake in it at once."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from gateway.config import GatewayConfig
from gateway.errors import shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

ADVICE = {
    "missing": "Add it.",
    "extra_forbidden": "Remove it, or correct its spelling.",
}


class ConfigError(Exception):
    """The configuration cannot be used; one line for each reason."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadedConfig:
    """A configuration and the digest of the bytes it was read from."""

    config: GatewayConfig
    digest: str


def load_config(path: Path) -> LoadedConfig:
    """Read and check a configuration file. Raises ConfigError."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ConfigError((f"{path}: cannot be read: {error.strerror}. Give a readable file.",)) from error
    return parse_config(raw, where=path.name)


def parse_config(raw: bytes, *, where: str) -> LoadedConfig:
    """Check the bytes of a configuration. Raises ConfigError."""
    try:
        config = GatewayConfig.model_validate_json(raw)
    except ValidationError as error:
        raise ConfigError(tuple(_problems(error, where, raw))) from error
    return LoadedConfig(config=config, digest=hashlib.sha256(raw).hexdigest())


def _problems(error: ValidationError, where: str, raw: bytes) -> Iterator[str]:
    details = error.errors()
    for detail in details:
        if _is_consequence(detail, details):
            continue
        if detail["type"] == "json_invalid":
            yield f"{where}: {_json_mistake(raw)}. Correct it, or render the file again."
        elif detail["type"] == "value_error" and not detail["loc"]:
            for line in str(detail["ctx"]["error"]).splitlines():
                yield f"{where}: {line}"
        else:
            yield f"{where}: {_field_mistake(detail)}"


def _is_consequence(detail: "ErrorDetails", details: "list[ErrorDetails]") -> bool:
    """A list is called too short when none of its items is right; the items' own mistakes say it better."""
    place = detail["loc"]
    return detail["type"] == "too_short" and any(
        len(other["loc"]) > len(place) and other["loc"][: len(place)] == place for other in details
    )


def _field_mistake(detail: "ErrorDetails") -> str:
    place = ".".join(map(str, detail["loc"])) or "the whole file"
    what = detail["msg"][0].lower() + detail["msg"][1:]
    advice = ADVICE.get(detail["type"], "Correct it.")
    return f"{place}: {what}, got {'nothing' if detail['type'] == 'missing' else shown(detail['input'])}. {advice}"


def _json_mistake(raw: bytes) -> str:
    try:
        json.loads(raw)
    except json.JSONDecodeError as error:
        return f"line {error.lineno} column {error.colno}: not JSON ({error.msg.lower()}), got {shown(_near(error))}"
    except (ValueError, RecursionError) as error:
        return f"not JSON ({error})"
    return "not JSON"


def _near(error: json.JSONDecodeError) -> str:
    return error.doc[error.pos : error.pos + 20]
