"""Where a checkpoint's files come from besides a hub: a directory of the host, or a bucket."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Protocol

from agent.files import ListedFile, PullError
from agent.message import MessageError
from agent.protocol import CheckpointManifest, StoredFile

MANIFEST = ".axion-manifest.json"
"""What a checkpoint's directory says about its files, once all of them were verified."""
COPY_TIMEOUT_S = 6 * 3600.0
HOW_TO_FILL = "Put a model's directory of another host there: `gcloud storage cp --recursive DIRECTORY"
Tell = Callable[[int], None]


class Source(Protocol):
    """A place that has repositories. A hub is one as well."""

    def listing(self, hub: str, revision: str) -> tuple[str, list[ListedFile]]:
        """Return the commit that a revision is, and its files."""

    def read(self, hub: str, commit: str, file: ListedFile, start: int, count: int) -> bytes:
        """Return bytes of a file."""

    def fetch(self, hub: str, commit: str, file: ListedFile, part: Path, tell: Tell) -> None:
        """Bring `part` to the file's full length, from the length that it has."""


def manifest_of(folder: Path) -> Mapping[str, StoredFile]:
    """The files that a directory's manifest names, with sizes and digests; none where there is no whole manifest."""
    manifest = CheckpointManifest.of_file(folder / MANIFEST)
    return manifest.files if manifest is not None else {}


class DirectorySource:
    """A directory with <hub>/<revision>/ for each model, filled by hand or copied from another host."""

    def __init__(self, place: str) -> None:
        self._place = Path(place)

    def listing(self, hub: str, revision: str) -> tuple[str, list[ListedFile]]:
        folder = self._place / hub / revision
        found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
        if not found:
            raise PullError(f"{folder}: no such model. Copy the files of {hub} at {revision} there.")
        sizes = {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}
        return revision, _listed(sizes, manifest_of(folder))

    def read(self, hub: str, commit: str, file: ListedFile, start: int, count: int) -> bytes:
        with (self._place / hub / commit / file.path).open("rb") as content:
            content.seek(start)
            return content.read(count)

    def fetch(self, hub: str, commit: str, file: ListedFile, part: Path, tell: Tell) -> None:
        before = part.stat().st_size if part.exists() else 0
        shutil.copyfile(self._place / hub / commit / file.path, part)
        tell(file.size - before)


class BucketSource:
    """A bucket that was filled from such a directory. gcloud copies, as the host's own account."""

    def __init__(self, place: str) -> None:
        self._place = place.rstrip("/")

    def listing(self, hub: str, revision: str) -> tuple[str, list[ListedFile]]:
        folder = f"{self._place}/{hub}/{revision}"
        found = json.loads(gcloud(folder, "objects", "list", f"{folder}/**", "--format=json(name,size)"))
        below = f"{folder.removeprefix('gs://').partition('/')[2]}/"
        sizes = {each["name"].removeprefix(below): int(each["size"]) for each in found}
        if not sizes:
            raise PullError(f"{folder}: no such model. {HOW_TO_FILL} {folder}`.")
        known: Mapping[str, StoredFile] = {}
        if MANIFEST in sizes:
            try:
                known = CheckpointManifest.from_json(gcloud(folder, "cat", f"{folder}/{MANIFEST}")).files
            except MessageError as error:
                raise PullError(f"{folder}/{MANIFEST}: not understood: {error}. {HOW_TO_FILL} {folder}`.") from None
        return revision, _listed({path: size for path, size in sizes.items() if path != MANIFEST}, known)

    def read(self, hub: str, commit: str, file: ListedFile, start: int, count: int) -> bytes:
        end = min(start + count, file.size) - 1
        address = f"{self._place}/{hub}/{commit}/{file.path}"
        return gcloud_bytes(file.path, "cat", f"--range={start}-{end}", address) if end >= start else b""

    def fetch(self, hub: str, commit: str, file: ListedFile, part: Path, tell: Tell) -> None:
        before = part.stat().st_size if part.exists() else 0
        gcloud(file.path, "cp", f"{self._place}/{hub}/{commit}/{file.path}", str(part))
        tell(file.size - before)


def gcloud(what: str, *words: str) -> str:
    return gcloud_bytes(what, *words).decode()


def gcloud_bytes(what: str, *words: str) -> bytes:
    """Ask Google's storage. Raises PullError with what gcloud said last."""
    try:
        asked = ("gcloud", "storage", *words, "--quiet")
        done = subprocess.run(asked, capture_output=True, check=False, timeout=COPY_TIMEOUT_S)
    except OSError as error:
        raise PullError(f"{what}: cannot be copied: {error}. Install gcloud on the host.") from None
    if done.returncode:
        last = (done.stderr.decode(errors="replace").strip().splitlines() or ["nothing said"])[-1]
        raise PullError(f"{what}: cannot be copied: {last}. Let the host's account read the bucket.")
    return done.stdout


def _listed(sizes: Mapping[str, int], known: Mapping[str, StoredFile]) -> list[ListedFile]:
    return [ListedFile(path, size, known[path].sha256 if path in known else None) for path, size in sizes.items()]
