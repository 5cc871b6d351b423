"""Where a checkpoint's files come from: a hub, a directory, a bucket; and which of them an engine reads."""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from build.onhost.hub import Hub, HubFile, PullError

MANIFEST = ".axion-manifest.json"
"""What a checkpoint's directory says about its files, once all of them were verified."""
COPY_TIMEOUT_S = 6 * 3600.0
HOW_TO_FILL = "Put a model's directory of another host there: `gcloud storage cp --recursive DIRECTORY"
# The same weights in formats that vLLM does not need, and pictures for the hub's page.
NOT_NEEDED = (
    *(".bin", ".pt", ".pth", ".ckpt", ".gguf", ".ggml", ".onnx", ".onnx_data", ".h5", ".msgpack", ".ot", ".tflite"),
    *(".png", ".jpg", ".jpeg", ".gif", ".webp", ".mp4", ".pdf"),
)
NOT_NEEDED_BELOW = ("original/", "onnx/", "openvino/", "coreml/", "gguf/")


def needed(files: list[HubFile]) -> list[HubFile]:
    """Choose what an engine reads. Mistral's repositories hold every weight twice, once as consolidated.safetensors."""
    chosen = [
        file
        for file in files
        if not file.path.lower().endswith(NOT_NEEDED) and not file.path.startswith((*NOT_NEEDED_BELOW, "."))
    ]
    has_shards = any(file.path.startswith("model") and file.path.endswith(".safetensors") for file in chosen)
    return [file for file in chosen if not (has_shards and file.path.startswith("consolidated"))]


def manifest_of(folder: Path) -> dict[str, dict[str, Any]]:
    """The files that a directory's manifest names; none where there is no manifest."""
    try:
        files: dict[str, dict[str, Any]] = json.loads((folder / MANIFEST).read_text())["files"]
        return files
    except (OSError, ValueError, LookupError):
        return {}


class HubSource:
    """The hub itself, or a mirror of it."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def listing(self, hub: str, revision: str) -> tuple[str, list[HubFile]]:
        commit, files = self._hub.listing(hub, revision)
        return commit, needed(files)

    def fetch(self, hub: str, commit: str, file: HubFile, part: Path, tell: Callable[[int], None]) -> None:
        self._hub.download(hub, commit, file, part, tell)


class DirectorySource:
    """A directory with <hub>/<revision>/ for each model, filled by hand or copied from another host."""

    def __init__(self, place: str) -> None:
        self._place = Path(place)

    def listing(self, hub: str, revision: str) -> tuple[str, list[HubFile]]:
        folder = self._place / hub / revision
        found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
        if not found:
            raise PullError(f"{folder}: no such model, got no files. Copy the files of {hub} at {revision} there.")
        known = manifest_of(folder)
        names = {path.relative_to(folder).as_posix(): path.stat().st_size for path in found}
        files = [HubFile(name, size, sha256_in(known, name), None) for name, size in names.items()]
        return revision, needed(files)

    def fetch(self, hub: str, commit: str, file: HubFile, part: Path, tell: Callable[[int], None]) -> None:
        before = part.stat().st_size if part.exists() else 0
        shutil.copyfile(self._place / hub / commit / file.path, part)
        tell(file.size - before)


class BucketSource:
    """A bucket that was filled from such a directory. gcloud copies, as the host's own account."""

    def __init__(self, place: str) -> None:
        self._place = place.rstrip("/")

    def listing(self, hub: str, revision: str) -> tuple[str, list[HubFile]]:
        folder = f"{self._place}/{hub}/{revision}"
        found = json.loads(gcloud(folder, "objects", "list", f"{folder}/**", "--format=json(name,size)"))
        below = f"{folder.removeprefix('gs://').partition('/')[2]}/"
        sizes = {each["name"].removeprefix(below): int(each["size"]) for each in found}
        if not sizes:
            raise PullError(f"{folder}: no such model, got no objects. {HOW_TO_FILL} {folder}`.")
        known = json.loads(gcloud(folder, "cat", f"{folder}/{MANIFEST}"))["files"] if MANIFEST in sizes else {}
        return revision, needed([HubFile(name, size, sha256_in(known, name), None) for name, size in sizes.items()])

    def fetch(self, hub: str, commit: str, file: HubFile, part: Path, tell: Callable[[int], None]) -> None:
        before = part.stat().st_size if part.exists() else 0
        gcloud(file.path, "cp", f"{self._place}/{hub}/{commit}/{file.path}", str(part))
        tell(file.size - before)


def gcloud(what: str, *words: str) -> str:
    """Ask Google's storage. Raises PullError with what gcloud said last."""
    try:
        asked = ("gcloud", "storage", *words, "--quiet")
        done = subprocess.run(asked, capture_output=True, text=True, check=False, timeout=COPY_TIMEOUT_S)
    except OSError as error:
        raise PullError(f"{what}: cannot be copied, got {error}. Install gcloud on the host.") from None
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing said"])[-1]
        raise PullError(f"{what}: cannot be copied, got {last} Let the host's account read the bucket.")
    return done.stdout


def sha256_in(known: Mapping[str, Mapping[str, str]], path: str) -> str | None:
    return known[path]["sha256"] if path in known else None


Source = HubSource | DirectorySource | BucketSource
