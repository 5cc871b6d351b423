"""Files of checkpoints by what they hold: a host downloads the same content once, whoever names it.

<root>/models/.content/<sha256> is a file, <root>/models/<model>/<commit>/ is made of hard links to such files: another
commit of a model, another name for it or another model of the same weights costs the names alone. What only the store
still links to, nobody uses. What is not whole yet is there as <key>.part, also for a download that comes later.

Behind a symbolic link is what somebody wanted elsewhere, and maybe another root's: engines read it, nothing here does.
"""

import fcntl
import hashlib
import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG

from agent.files import ListedFile, digests_of
from agent.weights import MANIFEST, manifest_of

COMMIT_DIGITS = 40
PART_KEPT_S = 7 * 24 * 3600.0
"""What broke off and was not gone on with for so long is nobody's any more."""


class Content:
    """The store of one host."""

    def __init__(self, models: Path) -> None:
        self._models, self._folder = models, models / ".content"
        self._held: int | None = None

    def path(self, sha256: str) -> Path:
        return self._folder / sha256

    def part(self, identity: str, file: ListedFile) -> Path:
        """Where a file comes into being. `identity` names its repository and commit, for what has no digest yet."""
        key = file.sha256 or hashlib.sha256(f"{identity} {file.path}".encode()).hexdigest()
        return self._folder / f"{key}.part"

    def has(self, sha256: str | None, size: int) -> bool:
        try:
            return sha256 is not None and self.path(sha256).stat().st_size == size
        except OSError:
            return False

    def verified(self, sha256: str | None, size: int) -> bool:
        """Whether a content is there, read anew; what is no longer what its name says is removed."""
        if sha256 is None or not self.has(sha256, size):
            return False
        is_right = digests_of(self.path(sha256)).sha256 == sha256
        if not is_right:
            self.path(sha256).unlink()
        return is_right

    def keep(self, part: Path, sha256: str) -> None:
        part.replace(self.path(sha256))

    def place(self, sha256: str, at: Path) -> None:
        at.parent.mkdir(parents=True, exist_ok=True)
        os.link(self.path(sha256), at)

    def begin(self) -> None:
        """Make the store, with what lies in models that were downloaded before there was one.

        Until `end`, or the end of this process, nothing that has come is pruned for not being linked to yet.
        """
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        with suppress(OSError):  # of a file system that knows no such locks
            fcntl.flock(self._held, fcntl.LOCK_SH)
        for folder in downloaded(self._models):
            for path, entry in manifest_of(folder).items():
                file, sha256 = folder / path, entry.sha256
                is_whole = file.is_file() and file.stat().st_size == entry.size
                if sha256 is not None and is_whole and not self.has(sha256, entry.size):
                    self.path(sha256).unlink(missing_ok=True)
                    os.link(file, self.path(sha256))

    def end(self) -> None:
        """All that has come is where it belongs, or may go."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def downloaded(models: Path) -> list[Path]:
    """Every directory that a download made, by its manifest and its place: <model>/<commit>. Others are not ours."""
    found = (manifest.parent for manifest in models.glob(f"*/*/{MANIFEST}"))
    return sorted(
        each
        for each in found
        if len(each.name) == COMMIT_DIGITS
        and not each.parent.name.startswith(".")
        and not (each.is_symlink() or each.parent.is_symlink())
    )


def prune(root: Path) -> list[str]:
    """Remove downloaded checkpoints that no release names, then the content that none is left of."""
    models = root / "models"
    if models.is_symlink():
        return []
    named = b"\n".join(path.read_bytes() for path in sorted((root / "releases").glob("*/engines/*")) if path.is_file())
    removed = []
    for folder in downloaded(models):
        if os.fsencode(f"/models/{folder.parent.name}/{folder.name}") not in named:
            # Renamed first: half a checkpoint must never lie under the name of a whole one.
            stale = folder.parent.with_name(f".{folder.parent.name}.{folder.name}.stale")
            shutil.rmtree(stale, ignore_errors=True)
            folder.rename(stale)
            removed.append(f"{folder.parent.name}/{folder.name}")
            if not any(folder.parent.iterdir()):
                folder.parent.rmdir()
    for stale in models.glob(".*.stale"):
        _remove_directory(stale)
    prune_store(models)
    return removed


def prune_store(models: Path) -> None:
    """Remove content that no checkpoint is made of; nothing while a download goes on, which links to it at its end."""
    store = models / ".content"
    try:
        held = os.open(store, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return  # there is none, or it is somebody's link
    try:
        if _is_locked(held):
            return
        for half in models.glob(".*.partial"):
            _remove_directory(half)
        for content in store.iterdir():
            is_part, about = content.suffix == ".part", content.lstat()
            is_left = (time.time() - about.st_mtime > PART_KEPT_S) if is_part else about.st_nlink == 1
            if S_ISREG(about.st_mode) and is_left:
                content.unlink()
    finally:
        os.close(held)


def _is_locked(store: int) -> bool:
    """Whether a download has the store. Of a file system that knows no such locks it is not known, so: no."""
    try:
        fcntl.flock(store, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _remove_directory(path: Path) -> None:
    """Only what a download makes has this form; of such a name there may be something else."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
