"""The tasks that write into models.yaml: mistakes are sentences, and the file stays its owner's."""

from pathlib import Path

import pytest

from deployment.models.load import load_deployment
from tests.support.fakes.hub import FakeHub, Repository
from tests.support.hollow import TINY, repository_files
from tests.unit.build.checkpoints.test_add import FIRST, fab, file, four, locked

__all__ = ["file", "four"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("models-add", "org/nothing"), "org/nothing: no such repository, got 401."),
        (("models-add", "./nowhere"), "./nowhere: no such directory, got"),
        (("models-add", "tiny", "--name", "tiny"), "models.tiny: there already, got it again. Give another --name"),
        (("models-add", "tiny", "--name", "Bad Name"), 'not a usable name, got "Bad Name".'),
        (("models-update", "nobody"), "models.nobody: no such model, got nobody. Use tiny."),
        (("models-update", "tiny", "--revision", "main"), "models.tiny: a directory has no revision, got main."),
        (("models-remove", "nobody"), "models.nobody: no such model, got nobody. Use tiny."),
        (("models-remove", "tiny"), "models.tiny: the default model, got it as default_model. Name another one there"),
    ],
)
def test_a_mistake_is_a_sentence_and_nothing_is_written(
    file: Path, four: FakeHub, words: tuple[str, ...], sentence: str
) -> None:
    fab(file, four, "models-update", "all")
    before = file.read_text(), locked(file)
    assert sentence in fab(file, four, *words, status=1)
    assert (file.read_text(), locked(file)) == before


def test_a_checkpoint_may_have_two_names(file: Path, four: FakeHub) -> None:
    fab(file, four, "models-update", "all")
    four.repositories["org/twice"] = Repository("1" * 40, repository_files(TINY))
    fab(file, four, "models-add", "org/twice")
    fab(file, four, "models-add", "org/twice", "--name", "other")
    assert [each.aliases for each in load_deployment(file).models.values()] == [(), ("org/twice",), ()]


def test_a_file_keeps_its_mode_its_line_ends_and_its_being_a_link(tmp_path: Path, file: Path, four: FakeHub) -> None:
    file.write_bytes(FIRST.replace("\n", "\r\n").encode())
    file.chmod(0o600)
    link = tmp_path / "elsewhere" / "serving.yaml"
    link.parent.mkdir()
    link.symlink_to(file)
    fab(link, four, "models-update", "all")
    assert file.read_bytes() == FIRST.replace("\n", "\r\n").encode()
    fab(link, four, "models-add", "./tiny", "--name", "more")
    assert link.is_symlink()
    assert file.stat().st_mode & 0o777 == 0o600
    assert set(load_deployment(link).models) == {"tiny", "more"}


@pytest.mark.parametrize("text", ["models: [\n", "a: 1\n---\nb: 2\n", "models:\n\t- x\n"])
@pytest.mark.parametrize("words", [("models-add", "tiny"), ("models-update", "all"), ("models-remove", "tiny")])
def test_a_file_that_is_not_yaml_is_a_sentence(file: Path, four: FakeHub, words: tuple[str, ...], text: str) -> None:
    file.write_text(text)
    assert "not YAML:" in fab(file, four, *words, status=1)


def test_a_lock_that_cannot_be_written_is_a_sentence(file: Path, four: FakeHub) -> None:
    (file.parent / ".models.lock.json.new").mkdir()
    assert "cannot be written:" in fab(file, four, "models-update", "all", status=1)
    assert file.read_text() == FIRST
