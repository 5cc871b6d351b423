"""Read models.yaml into a Deployment, or report everything that is wrong with it at once."""

from pathlib import Path as FilePath
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from deployment.document import Document, Path, parse_document
from deployment.errors import ConfigError
from deployment.problems import NAME_RULE, describe, shown, unknown_key
from deployment.rules import findings
from deployment.spec import NAME_ADAPTER, Deployment, Gateway, Host, Model

T = TypeVar("T", bound=BaseModel)


def load_deployment(file: FilePath) -> Deployment:
    """Read, parse and check a models file. Raises ConfigError with every problem found."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError([f"{file}: no such file, got nothing. Name a models file, such as models.yaml."]) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError([f"{file}: cannot be read, got {error}. Give a readable UTF-8 file."]) from None
    return parse_deployment(text, file.name)


def parse_deployment(text: str, file: str) -> Deployment:
    """Check the text of a models file; `file` is how problems call it. Raises ConfigError."""
    try:
        document = parse_document(text, file)
    except yaml.MarkedYAMLError as error:
        line = f":{error.problem_mark.line + 1}" if error.problem_mark else ""
        raise ConfigError([f"{file}{line}: not YAML, got {error.problem}. Correct the line."]) from None
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise ConfigError([f"{file}: not YAML, got {error}. Correct it."]) from None
    if not isinstance(document.data, dict):
        raise ConfigError([f"{file}: not a mapping, got {shown(document.data)}. Give models: and default_model:."])
    return _Reader(document).read()


class _Reader:
    """Checks one document piece by piece, so that a mistake in one model hides no mistake of another."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self.problems = [
            f"{document.where(path)}: written twice, got two values. Keep one." for path in document.duplicates
        ]

    def read(self) -> Deployment:
        data = self.document.data
        models = self._models(data.get("models"))
        host = self._piece(Host, data.get("host", {}), ("host",))
        gateway = self._piece(Gateway, data.get("gateway", {}), ("gateway",))
        self._top(data)
        self.problems += findings(self.document)
        if self.problems:
            raise ConfigError(self.problems)
        assert host is not None and gateway is not None, "a piece without problems was read"
        return Deployment(default_model=data["default_model"], models=models, gateway=gateway, host=host)

    def _models(self, data: Any) -> dict[str, Model]:
        if not isinstance(data, dict) or not data:
            what = "missing" if data is None else "not a mapping with at least one model"
            self._problem(("models",), f"{what}, got {shown(data)}. Give a mapping from model name to model.")
            return {}
        read: dict[str, Model] = {}
        for name, piece in data.items():
            if not _is_name(name):
                self._problem(("models", name), f"not a usable name, got {shown(name)}. {NAME_RULE}.")
            model = self._piece(Model, piece, ("models", name))
            if model is not None:
                read[name] = model
        return read

    def _piece(self, kind: type[T], data: Any, at: Path) -> T | None:
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            self.problems += describe(error, at, self.document, kind)
            return None

    def _top(self, data: dict[str, Any]) -> None:
        """Unknown top-level keys, and the default model's own type; its meaning is a cross-check."""
        for key in [key for key in data if key not in Deployment.model_fields]:
            self.problems.append(unknown_key(self.document, (str(key),), data[key], Deployment))
        default = data.get("default_model")
        if not isinstance(default, str):
            what = "missing" if default is None else "not text"
            self._problem(("default_model",), f"{what}, got {shown(default)}. Give the key of one of the models.")

    def _problem(self, path: Path, sentence: str) -> None:
        self.problems.append(f"{self.document.where(path)}: {sentence}")


def _is_name(name: Any) -> bool:
    try:
        NAME_ADAPTER.validate_python(name)
    except ValidationError:
        return False
    return True
