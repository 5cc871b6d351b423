"""models.lock.json beside the models file: the facts of every checkpoint, and of what files its revision consists.

A commit already fixes a repository's content; the lock notices a mirror, a bucket or a disk that does not keep it, and
lets everything be planned without network.
"""

import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from deployment.checkpoint.facts import Checkpoint
from deployment.errors import ConfigError, why
from deployment.frozen import Frozen
from deployment.problems import flaw


class LockedFile(Frozen):
    """One file of a checkpoint. A hub knows large files by their SHA-256 and the others by git's own digest."""

    size: Annotated[int, Field(ge=0)]
    sha256: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None = None
    git_sha1: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None

    def agrees_with(self, other: "LockedFile") -> bool:
        """Whether they may be the same content, by all that both know."""
        pairs = ((self.sha256, other.sha256), (self.git_sha1, other.git_sha1))
        return self.size == other.size and all(None in pair or pair[0] == pair[1] for pair in pairs)

    @model_validator(mode="after")
    def _has_a_digest(self) -> Self:
        if self.sha256 is None and self.git_sha1 is None:
            raise ValueError("a file without a digest")
        return self


class LockedModel(Frozen):
    """A checkpoint: a repository at a commit, or a directory; its files where they are known, and its facts."""

    hub: str | None = None
    commit: Annotated[str, Field(pattern=r"^[0-9a-f]{40}$")] | None = None
    path: str | None = None
    files: dict[str, LockedFile] = Field(default_factory=dict)
    checkpoint: Checkpoint

    def __str__(self) -> str:
        return self.path or f"{self.hub} at {str(self.commit)[:12]}"

    def with_digests_of(self, before: "LockedModel | None") -> "LockedModel":
        """Keep what is known of the same files already: a download finds more digests than a hub tells."""
        if before is None or before.source != self.source:
            return self
        files = {
            path: known if (known := before.files.get(path)) and known.agrees_with(file) else file
            for path, file in self.files.items()
        }
        return self.model_copy(update={"files": files})

    @property
    def source(self) -> tuple[str | None, str | None, str | None]:
        """What of models.yaml it was read for."""
        return self.hub, self.commit, self.path


class ModelLock(Frozen):
    """All that was locked."""

    schema_: Literal["axion.models.lock/2"] = Field("axion.models.lock/2", alias="schema")
    models: dict[str, LockedModel] = Field(default_factory=dict)

    def with_models(self, found: Mapping[str, LockedModel]) -> "ModelLock":
        """Add what was found, or put it in the place of what was there."""
        return ModelLock(models=dict(sorted({**self.models, **found}.items())))

    def without(self, names: Iterable[str]) -> "ModelLock":
        return ModelLock(models={name: model for name, model in self.models.items() if name not in set(names)})


def lock_path(models_file: Path) -> Path:
    return models_file.resolve().with_name(f"{models_file.stem}.lock.json")


def read_lock(path: Path) -> ModelLock:
    """Read the lock file; nothing is locked where there is none. Raises ConfigError for one that is broken."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(data, dict) and data.get("schema") == "axion.models.lock/1":
            what = "of an earlier version, without the checkpoints' facts"
            raise ConfigError([f"{path.name}: {what}, got axion.models.lock/1. To go on, {ANEW}"])
        return ModelLock.model_validate(data)
    except FileNotFoundError:
        return ModelLock()
    except ValidationError as error:
        wrong = flaw(error)
    except (OSError, UnicodeDecodeError) as error:
        wrong = why(error)
    except json.JSONDecodeError as error:
        wrong = f"not JSON: {error}"
    except ValueError:
        wrong = "a number of thousands of digits"
    except RecursionError:
        wrong = "nested too deeply"
    raise ConfigError([f"{path.name}: cannot be read: {wrong}. Restore it from version control, or {ANEW}"])


ANEW = "remove it and run `fab models-update all`."


def write_lock(path: Path, lock: ModelLock) -> None:
    """Write it whole, and only when it says something new."""
    said = {"schema": "axion.models.lock/2", **lock.model_dump(mode="json", exclude_defaults=True)}
    text = json.dumps(said, indent=1, sort_keys=True) + "\n"
    if path.exists() and path.read_text(encoding="utf-8") == text:
        return
    draft = path.with_name(f".{path.name}.new")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())  # or a power cut would leave an empty one of its name
    draft.replace(path)
