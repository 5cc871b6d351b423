"""Bring checkpoints to their place on this host, whole and verified or not at all; print how far it is.

Input: a PullOrder. Output: PullEvents, and at the end a PullAnswer. Exit status 0 when every model is there.
The hub's token is the credential `hub_token`, or HF_TOKEN of the environment.

Where the source is a hub, the Python of an engine environment runs it, which has huggingface_hub. Whatever has come of
a file lies in the store of content.py; a model is put together from it at the end and gets its name by one rename.
"""

import errno
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from agent.completeness import examine, examine_directory, needed
from agent.content import Content
from agent.files import ListedFile, PullError, UnreachableError, digests_of
from agent.protocol import CheckpointManifest, PullAnswer, PullEvent, PullOrder, PullSource, StoredFile, WantedModel
from agent.room import FULL_INODES, lack, room
from agent.transfer import ANOTHER, Model, pull
from agent.weights import BucketSource, DirectorySource, Source, manifest_of

MARGIN_BYTES = 1 << 30


def chosen_source(wanted: PullSource) -> Source:
    if wanted.kind == "hub":
        from agent.hub import Hub  # noqa: PLC0415 - which only an engine environment can import

        return Hub(wanted.place, token(), pause_s=wanted.pause_s, tell=lambda said: tell("hub", said))
    return DirectorySource(wanted.place) if wanted.kind == "directory" else BucketSource(wanted.place)


def tell(model: str, said: str) -> None:
    print(PullEvent(model, said).to_json(), flush=True)


def token() -> str | None:
    """The credential that the unit was given, else what the caller's environment holds."""
    try:
        return (Path(os.environ["CREDENTIALS_DIRECTORY"]) / "hub_token").read_text().strip() or None
    except (KeyError, OSError):
        return os.environ.get("HF_TOKEN") or None


def look(root: Path, name: str, wanted: WantedModel, source: Source) -> Model:
    """Find out what a model consists of, hold it against models and lock file, and see that it is whole."""
    hub, revision, content = wanted.hub, wanted.revision, Content(root / "models")
    try:
        commit, files = source.listing(hub, revision)
    except UnreachableError:
        # What the lock file names and the store has is put together without anybody's help.
        if not (files := stored_files(wanted.files, content)):
            raise
        commit = revision
    if commit != revision:
        raise PullError(
            f"{name}: a name that may move, got {revision} for commit {commit} of {hub}. Write the commit as revision."
        )
    listed = {file.path: file for file in files}

    def read(path: str, start: int, count: int) -> bytes:
        file = listed[path]
        if file.sha256 is None or not content.has(file.sha256, file.size):
            return source.read(hub, commit, file, start, count)
        with content.path(file.sha256).open("rb") as kept:
            kept.seek(start)
            return kept.read(count)

    examined = examine({path: file.size for path, file in listed.items()}, read, ANOTHER)
    if examined.problems:
        raise PullError(*(f"{name}: {hub}: {problem}" for problem in examined.problems))
    final = root / "models" / name / revision
    chosen = [listed[path] for path in examined.needed]
    model = Model(name, hub, revision, wanted.files, final, chosen, content)
    model.check_lock(files)
    return model


def stored_files(locked: Mapping[str, StoredFile], content: Content) -> list[ListedFile]:
    """Every file of the lock file as a listing, where the store has them all; else none."""
    has_all = all(content.has(entry.sha256, entry.size) for entry in locked.values())
    return [ListedFile(path, entry.size, entry.sha256) for path, entry in locked.items()] if has_all else []


def check_disk(root: Path, models: list[Model]) -> None:
    """Refuse before the first byte what would end with a full disk. What two models share is needed once."""
    missing = {model.name: model.missing() for model in models}
    needed_bytes = sum({part: size for each in missing.values() for part, size in each.items()}.values())
    found = room(root / "models")
    free = found.free_bytes
    inodes = 2 * sum(len(model.files) for model in models) + FULL_INODES
    if (lacking := lack(found, 0, inodes)) is not None:
        raise PullError(
            f"{root}/models: too few free inodes, got {lacking} where {inodes} are needed. Remove files on that disk."
        )
    if needed_bytes and free < needed_bytes + MARGIN_BYTES:
        sizes = ", ".join(f"{name} {sum(each.values()) / 1e9:.1f}" for name, each in missing.items() if each)
        raise PullError(
            f"{root}/models: too little free disk, got {free / 1e9:.1f} GB where {needed_bytes / 1e9:.1f} GB and "
            f"{MARGIN_BYTES / 1e9:.0f} GB to spare are needed ({sizes}). Free some, or enlarge the data disk."
        )


def present(root: Path, name: str, wanted: WantedModel, *, is_thorough: bool) -> CheckpointManifest | None:
    """Describe a model that is in its place already; None when it is not. Raises PullError when it is not whole."""
    folder = root / "models" / name / wanted.revision
    if not folder.is_dir():
        return None
    locked = {path: StoredFile(entry.size, entry.sha256) for path, entry in wanted.files.items()}
    known, again = manifest_of(folder) or locked, f"Remove {folder} and run `fab models-pull` again."
    for path, entry in known.items():
        file = folder / path
        size = file.stat().st_size if file.is_file() else None
        if size != entry.size or (is_thorough and entry.sha256 not in (None, digests_of(file).sha256)):
            raise PullError(
                f"{name}: {folder}/{path} is not what was downloaded, got {size} bytes where {entry.size} belong. "
                f"{again}"
            )
    # What an engine does not read may be in the one and not in the other: what counts as such has changed once.
    is_other = any(_differs(known[path], locked[path]) for path in known.keys() & locked.keys())
    if is_other or (locked and set(needed(locked, {})) - known.keys()):
        raise PullError(f"{name}: {folder} is not what models.lock.json says. Remove it, run `fab models-pull` again.")
    if problems := examine_directory(folder, again).problems:
        raise PullError(*(f"{name}: {folder}: {problem}" for problem in problems))
    return CheckpointManifest(known, wanted.hub, wanted.revision)


def _differs(there: StoredFile, locked: StoredFile) -> bool:
    """Whether a file is another than the locked one, as far as that is known."""
    return there.size != locked.size or locked.sha256 not in (None, there.sha256)


def main() -> int:
    order = PullOrder.from_json(sys.argv[1])
    root = Path(order.root)
    found: dict[str, CheckpointManifest] = {}
    problems: list[str] = []
    models: list[Model] = []
    try:
        source = chosen_source(order.source)
        Content(root / "models").begin()
        for name, each in order.models.items():
            try:
                there = present(root, name, each, is_thorough=order.is_thorough)
                if there is None:
                    models.append(look(root, name, each, source))
                else:
                    found[name] = there
                    tell(name, "there, and whole")
            except PullError as error:
                problems += [each for each in error.problems if each not in problems]
        if models and not problems:
            check_disk(root, models)
            for model in models:
                found[model.name] = pull(model, source)
    except PullError as error:
        problems += error.problems
    except OSError as error:
        lacking = lack(room(root / "models"), MARGIN_BYTES) if error.errno in (errno.ENOSPC, errno.EDQUOT) else None
        got = f"{error}" if lacking is None else f"{error} ({lacking})"
        problems.append(
            f"{root}/models: cannot be written: {got}. Free some disk, then run the same command again: it goes on "
            "where it stopped."
        )
    print(PullAnswer(found, tuple(problems)).to_json(), flush=True)
    return 1 if problems else 0
