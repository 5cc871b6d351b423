"""What a source build says when something is not there, or is not what the pins describe."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest

from build.engine import built_wheels
from build.engine.built_wheels import stored
from build.engine.commands import BuildDirectory
from build.engine.source_build import fetch_commands
from build.errors import DeployError
from build.pins import Pins
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, OnLine, check
from tests.support.fakes.source_mirror import SourceMirror, make_mirror
from tests.unit.build.engine.test_source import DIGEST, PINS, plan

SUM = "0" * 64


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> SourceMirror:
    return make_mirror(tmp_path_factory.mktemp("mirror"), PINS)


def here(commands: tuple[Command, ...], what: str) -> Command:
    """One of the commands, by the operator's own Python."""
    (found,) = [command for command in commands if command.what == what]
    argv = [sys.executable if word.endswith("/venv/bin/python") else word for word in found.argv]
    return replace(found, argv=tuple(argv), cwd=None)


def with_sdist(pins: Pins, checksum: str) -> Pins:
    return pins.model_copy(update={"vllm": pins.vllm.model_copy(update={"sdist_sha256": checksum})})


def test_other_sources_of_vllm_than_the_pinned_ones_are_refused(mirror: SourceMirror, tmp_path: Path) -> None:
    commands = fetch_commands(plan(mirror, tmp_path, with_sdist(mirror.pins, SUM)))
    (tmp_path / "builds" / DIGEST).mkdir(parents=True)
    check(LocalExecutor(), here(commands, "write vllm.txt"))
    with pytest.raises(DeployError, match=r"^download the sources of vLLM 0\.32\.0: failed") as caught:
        check(LocalExecutor(), here(commands, "download the sources of vLLM 0.32.0"))
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in str(caught.value)


def test_a_tool_that_the_sources_ask_for_anew_stops_the_build_before_it_compiles(
    mirror: SourceMirror, tmp_path: Path
) -> None:
    listed = tmp_path / "builds" / DIGEST / "src" / "vllm" / "requirements" / "build" / "cpu.txt"
    listed.parent.mkdir(parents=True)
    listed.write_text("packaging<1\n")
    commands = fetch_commands(plan(mirror, tmp_path, mirror.pins))
    with pytest.raises(DeployError, match=r"^hold the build tools against vLLM's list: failed with exit") as caught:
        check(LocalExecutor(), here(commands, "hold the build tools against vLLM's list"))
    assert "pins.toml: vllm.build_requires: vLLM asks for packaging<1, got 2" in str(caught.value)


def test_wheels_that_another_host_left_are_refused_when_they_are_gone_or_altered(tmp_path: Path) -> None:
    store, build = tmp_path / "store", BuildDirectory.of(str(tmp_path), DIGEST)
    (store / DIGEST).mkdir(parents=True)
    room, copied, checked = built_wheels.fetch_commands(build, str(store), {"a.whl": SUM})
    check(LocalExecutor(), room)
    with pytest.raises(DeployError, match=f"^copy 1 wheels from {store}: failed with exit status 1"):
        check(LocalExecutor(), copied)
    (store / DIGEST / "a.whl").write_text("altered")
    check(LocalExecutor(), copied)
    with pytest.raises(DeployError, match=r"^check the wheels: failed with exit status 1\."):
        check(LocalExecutor(), checked)


def run_all(commands: tuple[Command, ...]) -> None:
    for command in commands:
        check(LocalExecutor(), command)


def test_a_store_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    build = BuildDirectory.of(str(tmp_path), DIGEST)
    wheels = tmp_path / "builds" / DIGEST / "wheels"
    wheels.mkdir(parents=True)
    (wheels / "a.whl").touch()
    (tmp_path / "store").write_text("a file")
    with pytest.raises(DeployError, match=f"^make room in {tmp_path}/store: failed with exit status 1"):
        run_all(built_wheels.export_commands(build, str(tmp_path / "store"), {"a.whl": SUM}))
    (tmp_path / "other" / DIGEST / "a.whl").mkdir(parents=True)
    with pytest.raises(DeployError, match=f"^export wheels to {tmp_path}/other: failed with exit status 1"):
        run_all(built_wheels.export_commands(build, str(tmp_path / "other"), {"a.whl": SUM}))
    assert not (tmp_path / "other" / DIGEST / "manifest.json").exists()


@pytest.mark.parametrize(
    ("said", "got"),
    [
        ("ERROR: (gcloud.storage.cat) HTTPError 403: the account may not read it.", "HTTPError 403"),
        ("cat: /mnt/w/manifest.json: Permission denied", "Permission denied"),
        ("sh: 1: gcloud: not found", "gcloud: not found"),
        ("", "exit status 1"),
    ],
)
def test_a_store_that_cannot_be_read_stops_the_build_before_it_compiles(said: str, got: str) -> None:
    executor = Refusing(said)
    with pytest.raises(DeployError, match=r"^--wheels: gs://b/w cannot be read: ") as caught:
        stored("gs://b/w", DIGEST, executor)
    assert got in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "cat: /mnt/w/0/manifest.json: No such file or directory",
        "ERROR: (gcloud.storage.cat) The following URLs matched no objects or files:\n-gs://b/w/0/manifest.json",
    ],
)
def test_a_store_without_this_build_is_an_empty_one(said: str) -> None:
    assert stored("gs://b/w", DIGEST, Refusing(said)) == {}


class Refusing(LocalExecutor):
    """Where every command fails with the same words."""

    def __init__(self, said: str) -> None:
        self.said = said

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        return Result(status=1, stdout="", stderr=self.said)
