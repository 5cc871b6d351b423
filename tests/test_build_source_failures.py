"""What a source build says when something is not there, or is not what the pins describe."""

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build.activation import Host
from build.command import Command, Result
from build.engine import built_wheels
from build.engine.commands import BuildDirectory
from build.engine.source_build import fetch_commands
from build.engine.source_plan import check_machine
from build.engine.sources import Sources
from build.engine.steps import Recipe, check_host, stored
from build.errors import DeployError
from build.executor import LocalExecutor, OnLine, check
from build.pins import Pins
from build.progress import Reporter
from tests.fakes.source_mirror import SourceMirror, make_mirror
from tests.test_build_source import DIGEST, PINS, ArmHost, plan, target

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
    with pytest.raises(DeployError, match=r"^hold the build tools against vLLM's list: failed, got exit") as caught:
        check(LocalExecutor(), here(commands, "hold the build tools against vLLM's list"))
    assert "pins.toml: vllm.build_requires: vLLM asks for packaging<1, got 2" in str(caught.value)


def test_a_machine_that_nobody_knows_to_compile_for_is_refused() -> None:
    with pytest.raises(DeployError) as caught:
        check_machine(PINS, "riscv64")
    assert str(caught.value) == (
        "pins.toml: vllm.wheels: no binary build for riscv64, got x86_64, and vLLM is compiled for aarch64 only. "
        "Use an x86-64 or an Arm machine."
    )


class WithoutNetwork(ArmHost):
    """An Axion host that lacks a package and cannot reach its distribution."""

    def run(self, command: Command, on_line: Any = None) -> Result:
        if command.what == "read the distribution's package lists":
            return Result(status=100, stdout="", stderr="E: Failed to fetch http://ports.example/noble/InRelease\n")
        return super().run(command, on_line)


def test_a_distribution_that_cannot_be_reached_is_told_before_anything_is_touched(tmp_path: Path) -> None:
    recipe = Recipe(pins=PINS, constraints_text="", digest=DIGEST, machine="aarch64")
    host = Host(target(tmp_path), WithoutNetwork(installed=["git"]), Reporter())
    with pytest.raises(DeployError) as caught:
        check_host(recipe, host)
    assert str(caught.value) == (
        "read the distribution's package lists: failed, got exit status 100. Read its last lines:\n"
        "    E: Failed to fetch http://ports.example/noble/InRelease"
    )
    assert list(tmp_path.iterdir()) == []


def test_wheels_that_another_host_left_are_refused_when_they_are_gone_or_altered(tmp_path: Path) -> None:
    store, build = tmp_path / "store", BuildDirectory.of(str(tmp_path), DIGEST)
    (store / DIGEST).mkdir(parents=True)
    room, copied, checked = built_wheels.fetch_commands(build, str(store), {"a.whl": SUM})
    check(LocalExecutor(), room)
    with pytest.raises(DeployError, match=f"^copy 1 wheels from {store}: failed, got exit status 1"):
        check(LocalExecutor(), copied)
    (store / DIGEST / "a.whl").write_text("altered")
    check(LocalExecutor(), copied)
    with pytest.raises(DeployError, match=r"^check the wheels: failed, got exit status 1\."):
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
    with pytest.raises(DeployError, match=f"^make room in {tmp_path}/store: failed, got exit status 1"):
        run_all(built_wheels.export_commands(build, str(tmp_path / "store"), {"a.whl": SUM}))
    (tmp_path / "other" / DIGEST / "a.whl").mkdir(parents=True)
    with pytest.raises(DeployError, match=f"^export wheels to {tmp_path}/other: failed, got exit status 1"):
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
def test_a_store_that_cannot_be_read_stops_the_build_before_it_compiles(said: str, got: str, tmp_path: Path) -> None:
    executor = Refusing(said)
    with pytest.raises(DeployError, match=r"^--wheels: gs://b/w cannot be read, got ") as caught:
        stored(for_arm("gs://b/w"), Host(target(tmp_path), executor, Reporter()))
    assert got in str(caught.value)


@pytest.mark.parametrize(
    "said",
    [
        "cat: /mnt/w/0/manifest.json: No such file or directory",
        "ERROR: (gcloud.storage.cat) The following URLs matched no objects or files:\n-gs://b/w/0/manifest.json",
    ],
)
def test_a_store_without_this_build_is_an_empty_one(said: str, tmp_path: Path) -> None:
    assert stored(for_arm("gs://b/w"), Host(target(tmp_path), Refusing(said), Reporter())) == {}


class Refusing(LocalExecutor):
    """Where every command fails with the same words."""

    def __init__(self, said: str) -> None:
        self.said = said

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        return Result(status=1, stdout="", stderr=self.said)


def for_arm(wheels: str) -> Recipe:
    return Recipe(pins=PINS, constraints_text="", digest=DIGEST, machine="aarch64", sources=Sources(wheels=wheels))


def test_a_store_is_looked_into_only_where_something_is_compiled(tmp_path: Path) -> None:
    recipe = Recipe(
        pins=PINS, constraints_text="", digest=DIGEST, machine="x86_64", sources=Sources(wheels=str(tmp_path))
    )
    executor = ArmHost()
    assert check_host(recipe, Host(target(tmp_path), executor, Reporter())) is None
    assert executor.ran == []
