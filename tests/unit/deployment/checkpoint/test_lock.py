"""The lock file: read whole or refused, written only when it says something new."""

from pathlib import Path

import pytest

from deployment.checkpoint.lock import LockedFile, LockedModel, ModelLock, lock_path, read_lock, write_lock
from deployment.errors import ConfigError
from tests.support.hollow import checkpoint
from tests.support.published import CONFIGS

SHA256, GIT = "a" * 64, "b" * 40


def locked(**files: LockedFile) -> LockedModel:
    return LockedModel(hub="org/name", commit="c" * 40, files=files, checkpoint=checkpoint(CONFIGS["qwen_coder"]))


def test_what_is_written_is_read_again(tmp_path: Path) -> None:
    lock = ModelLock().with_models({"a": locked(x=LockedFile(size=3, sha256=SHA256)), "b": locked()})
    write_lock(tmp_path / "models.lock.json", lock)
    assert read_lock(tmp_path / "models.lock.json") == lock


def test_a_lock_that_says_the_same_is_not_written_again(tmp_path: Path) -> None:
    path = lock_path(tmp_path / "models.yaml")
    write_lock(path, ModelLock().with_models({"a": locked()}))
    before = path.stat().st_ino
    write_lock(path, ModelLock().with_models({"a": locked()}))
    assert path.stat().st_ino == before


def test_nothing_is_locked_where_there_is_no_file(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "models.lock.json").models == {}


def test_a_lock_without_facts_is_told_how_to_get_them(tmp_path: Path) -> None:
    path = tmp_path / "models.lock.json"
    path.write_text('{"schema": "axion.models.lock/1", "models": {}}')
    with pytest.raises(ConfigError) as caught:
        read_lock(path)
    assert caught.value.problems == (
        "models.lock.json: of an earlier version, without the checkpoints' facts, got axion.models.lock/1. "
        "To go on, remove it and run `fab models-update all`.",
    )


MODEL = '{"checkpoint": {}, "files": {"a": {"size": -1, "sha256": 3}}}'


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("{", "not JSON: Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[]", "not a mapping, got []"),
        ('{"schema": "axion.models.lock/2", "more": 1}', "more: unknown key, got 1"),
        ('{"schema": "axion.models.lock/3"}', 'schema: not axion.models.lock/2, got "axion.models.lock/3"'),
        (f'{{"models": {{"x": {MODEL}}}}}', "models.x.files.a.size: too small, got -1"),
        ('{"models": {"x": {}}}', "models.x.checkpoint: missing"),
        (f'{{"schema": {"9" * 5000}}}', "a number of thousands of digits"),
        ("\0", "not JSON: Expecting value: line 1 column 1 (char 0)"),
        ("[" * 100_000, "nested too deeply"),
    ],
)
def test_a_lock_that_is_broken_is_a_sentence(text: str, what: str, tmp_path: Path) -> None:
    path = tmp_path / "models.lock.json"
    path.write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_lock(path)
    assert caught.value.problems == (
        f"models.lock.json: cannot be read: {what}. Restore it from version control, or remove it and run "
        "`fab models-update all`.",
    )


def test_a_lock_that_cannot_be_opened_says_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r": cannot be read: Is a directory\. Restore it from version control, or"):
        read_lock(tmp_path)


def test_a_file_without_a_digest_cannot_be_locked() -> None:
    with pytest.raises(ValueError, match="without a digest"):
        LockedFile(size=1)


def test_what_a_download_found_out_is_not_forgotten_by_a_look_at_the_hub() -> None:
    pulled = locked(same=LockedFile(size=3, sha256=SHA256, git_sha1=GIT), other=LockedFile(size=3, sha256=SHA256))
    seen = locked(same=LockedFile(size=3, git_sha1=GIT), other=LockedFile(size=4, git_sha1=GIT))
    merged = seen.with_digests_of(pulled)
    assert merged.files["same"] == pulled.files["same"]
    assert merged.files["other"] == seen.files["other"]
    moved = seen.model_copy(update={"commit": "d" * 40})
    assert moved.with_digests_of(pulled) == moved
