"""What a deployment removes of checkpoints, and what lies among them that it must not touch."""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from agent.content import Content, prune
from build.deploy.deploy import prune_models_command
from build.errors import DeployError
from build.remote.executor import LocalExecutor, check
from build.remote.target import Target
from tests.support.fakes.hub import FakeHub
from tests.support.pulls import COMMIT, WEIGHTS, contents, final, pull, served


def downloaded_elsewhere(tmp_path: Path) -> Path:
    """The models of another root, where nothing names them: whose they are cannot be told."""
    pull(tmp_path)
    elsewhere = tmp_path / "elsewhere"
    shutil.move(tmp_path / "root" / "models", elsewhere)
    (tmp_path / "root" / "releases").mkdir()
    return elsewhere


def link_model(models: Path, elsewhere: Path) -> None:
    models.mkdir()
    (models / "mine").symlink_to(elsewhere / "alpha")


def link_commit(models: Path, elsewhere: Path) -> None:
    (models / "mine").mkdir(parents=True)
    (models / "mine" / COMMIT).symlink_to(elsewhere / "alpha" / COMMIT)


def link_all(models: Path, elsewhere: Path) -> None:
    models.symlink_to(elsewhere)


@pytest.mark.parametrize("link", [link_model, link_commit, link_all])
def test_what_somebody_linked_to_is_never_pruned(
    hub: FakeHub, tmp_path: Path, link: Callable[[Path, Path], None]
) -> None:
    elsewhere = downloaded_elsewhere(tmp_path)
    link(tmp_path / "root" / "models", elsewhere)
    before = sorted(elsewhere.rglob("*"))
    assert prune(tmp_path / "root") == []
    assert sorted(elsewhere.rglob("*")) == before
    assert contents(elsewhere / "alpha" / COMMIT)["model.safetensors"] == WEIGHTS


def test_a_linked_model_is_not_taken_into_the_store(hub: FakeHub, tmp_path: Path) -> None:
    """A hard link to another disk cannot be made, and every download would fail by it."""
    elsewhere = downloaded_elsewhere(tmp_path)
    link_model(tmp_path / "root" / "models", elsewhere)
    Content(tmp_path / "root" / "models").begin()
    assert list((tmp_path / "root" / "models" / ".content").iterdir()) == []


def test_a_download_that_goes_on_keeps_what_has_come_of_it(hub: FakeHub, tmp_path: Path) -> None:
    """It is a unit of the host and goes on without its task, so another deployment may prune beside it."""
    models = tmp_path / "root" / "models"
    going_on = Content(models)
    going_on.begin()
    (models / ".content" / "come").write_bytes(b"gigabytes")
    target = Target(name="main", root=str(tmp_path / "root"), runner="supervisor", python=sys.executable)
    check(LocalExecutor(), prune_models_command(target))
    assert (models / ".content" / "come").is_file()
    going_on.end()
    check(LocalExecutor(), prune_models_command(target))
    assert not (models / ".content" / "come").exists()


def test_a_checkpoint_that_was_being_put_together_goes_when_nobody_does_so_any_more(
    hub: FakeHub, tmp_path: Path
) -> None:
    pull(tmp_path)
    (tmp_path / "root" / "releases").mkdir()
    models = tmp_path / "root" / "models"
    final(tmp_path).rename(models / f".alpha.{COMMIT}.partial")
    prune(tmp_path / "root")
    assert list((models / ".content").iterdir()) == [], "its links would keep gigabytes for good"
    assert not (models / f".alpha.{COMMIT}.partial").exists()


def test_odd_names_and_things_in_the_store_and_beside_it_stop_nothing(hub: FakeHub, tmp_path: Path) -> None:
    pull(tmp_path, served("org/tiny", COMMIT, "kept"))
    root, odd = tmp_path / "root", os.fsdecode(b"caf\xe9\nx")
    engines = root / "releases" / odd / "engines"
    engines.mkdir(parents=True)
    (engines / "kept.yaml").write_bytes(f"# caf\nmodel: {root}/models/kept/{COMMIT}\n".encode() + b"# \xe9\n")
    for made in (root / "models" / odd / COMMIT, root / "models" / ".content" / "folder"):
        made.mkdir(parents=True)
    (root / "models" / odd / COMMIT / ".axion-manifest.json").write_bytes(b"\0" * 4096)
    (root / "models" / ".content" / "nowhere").symlink_to("/nowhere")
    (root / "models" / ".mine.stale").write_text("a file")
    target = Target(name="main", root=str(root), runner="supervisor", python=sys.executable)
    for _ in range(2):
        try:
            check(LocalExecutor(), prune_models_command(target))
        except DeployError as error:
            pytest.fail(str(error))
    assert contents(final(tmp_path).parents[1] / "kept" / COMMIT)["model.safetensors"] == WEIGHTS


def test_a_manifest_that_says_something_else_than_files_is_none(tmp_path: Path) -> None:
    folder = tmp_path / "models" / "alpha" / COMMIT
    folder.mkdir(parents=True)
    for text in ("[]", '{"files": []}', '{"files": {"a": 1}}', '{"files": {"a": {}}}', "null", '""'):
        (folder / ".axion-manifest.json").write_text(text)
        Content(tmp_path / "models").begin()
