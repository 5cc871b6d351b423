"""One model on its way to this host: what of it is there, what has to come, and how it is put in its place."""

import shutil
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from agent.content import Content
from agent.durable import put_in_place
from agent.files import ListedFile, PullError, digests_of
from agent.protocol import CheckpointManifest, PullEvent, StoredFile, WantedFile
from agent.safetensors_header import POINTER_MAX_BYTES, is_pointer
from agent.weights import MANIFEST, Source

FILES_AT_ONCE = 4
ANOTHER = "Take another commit or repository, or have its publisher complete it."


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
                event = PullEvent(self._model, done_bytes=self._done, total_bytes=self._total)
                print(event.to_json(), flush=True)


@dataclass
class Model:
    """One model on its way."""

    name: str
    hub: str
    revision: str
    locked: Mapping[str, WantedFile]
    final: Path
    files: list[ListedFile]
    """What an engine reads."""
    content: Content

    @property
    def identity(self) -> str:
        return f"{self.hub} {self.revision}"

    @property
    def distinct(self) -> dict[str, ListedFile]:
        """Each content once, however often the model has it."""
        return {file.sha256 or file.path: file for file in self.files}

    def known_sha256(self, file: ListedFile) -> str | None:
        entry = self.locked.get(file.path)
        return file.sha256 or (entry.sha256 if entry is not None and entry.size == file.size else None)

    def missing(self) -> dict[Path, int]:
        """Bytes that have still to come, by where they will come to."""
        found = {}
        for file in self.distinct.values():
            if not self.content.has(self.known_sha256(file), file.size):
                part = self.content.part(self.identity, file)
                found[part] = file.size - (part.stat().st_size if part.is_file() else 0)
        return found

    def check_lock(self, listed: list[ListedFile]) -> None:
        """Refuse another content than the one that was locked, before it costs an hour."""
        if not self.locked:
            return
        there = {file.path: file for file in listed}
        new = {file.path for file in self.files} - self.locked.keys()
        different = sorted(new | {path for path, entry in self.locked.items() if not _is_same(there.get(path), entry)})
        if different:
            raise PullError(
                f"{self.name}: not what models.lock.json says of {self.hub}, got another {', '.join(different[:3])}. "
                f"Find out who changed it; to accept it all the same, remove {self.name} from the lock file."
            )


def _is_same(file: ListedFile | None, entry: WantedFile) -> bool:
    """A file's digests are those of the lock, as far as both know the same kind."""
    if file is None or file.size != entry.size:
        return False
    pairs = ((file.sha256, entry.sha256), (file.git_sha1, entry.git_sha1))
    return all(None in pair or pair[0] == pair[1] for pair in pairs)


def pull(model: Model, source: Source) -> CheckpointManifest:
    """Fetch and verify what is missing, and put the model into its place by one rename."""
    distinct = model.distinct
    size = sum(file.size for file in distinct.values())
    meter = Meter(model.name, size, size - sum(model.missing().values()))
    meter(0)
    pool = ThreadPoolExecutor(FILES_AT_ONCE)
    try:
        obtained = pool.map(lambda file: obtain(model, source, file, meter), distinct.values())
        digests = dict(zip(distinct, obtained, strict=True))
    finally:
        pool.shutdown(cancel_futures=True)
    files = sorted(model.files, key=lambda file: file.path)
    return assemble(model, {file.path: StoredFile(file.size, digests[file.sha256 or file.path]) for file in files})


def assemble(model: Model, files: Mapping[str, StoredFile]) -> CheckpointManifest:
    """Make the directory of what the store has, anew where an earlier one was not finished: links cost nothing."""
    partial = model.final.parent.with_name(f".{model.name}.{model.revision}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    for path, entry in files.items():
        assert entry.sha256 is not None, "it was just computed"
        model.content.place(entry.sha256, partial / path)
    manifest = CheckpointManifest(files, model.hub, model.revision)
    (partial / MANIFEST).write_text(manifest.to_json(indent=1) + "\n")
    model.final.parent.mkdir(parents=True, exist_ok=True)
    put_in_place(partial, model.final)
    return manifest


def obtain(model: Model, source: Source, file: ListedFile, meter: Meter) -> str:
    """Have one file in the store, where it gets if it is what repository and lock file say; returns its SHA-256."""
    known, content = model.known_sha256(file), model.content
    if known is not None and content.verified(known, file.size):
        return known
    part = content.part(model.identity, file)
    source.fetch(model.hub, model.revision, file, part, meter)
    found = digests_of(part)
    locked = model.locked.get(file.path)
    is_locked = locked is None or locked.git_sha1 in (None, found.git_sha1)
    if not file.matches(found) or known not in (None, found.sha256) or not is_locked:
        part.unlink()
        raise PullError(
            f"{model.name}: {file.path} is corrupted, got SHA-256 {found.sha256} of {found.size} bytes. It was "
            "removed; run the same command again, and look for a broken proxy, mirror or disk if it persists."
        )
    if found.size < POINTER_MAX_BYTES and is_pointer(part.read_bytes()):
        part.unlink()
        raise PullError(f"{model.name}: {file.path} is a pointer of git LFS, got {found.size} bytes. {ANOTHER}")
    content.keep(part, found.sha256)
    return found.sha256
