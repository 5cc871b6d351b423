"""Bring checkpoints to their place on this host, whole and verified or not at all; print how far it is.

Input: {"root", "source": {"kind": "hub", "endpoint"} | {"kind": "directory" | "bucket", "place"}, "is_thorough",
"models": {name: {"hub", "revision", "files": {path: {"size", "sha256"}} or null}}}; `files` are those of the lock file.
The hub's token is the credential `hub_token`, or HF_TOKEN of the environment.
Events: {"model", "bytes", "of"}; at the end {"models": {name: {"hub", "commit", "files"}}, "problems": [...]}.
Exit status 0 when every model is there.

<root>/models/.<name>.<revision>.partial holds what is finished under its own name and what is not as <file>.part.
"""

import json
import os
import shutil
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from build.onhost.hub import Digests, Hub, HubFile, PullError, digests_of
from build.onhost.weights import MANIFEST, BucketSource, DirectorySource, HubSource, Source, manifest_of

FILES_AT_ONCE = 4
MARGIN_BYTES = 1 << 30


class Meter:
    """Tells how many bytes of a model are there, at most once a second."""

    def __init__(self, model: str, total: int, done: int) -> None:
        self._model, self._total, self._done, self._told = model, total, done, 0.0
        self._lock = threading.Lock()

    def __call__(self, count: int) -> None:
        with self._lock:
            self._done += count
            if time.monotonic() >= self._told + 1 or self._done >= self._total:
                self._told = time.monotonic()
                print(json.dumps({"model": self._model, "bytes": self._done, "of": self._total}), flush=True)


@dataclass
class Model:
    """One model on its way."""

    name: str
    hub: str
    revision: str
    locked: dict[str, dict[str, Any]] | None
    final: Path
    partial: Path
    files: list[HubFile]

    @property
    def missing(self) -> list[HubFile]:
        return [file for file in self.files if not (self.partial / file.path).is_file()]

    @property
    def missing_bytes(self) -> int:
        parts = (self.partial / f"{file.path}.part" for file in self.missing)
        return sum(file.size for file in self.missing) - sum(part.stat().st_size for part in parts if part.exists())

    @property
    def size(self) -> int:
        return sum(file.size for file in self.files)

    def check_lock(self) -> None:
        """Refuse another content than the one that was locked, before it costs an hour."""
        if self.locked is None:
            return
        wanted = {path: (entry["size"], entry["sha256"]) for path, entry in self.locked.items()}
        found = {file.path: (file.size, file.sha256 or wanted.get(file.path, (0, ""))[1]) for file in self.files}
        different = sorted(path for path in wanted.keys() | found.keys() if wanted.get(path) != found.get(path))
        if different:
            raise PullError(
                f"{self.name}: not what models.lock.json says of {self.hub}, got another {', '.join(different[:3])}. "
                f"Find out who changed it; to accept it all the same, remove {self.name} from the lock file."
            )


def chosen_source(wanted: dict[str, Any]) -> Source:
    kind = wanted["kind"]
    if kind == "hub":
        return HubSource(Hub(wanted["endpoint"], token(), pause_s=wanted.get("pause_s", 0.5)))
    return DirectorySource(wanted["place"]) if kind == "directory" else BucketSource(wanted["place"])


def token() -> str | None:
    """The credential that the unit was given, else what the caller's environment holds."""
    try:
        return (Path(os.environ["CREDENTIALS_DIRECTORY"]) / "hub_token").read_text().strip() or None
    except (KeyError, OSError):
        return os.environ.get("HF_TOKEN") or None


def look(root: Path, name: str, wanted: dict[str, Any], source: Source) -> Model:
    """Find out what a model consists of, and hold it against the models file and the lock file."""
    hub, revision = wanted["hub"], wanted["revision"]
    commit, files = source.listing(hub, revision)
    if commit != revision:
        raise PullError(
            f"{name}: a name that may move, got {revision} for commit {commit} of {hub}. Write the commit as revision."
        )
    if not any(file.path.endswith(".safetensors") for file in files):
        raise PullError(f"{name}: no *.safetensors in {hub}, got {len(files)} other files. Choose another repository.")
    folder = root / "models"
    partial = folder / f".{name}.{revision}.partial"
    model = Model(name, hub, revision, wanted["files"], folder / name / revision, partial, files)
    model.check_lock()
    return model


def check_disk(root: Path, models: list[Model]) -> None:
    """Refuse before the first byte what would end with a full disk."""
    needed_bytes = sum(model.missing_bytes for model in models)
    existing = next(path for path in (root / "models", *root.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if needed_bytes and free < needed_bytes + MARGIN_BYTES:
        sizes = ", ".join(f"{model.name} {model.missing_bytes / 1e9:.1f}" for model in models if model.missing_bytes)
        raise PullError(
            f"{root}/models: too little free disk, got {free / 1e9:.1f} GB where {needed_bytes / 1e9:.1f} GB and "
            f"{MARGIN_BYTES / 1e9:.0f} GB to spare are needed ({sizes}). Free some, or enlarge the data disk."
        )


def pull(model: Model, source: Source) -> dict[str, Any]:
    """Fetch and verify what is missing, and put the model into its place by one rename."""
    meter = Meter(model.name, model.size, model.size - model.missing_bytes)
    meter(0)
    missing = model.missing
    there = [file for file in model.files if file not in missing]
    entries = {file.path: entry_of(digests_of(model.partial / file.path)) for file in there}
    pool = ThreadPoolExecutor(FILES_AT_ONCE)
    try:
        fetched = pool.map(lambda file: fetch(model, source, file, meter), missing)
        entries |= {file.path: entry for file, entry in zip(missing, fetched, strict=True)}
    finally:
        pool.shutdown(cancel_futures=True)
    record = {"hub": model.hub, "commit": model.revision, "files": dict(sorted(entries.items()))}
    model.partial.mkdir(parents=True, exist_ok=True)
    (model.partial / MANIFEST).write_text(json.dumps(record, indent=1) + "\n")
    model.final.parent.mkdir(parents=True, exist_ok=True)
    model.partial.rename(model.final)
    return record


def fetch(model: Model, source: Source, file: HubFile, meter: Meter) -> dict[str, Any]:
    """Bring one file; it gets its own name when it is what the repository and the lock file say."""
    final = model.partial / file.path
    part = final.with_name(f"{final.name}.part")
    final.parent.mkdir(parents=True, exist_ok=True)
    source.fetch(model.hub, model.revision, file, part, meter)
    found = digests_of(part)
    locked = (model.locked or {}).get(file.path)
    if not file.matches(found) or (locked is not None and locked != entry_of(found)):
        part.unlink()
        raise PullError(
            f"{model.name}: {file.path} is corrupted, got SHA-256 {found.sha256} of {found.size} bytes. It was "
            "removed; run the same command again, and look for a broken proxy, mirror or disk if it persists."
        )
    part.rename(final)
    return entry_of(found)


def entry_of(found: Digests) -> dict[str, Any]:
    return {"size": found.size, "sha256": found.sha256}


def present(root: Path, name: str, wanted: dict[str, Any], *, is_thorough: bool) -> dict[str, Any] | None:
    """Describe a model that is in its place already; None when it is not. Raises PullError when it was changed."""
    folder = root / "models" / name / wanted["revision"]
    if not folder.is_dir():
        return None
    known = manifest_of(folder) or wanted["files"] or {}
    for path, entry in known.items():
        file = folder / path
        size = file.stat().st_size if file.is_file() else None
        if size != entry["size"] or (is_thorough and digests_of(file).sha256 != entry["sha256"]):
            raise PullError(
                f"{name}: {folder}/{path} is not what was downloaded, got {size} bytes where {entry['size']} belong. "
                f"Remove {folder} and run `fab models-pull` again."
            )
    if wanted["files"] not in (None, known):
        raise PullError(f"{name}: {folder} is not what models.lock.json says. Remove it, run `fab models-pull` again.")
    return {"hub": wanted["hub"], "commit": wanted["revision"], "files": known}


def main() -> int:
    wanted = json.loads(sys.argv[1])
    root = Path(wanted["root"])
    records: dict[str, Any] = {}
    problems: list[str] = []
    models: list[Model] = []
    source = chosen_source(wanted["source"])
    for name, each in wanted["models"].items():
        try:
            record = present(root, name, each, is_thorough=wanted["is_thorough"])
            if record is None:
                models.append(look(root, name, each, source))
            else:
                records[name] = record
        except PullError as error:
            problems.append(str(error))
    try:
        if not problems:
            check_disk(root, models)
            for model in models:
                records[model.name] = pull(model, source)
    except PullError as error:
        problems.append(str(error))
    except OSError as error:
        problems.append(
            f"{root}/models: cannot be written, got {error}. Free some disk, then run the same command again."
        )
    print(json.dumps({"models": records, "problems": problems}), flush=True)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
