"""Read models.yaml into a Deployment, or report everything that is wrong with it at once."""

import re
from pathlib import Path as FilePath
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.lock import ModelLock, lock_path, read_lock
from deployment.document import Document, Path, parse_document, read_text
from deployment.errors import ConfigError
from deployment.frozen import MODEL_NAME
from deployment.models.gateway_options import Gateway
from deployment.models.option_rules import parser_problems
from deployment.models.routing import Routing
from deployment.models.rules import findings, unfit_rules
from deployment.models.spec import Deployment, Host, Model, ModelsFile, Served, Weights
from deployment.problems import NAME_RULE, describe, keys_of, shown, unknown_key

T = TypeVar("T", bound=BaseModel)


def load_deployment(file: FilePath) -> Deployment:
    """Read, parse and check a models file and the lock beside it. Raises ConfigError with every problem found."""
    return parse_deployment(read_models_text(file), file.name, read_lock(lock_path(file)), file.parent)


def read_models_text(file: FilePath) -> str:
    """Read a models file. Raises ConfigError."""
    if not file.exists():
        raise ConfigError([f"{file}: not found. Name a models file, such as models.yaml."])
    return read_text(file)


def parse_deployment(text: str, file: str, lock: ModelLock, directory: FilePath | None = None) -> Deployment:
    """Check the text of a models file; `file` is how problems call it. Raises ConfigError.

    `directory` is where the files lie that it names; without one they are not looked at.
    """
    return _Reader(read_document(text, file), lock, directory).read()


def read_document(text: str, file: str) -> Document:
    """Read a models file as plain data. Raises ConfigError where it is not YAML, or no mapping."""
    document = parse_document(text, file)
    if not isinstance(document.data, dict):
        raise ConfigError([f"{file}: not a mapping, got {shown(document.data)}. Give models: and default_model:."])
    return document


class _Reader:
    """Checks one document piece by piece, so that a mistake in one model hides no mistake of another."""

    def __init__(self, document: Document, lock: ModelLock, directory: FilePath | None) -> None:
        self.document, self.lock, self.directory = document, lock, directory
        self.problems = document.problems()

    def read(self) -> Deployment:
        data = self.document.data
        models = self._models(data.get("models"))
        host = self._piece(Host, data.get("host", {}), ("host",))
        gateway = self._piece(Gateway, data.get("gateway", {}), ("gateway",))
        routing = self._piece(Routing, data["routing"], ("routing",)) if data.get("routing") is not None else None
        self._top(data)
        checkpoints = self._checkpoints(data.get("models"))
        both = {name: (model, checkpoints[name]) for name, model in models.items() if name in checkpoints}
        served = {name: self._served(name, model, checkpoint) for name, (model, checkpoint) in both.items()}
        self.problems += findings(self.document, checkpoints)
        for path, what in unfit_rules(routing, served) if routing else ():
            self._problem(path, what)
        if self.problems:
            raise ConfigError(self.problems)
        assert host is not None and gateway is not None, "a piece without problems was read"
        return Deployment(
            default_model=data["default_model"], models=served, gateway=gateway, host=host, routing=routing
        )

    def _checkpoints(self, models: Any) -> dict[str, Checkpoint]:
        """Take each model's facts from the lock, if it has those of the very checkpoint that the file names."""
        found: dict[str, Checkpoint] = {}
        for name, piece in models.items() if isinstance(models, dict) else ():
            wanted = _weights(piece)
            if wanted is None:
                continue  # which is a problem of its own
            locked = self.lock.models.get(name)
            if locked is None:
                self._problem(("models", name), f"not in the lock file. Run `fab models-update {name}`.")
            elif locked.source != (wanted.hub, wanted.revision, wanted.path):
                what = f"the lock file holds the facts of {locked}, got {wanted}. Run `fab models-update {name}`."
                self._problem(("models", name, "weights"), what)
            else:
                found[name] = locked.checkpoint
        return found

    def _models(self, data: Any) -> dict[str, Model]:
        if not isinstance(data, dict) or not data:
            what = (
                f"not a mapping with at least one model, got {shown(data)}"
                if "models" in self.document.data
                else "missing"
            )
            self._problem(("models",), f"{what}. Give a mapping from model name to model.")
            return {}
        read: dict[str, Model] = {}
        for name, piece in data.items():
            if not is_name(name):
                self._problem(("models", name), f"not a usable name, got {shown(name)}. {NAME_RULE}.")
            model = self._piece(Model, piece, ("models", name))
            if model is not None:
                read[name] = model
        return read

    def _served(self, name: str, model: Model, checkpoint: Checkpoint) -> Served:
        """The model with its chat template, held against the parsers, of which that may decide."""
        said, template = model.engine.chat_template, None
        if said is not None and self.directory is not None:
            from deployment.models.chat_template import read_chat_template  # noqa: PLC0415 - Jinja, for the few

            try:
                template = read_chat_template(self.directory / said, said)
            except ValueError as error:
                self._problem(("models", name, "engine", "chat_template"), str(error))
        served = Served(name=name, checkpoint=checkpoint, template=template, **dict(model))
        is_known = said is None or self.directory is None or template is not None
        for key, what in parser_problems(served) if is_known else ():
            self._problem(("models", name, "engine", key), what)
        return served

    def _piece(self, kind: type[T], data: Any, at: Path) -> T | None:
        try:
            return kind.model_validate(data)
        except ValidationError as error:
            self.problems += describe(error, at, self.document, kind)
            return None

    def _top(self, data: dict[str, Any]) -> None:
        """Unknown top-level keys, and the default model's own type; its meaning is a cross-check."""
        for key in [key for key in data if key not in ModelsFile.model_fields]:
            self.problems.append(unknown_key(self.document, (str(key),), data[key], keys_of(ModelsFile)))
        default = data.get("default_model")
        if not isinstance(default, str):
            what = f"not text, got {shown(default)}" if "default_model" in data else "missing"
            self._problem(("default_model",), f"{what}. Give the key of one of the models.")

    def _problem(self, path: Path, sentence: str) -> None:
        self.problems.append(f"{self.document.where(path)}: {sentence}")


def _weights(model: Any) -> Weights | None:
    """Read where a model's checkpoint is, whatever else is wrong with it."""
    try:
        found = Weights.model_validate(model["weights"])
    except (ValidationError, TypeError, LookupError):
        return None
    is_one = (found.hub is None) != (found.path is None) and (found.hub is None) == (found.revision is None)
    return found if is_one else None


def is_name(name: Any) -> bool:
    """Whether a model may be called so."""
    return isinstance(name, str) and re.fullmatch(MODEL_NAME, name) is not None
