"""models.lock.json beside the models file: what each pinned revision consisted of when it was first downloaded.

A commit already fixes a repository's content; the lock file notices a mirror, a bucket or a disk that does not keep it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from build.errors import DeployError


class Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class LockedFile(Frozen):
    """One file of a checkpoint."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class LockedModel(Frozen):
    """What a repository is at a commit."""

    hub: str
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")]
    files: dict[str, LockedFile]


class ModelLock(Frozen):
    """All that was locked."""

    schema_: Literal["axion.models.lock/1"] = Field("axion.models.lock/1", alias="schema")
    models: dict[str, LockedModel] = {}

    def files_of(self, name: str, hub: str, commit: str) -> dict[str, dict[str, object]] | None:
        """What a model must consist of; None when it was never downloaded at this commit."""
        model = self.models.get(name)
        if model is None or (model.hub, model.commit) != (hub, commit):
            return None
        return {path: file.model_dump() for path, file in model.files.items()}

    def with_models(self, found: Mapping[str, LockedModel]) -> "ModelLock":
        """Add what was found; a model whose files nobody knows is not locked."""
        return ModelLock(models=dict(sorted({**self.models, **{k: v for k, v in found.items() if v.files}}.items())))


def lock_path(models_file: Path) -> Path:
    return models_file.resolve().with_name(f"{models_file.stem}.lock.json")


def read_model_lock(path: Path) -> ModelLock:
    """Read the lock file; nothing is locked where there is none. Raises DeployError for one that is broken."""
    try:
        return ModelLock.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return ModelLock()
    except (OSError, ValidationError, UnicodeDecodeError) as error:
        first = str(error).splitlines()[-1 if isinstance(error, OSError) else 0]
        raise DeployError(
            f"{path.name}: cannot be read, got {first}. Restore it from version control, or remove it: the next "
            "download writes it anew."
        ) from None


def write_model_lock(path: Path, lock: ModelLock) -> None:
    """Write it whole, and only when it says something new."""
    text = json.dumps(lock.model_dump(by_alias=True), indent=1, sort_keys=True) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    draft = path.with_name(f".{path.name}.new")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
