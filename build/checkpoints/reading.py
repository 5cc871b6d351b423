"""The models file as tasks change it: what it names is described anew, and both files are written together."""

import json
from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.checkpoints.described import BRANCH, Found, from_directory, from_hub
from build.checkpoints.stanzas import save
from build.remote.host import Host
from build.remote.target import path_on
from deployment.checkpoint.lock import LockedModel, ModelLock, lock_path, read_lock
from deployment.errors import ConfigError
from deployment.models.load import is_name, read_document, read_models_text
from deployment.models.reserved import ALL, why_reserved
from deployment.models.stanza import add_stanza, set_revision
from deployment.problems import NAME_RULE
from deployment.quantities import shown_bytes


@dataclass(frozen=True, slots=True)
class Reading:
    """A models file, and the host on which its directories lie."""

    file: Path
    host: Host

    @property
    def text(self) -> str:
        return read_models_text(self.file)

    @property
    def weights(self) -> Mapping[str, Mapping[str, Any]]:
        """Where each model's checkpoint is, whatever else is wrong with the file. Raises ConfigError."""
        found = {name: each.get("weights") for name, each in self.models.items()}
        return {name: each for name, each in found.items() if isinstance(each, dict)}

    @property
    def models(self) -> Mapping[str, Mapping[str, Any]]:
        """The stanzas that are mappings. Raises ConfigError where the file is not YAML."""
        models = read_document(self.text, self.file.name).data.get("models")
        listed = models.items() if isinstance(models, dict) else ()
        return {str(name): each for name, each in listed if isinstance(each, dict)}

    @property
    def aliases(self) -> Set[str]:
        """What clients call models already."""
        listed = [each.get("aliases") for each in self.models.values()]
        return {str(alias) for aliases in listed if isinstance(aliases, list) for alias in aliases}

    def check_room_for(self, name: str) -> None:
        """See before anything is fetched that a model of this name can be written. Raises ConfigError."""
        read_lock(lock_path(self.file))
        if not is_name(name):
            raise ConfigError([f"models.{name}: not a usable name, got {json.dumps(name)}. {NAME_RULE}."])
        if why := why_reserved(name):
            raise ConfigError([f"models.{name}: reserved, it {why}, got {json.dumps(name)}. Choose another: --name."])
        add_stanza(self.text, name, {"description": name})

    def chosen(self, names: str) -> tuple[str, ...]:
        """Take the models that were named, or all of them. Raises ConfigError for one that is not there."""
        known = tuple(self.weights)
        wanted = known if names == ALL else tuple(name.strip() for name in names.split(","))
        unknown = [name for name in wanted if name not in known]
        if unknown:
            raise ConfigError(
                [f"models.{name}: no such model, got {name}. Use {', '.join(known)}." for name in unknown]
            )
        return wanted

    def described(self, what: str, revision: str | None) -> Found:
        """Describe a directory that is there, else a repository of the hub."""
        directory = path_on(self.host.target, what, self.file)
        is_path = what.startswith(("/", ".", "~")) or what.count("/") != 1 or Path(directory).is_dir()
        if is_path:
            return from_directory(self.host, directory, what)
        return from_hub(what, revision or BRANCH)

    def again(self, name: str, revision: str | None) -> Found:
        """Describe what a model of the file names."""
        weights = self.weights[name]
        if weights.get("path") is not None:
            if revision is not None:
                raise ConfigError([f"models.{name}: a directory has no revision, got {revision}. Leave it out."])
            return self.described_at(str(weights["path"]))
        return from_hub(str(weights.get("hub")), revision or str(weights.get("revision") or BRANCH))

    def described_at(self, path: str) -> Found:
        return from_directory(self.host, path_on(self.host.target, path, self.file), path)

    def save(self, text: str, found: Mapping[str, LockedModel]) -> None:
        """Write both files. Files of a commit that were known with more digests stay known."""
        lock = self.lock
        kept = {name: each.with_digests_of(lock.models.get(name)) for name, each in found.items()}
        save(self.file, text, lock.with_models(kept))

    @property
    def lock(self) -> ModelLock:
        return read_lock(lock_path(self.file))


def pinned(text: str, name: str, locked: LockedModel) -> str:
    """Write the commit that was found where it stands."""
    return set_revision(text, name, locked.commit) if locked.commit else text


def size_of(found: Found) -> str:
    """How large its tensors are, in the files."""
    return f"{shown_bytes(found.locked.checkpoint.tensors.size)} of tensors"


def say_added(host: Host, name: str, found: Found, file: Path) -> None:
    """Tell what became of it, and what comes next."""
    checkpoint = found.locked.checkpoint
    method = checkpoint.quantization.method if checkpoint.quantization else checkpoint.shape.dtype
    kind = f"{checkpoint.shape.architecture}, {method}, {size_of(found)}"
    read = f"; {shown_bytes(found.read_bytes)} read" if found.read_bytes else ""
    host.reporter.say(f"{name}: {found.locked}, {kind}{read}")
    host.reporter.say(f"It is in {file.name} and {lock_path(file).name}; `fab plan` says whether it fits.")
