"""What below the root of a host is ours. Reads only.

The lock's first holder wrote down what was there before us (BEFORE): all of that stays. A folder that we made is ours
with all that is in it, but for checkpoints that people put there. In one that was there, or on a host that is older
than that record, ours is what is known by its name. A link is somebody's who wanted the folder elsewhere: nothing is
looked for behind it, for what is there may be another checkout's.
"""

import os
import pwd
import re
from collections.abc import Iterator
from pathlib import Path

from agent.content import downloaded
from agent.lock import BEFORE, FOLDERS
from agent.protocol import Before
from agent.running import ReleaseUnits

LINKS = ("current", "confirmed", ".current.new", ".confirmed.new")
RELEASE = re.compile(r"\d[\w-]*-[0-9a-f]{8}")
ARCHIVE = re.compile(r"[0-9a-f]{16}\.pyz")
BUILD = re.compile(r"[0-9a-f]{16}")
ASIDE = re.compile(r"\..+\.(new|stale|partial)")
WORK = ("ccache", "environment", "models", "packages")
STATE = (".models-file", "way.back")
RUNNER = ("supervisord", "supervisor", "gateway")


def units_of(release: Path) -> "list[str]":
    """Which units a release has, whatever version of ours rendered it, and however much of it is left."""
    read = ReleaseUnits.of_file(release)
    return list(read.units) if read else []


def before_of(root: Path) -> "Before | None":
    """What was there before us; None where nobody wrote it down. Raises OSError, and MessageError where it is written
    and not understood: to take that for no record would remove what was there before.
    """
    try:
        return Before.from_json((root / BEFORE).read_bytes())
    except FileNotFoundError:
        return None


def text_of(path: Path) -> str:
    """What a file says; nothing where it cannot be read."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def entries(folder: Path) -> "list[Path]":
    """What lies in a directory; nothing where there is none, or only a link to one."""
    try:
        return [] if folder.is_symlink() else sorted(folder.iterdir())
    except OSError:
        return []


class Ours:
    """One root, and what a person wants of it."""

    def __init__(self, root: Path, user: str, *, keeps_models: bool) -> None:
        self.root, self.user, self.keeps_models = root, user, keeps_models
        self.before = before_of(root)
        self.there = self.before.there if self.before else {}
        self.names = {*RUNNER, *self._engines()}

    @property
    def lock(self) -> "Path | None":
        """The lock's file, where it is below the root itself."""
        folder = self.root / "state"
        return None if folder.is_symlink() else folder / "deploy.lock"

    def all(self) -> "list[Path]":
        """Everything. Releases come late, for they tell the engines' names, and checkpoints after what names them."""
        return [path for paths in self.by_folder().values() for path in paths]

    def by_folder(self) -> "dict[Path, list[Path]]":
        """The same by where it lies; nothing of it is there twice."""
        if not self.before and not os.path.lexists(self.root / "state" / "deploy.lock"):
            return {}  # no task of ours has ever held this root, or its uninstallation is over
        found = {self.root: [path for name in LINKS for path in (self.root / name,) if os.path.lexists(path)]}
        for name in ("state", "logs", "run", "work", "agent", "answered", "builds", "releases", "models"):
            found[self.root / name] = list(self._of(name))
        return {folder: paths for folder, paths in found.items() if paths}

    def stays(self) -> "list[str]":
        """What of others lies among it, to be told."""
        gone = {*self.all(), self.root / "state" / "deploy.lock", self.root / "models" / ".content"}
        folders = [self.root / name for name in FOLDERS]
        mixed = [path for folder in folders for path in entries(folder) if path not in gone]
        if self.keeps_models:
            mixed = [path for path in mixed if path.parent.name != "models"]
            mixed += [path for path in (self.root / "models",) if path.is_dir()]
        known = {*(folder for folder in folders if not folder.is_symlink()), *gone, self.root / BEFORE}
        return [f"{path}: not ours" for path in (*mixed, *(each for each in entries(self.root) if each not in known))]

    def outside(self) -> "list[str]":
        """The checkpoints elsewhere that releases name."""
        said = [text_of(path) for path in self.root.glob("releases/*/engines/*.yaml")]
        found = {path for text in said for path in re.findall(r"^model: [\"']?(/[^\"'\n]+)", text, re.MULTILINE)}
        return sorted(path for path in found if os.path.isdir(path) and self.root not in Path(path).parents)  # noqa: PTH112 - a name that is too long is no directory

    def traces(self) -> "list[str]":
        """What is left of an uninstallation that ended before its last step."""
        record = self.root / BEFORE
        is_kept_on = self.keeps_models and (self.root / "models").is_dir()
        found = [self.lock, *([] if is_kept_on else [record])]
        empty = [folder for folder in self.made_below() if not entries(folder)]
        return [f"{path}: to tell what is ours" for path in found if path and path.is_file()] + [
            f"{path}: empty" for path in empty
        ]

    def made_below(self) -> "list[Path]":
        """The folders that were not there before us; none where nobody wrote down what was."""
        folders = [self.root / name for name in FOLDERS if self.before and name not in self.there]
        return [folder for folder in folders if folder.is_dir() and not folder.is_symlink()]

    def made_roots(self) -> "list[Path]":
        """The root and those above it that we made, innermost first."""
        made = self.before.made if self.before else ()
        return [path for path in (self.root, *self.root.parents) if str(path) in made]

    def _of(self, name: str) -> Iterator[Path]:
        folder = self.root / name
        is_made = bool(self.before) and name not in self.there
        stays = {"deploy.lock", *self.there.get(name, ())}
        if name == "models":
            yield from () if self.keeps_models else (path for path in self._models(folder) if path.name not in stays)
            return
        for path in entries(folder):
            if path.name not in stays and (is_made or self._is_known(name, path)):
                yield path

    def _models(self, folder: Path) -> Iterator[Path]:
        """What was downloaded: <model>/<commit>, the contents that those link to, and halves of either."""
        whole = downloaded(folder)
        for path in entries(folder):
            if path.name == ".content" or ASIDE.fullmatch(path.name):
                yield path
            elif path.name not in self.there.get("models", ()):
                yield from (commit for commit in entries(path) if commit in whole or ASIDE.fullmatch(commit.name))

    def _is_known(self, folder: str, path: Path) -> bool:
        if ASIDE.fullmatch(path.name):
            return True
        stem = path.name.partition(".")[0]
        return {
            "agent": lambda: ARCHIVE.fullmatch(path.name) is not None,
            "answered": lambda: RELEASE.fullmatch(path.name) is not None,
            "builds": lambda: BUILD.fullmatch(path.name) is not None,
            "releases": lambda: RELEASE.fullmatch(path.name) is not None,
            "logs": lambda: path.name == "audit.jsonl" or stem in self.names,
            "run": lambda: stem in self.names,
            "state": lambda: path.name in (*STATE, *self.names) or self._is_the_accounts(path),
            "work": lambda: path.name in WORK,
        }[folder]()

    def _is_the_accounts(self, path: Path) -> bool:
        """Whether engines' account owns it: only we make something for that."""
        try:
            return path.lstat().st_uid == pwd.getpwnam(self.user).pw_uid
        except (OSError, KeyError):
            return False

    def _engines(self) -> Iterator[str]:
        for path in self.root.glob("releases/*/release.json"):
            yield from units_of(path)
        yield from (path.stem for path in self.root.glob("run/*.lock"))
