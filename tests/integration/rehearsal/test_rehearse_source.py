"""What a rehearsal of the source build asks of a mirror, and what of the pins gives way to it."""

import subprocess
from pathlib import Path

from build.pins import PINS, load_pins
from tests.support.emulated.source import adapted_checkout, mirror_problems

WHO = ("-c", "user.name=t", "-c", "user.email=t@t")


def repository(path: Path) -> str:
    """A bare repository with one commit; returns its name."""
    work = path.with_suffix(".work")
    subprocess.run(("git", "init", "--quiet", work), check=True)
    commit = ("git", *WHO, "-C", work, "commit", "--quiet", "--allow-empty", "--message", "one")
    subprocess.run(commit, check=True)
    subprocess.run(("git", "clone", "--quiet", "--bare", work, path), check=True)
    shown = subprocess.run(("git", "-C", path, "rev-parse", "HEAD"), capture_output=True, text=True, check=True)
    return shown.stdout.strip()


def test_a_mirror_without_the_sources_is_refused_with_all_that_is_missing(tmp_path: Path) -> None:
    pins = load_pins(PINS)
    assert list(mirror_problems("", pins)) == [
        "AXION_MIRROR: not set, got nothing. Name a directory with git/onednn.git and git/acl.git."
    ]
    onednn = tmp_path / "git" / "onednn.git"
    subprocess.run(("git", "init", "--quiet", "--bare", onednn), check=True)
    assert list(mirror_problems(str(tmp_path), pins)) == [
        f"{onednn}: a commit is missing, got neither 9c5be1cc59e368aebf0909e6cf20f981ea61462a nor a HEAD. "
        "Fetch the first there.",
        f"AXION_MIRROR: no repository, got nothing at {tmp_path}/git/acl.git. Clone it there with --bare.",
    ]


def test_a_commit_that_nobody_may_ask_for_by_name_is_refused_until_it_may_be(tmp_path: Path) -> None:
    pins = load_pins(PINS)
    commits = {name: repository(tmp_path / "git" / f"{name}.git") for name in ("onednn", "acl")}
    here = pins.model_copy(update={"onednn": pins.onednn.model_copy(update={"aarch64": commits["onednn"]})})
    assert len(list(mirror_problems(str(tmp_path), here))) == 2
    for name in commits:
        git = ("git", "-C", tmp_path / "git" / f"{name}.git", "config", "uploadpack.allowAnySHA1InWant", "true")
        subprocess.run(git, check=True)
    assert list(mirror_problems(str(tmp_path), here)) == []


def test_what_is_not_as_pinned_is_said_aloud_and_changed_in_a_copy_only(tmp_path: Path) -> None:
    before = PINS.read_text()
    heads = {name: repository(tmp_path / "git" / f"{name}.git") for name in ("onednn", "acl")}
    said: list[str] = []
    copied = adapted_checkout(tmp_path / "checkout", tmp_path, say=said.append)
    pins = load_pins(copied / "build" / "pins.toml")
    assert (pins.onednn.aarch64, pins.acl.commit, pins.compiler.gcc_min) == (heads["onednn"], heads["acl"], "12.2")
    assert said == [
        "Not as pinned: g++ 12.2, Debian 12's, where 12.3 is asked for.",
        f"Not as pinned: onednn at {heads['onednn']}, where 9c5be1cc59e368aebf0909e6cf20f981ea61462a is asked for.",
        f"Not as pinned: acl at {heads['acl']}, where 007264fa740de5723ebddef16b7bb3657692c088 is asked for.",
    ]
    assert (copied / "fabfile.py").is_file()
    assert PINS.read_text() == before
