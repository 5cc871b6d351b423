"""A compilation, from nothing to sealed, with every command run for real against stand-ins of what it fetches."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build.engine import steps as build_steps
from build.engine.commands import BuildDirectory
from build.engine.environment import _prove_and_seal, ensure_environment
from build.engine.recipe import Recipe
from build.engine.source_build import compile_commands, fetch_commands
from build.engine.source_plan import SourceBuild
from build.engine.sources import Mirror, Sources
from build.engine.toolchain import Toolchain
from build.engine.torch_source import TorchSource
from build.errors import DeployError
from build.pins import Pins, load_pins
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, OnLine, check
from build.remote.host import Host
from build.remote.target import Target
from tests.support.fakes.findings import ARM, FIRST_LOOK
from tests.support.fakes.source_mirror import KERNELS, SourceMirror, make_mirror
from tests.support.hosts import facts, system

PINS = load_pins(Path(__file__).parents[4] / "build" / "pins.toml")
DIGEST = "0123456789abcdef"
GIB = 2**30
SYSTEM = facts(
    system=system(cores=[0, 1], available_bytes=5 * GIB, compilers={"g++": "13.3.0", "g++-14": "14.2.0"})
).system
USE = "multiply, sample and serve small models with it"


class ArmHost(LocalExecutor):
    """This computer, but asked about its proofs it answers as an Axion host."""

    def __init__(self) -> None:
        self.ran: list[Command] = []
        self.answers = {
            USE: json.dumps(ARM),
            "load the kernels and ask vLLM for its version": json.dumps(FIRST_LOOK),
        }

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        self.ran.append(command)
        if command.what in self.answers:
            return Result(status=0, stdout=self.answers[command.what], stderr="")
        return super().run(command, on_line)


@pytest.fixture(scope="module")
def mirror(tmp_path_factory: pytest.TempPathFactory) -> SourceMirror:
    return make_mirror(tmp_path_factory.mktemp("mirror"), PINS)


@pytest.fixture(autouse=True)
def _small_and_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No kernels to compile, and none of the places where this computer's pip would look."""
    monkeypatch.setattr(build_steps, "kernel_files", lambda: KERNELS)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    for name in ("PIP_FIND_LINKS", "PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL"):
        monkeypatch.delenv(name, raising=False)


def target(root: Path) -> Target:
    return Target(name="main", root=str(root), runner="supervisor", python=sys.executable)


def recipe(mirror: SourceMirror, *, pins: Pins | None = None, wheels: Path | None = None) -> Recipe:
    return Recipe(
        pins=pins or mirror.pins,
        constraints_text="",
        digest=DIGEST,
        machine="aarch64",
        origin="compiled",
        system=SYSTEM,
        sources=Sources(mirror=Mirror(place=str(mirror.path)), wheels=str(wheels) if wheels else None),
    )


def ensure(host: ArmHost, root: Path, wanted: Recipe) -> Any:
    """Build it and return its manifest."""
    build = ensure_environment(wanted, target(root), host, Reporter())
    return json.loads(Path(str(build.manifest)).read_text())


def test_a_build_compiles_the_pinned_trees_and_a_second_host_takes_its_wheels(
    mirror: SourceMirror, tmp_path: Path
) -> None:
    root, store = tmp_path / "root", tmp_path / "store"
    first = ArmHost()
    told = ensure(first, root, recipe(mirror, wheels=store))
    here = root / "builds" / DIGEST
    calls = [json.loads(line) for line in mirror.record.read_text().splitlines()]
    (call, *_) = [each for each in calls if each["hook"] == "wheel"]
    assert call["trees"] == {"ACL_ROOT_DIR": "acl newer\n", "FETCHCONTENT_SOURCE_DIR_ONEDNN": "onednn older\n"}
    wanted = {
        "ACL_ROOT_DIR": f"{here}/src/acl",
        "CARGO": "/bin/false",
        "CC": "gcc-14",
        "CCACHE_DIR": f"{root}/work/ccache",
        "CMAKE_ARGS": "-DFETCHCONTENT_FULLY_DISCONNECTED=ON",
        "CMAKE_BUILD_TYPE": "Release",
        "CMAKE_CXX_COMPILER_LAUNCHER": "ccache",
        "CXX": "g++-14",
        "CXXFLAGS": "-mtune=neoverse-v2",
        "FETCHCONTENT_SOURCE_DIR_ONEDNN": f"{here}/src/onednn",
        "MAX_JOBS": "1",  # (5 GiB - 2 GiB) / 2 GiB
        "VLLM_TARGET_DEVICE": "cpu",
        "VLLM_VERSION_OVERRIDE": "0.32.0+cpu",
    }
    assert {name: call["env"][name] for name in wanted} == wanted
    assert call["env"]["PATH"].startswith(f"{here}/tools/bin:{here}/venv/bin:")
    built = told["built"]
    assert built["commits"] == {"acl": mirror.acl, "onednn": mirror.onednn}
    assert built["facts"]["compiler"] == "g++-14 14.2.0"
    assert sorted(built["wheels"]) == ["axion_kernels-0.1.0-py3-none-any.whl", "vllm-0.32.0+cpu-py3-none-any.whl"]
    assert [proof["verdict"] for proof in told["proofs"]] == ["pass"] * 10
    assert not (here / "src").exists()
    assert not (here / "tools").exists()

    second = ArmHost()
    told = ensure(second, tmp_path / "other", recipe(mirror, wheels=store))
    assert told["built"]["recipe"] == "wheels of another host"
    assert told["built"]["wheels"] == built["wheels"]
    assert [proof["verdict"] for proof in told["proofs"]] == ["pass"] * 10
    assert [command.what for command in second.ran if command.what.startswith("compile")] == []
    assert_nothing_from_the_internet([*first.ran, *second.ran])

    # A store that is named only later gets them from the environment that is sealed already.
    assert ensure(first, root, recipe(mirror, wheels=tmp_path / "later"))["built"] == built
    assert sorted(path.name for path in (tmp_path / "later" / DIGEST).iterdir()) == [
        "axion_kernels-0.1.0-py3-none-any.whl", "manifest.json", "vllm-0.32.0+cpu-py3-none-any.whl",
    ]  # fmt: skip
    assert_one_without_a_seal_is_proven_anew(root, recipe(mirror), built)


def assert_one_without_a_seal_is_proven_anew(root: Path, wanted: Recipe, built: Any) -> None:
    """A power cut may have emptied the manifest; engines may still run from the environment."""
    here = root / "builds" / DIGEST
    (here / "manifest.json").write_bytes(b"")
    proving, is_same = ArmHost(), (here / "venv").stat().st_ino
    assert ensure(proving, root, wanted)["built"] == built
    said = [command.what for command in proving.ran]
    assert USE in said
    assert [what for what in said if what.startswith(("clear", "install", "compile", "fetch"))] == []
    assert (here / "venv").stat().st_ino == is_same

    (here / "manifest.json").write_bytes(b"")
    failing = ArmHost()
    failing.answers[USE] = json.dumps({**ARM, "acl_probe": False})
    with pytest.raises(DeployError, match=r"^proofs\.acl_probe: "):
        ensure(failing, root, wanted)
    assert not (here / "built.json").exists()  # so that the next one builds it anew


def assert_nothing_from_the_internet(commands: list[Command]) -> None:
    """Whatever may fetch names the mirror, or nothing to fetch from."""
    for command in commands:
        words = " ".join(command.argv)
        assert "https://" not in words, words
        assert command.argv[:3] != ("env", "DEBIAN_FRONTEND=noninteractive", "apt-get")
        if " pip " in words and "venv " not in words:
            assert "--no-index" in words, words


def with_onednn(pins: Pins, commit: str) -> Pins:
    return pins.model_copy(update={"onednn": pins.onednn.model_copy(update={"aarch64": commit})})


def with_acl(pins: Pins, commit: str) -> Pins:
    return pins.model_copy(update={"acl": pins.acl.model_copy(update={"commit": commit})})


def test_a_compilation_that_fails_tells_the_cause(mirror: SourceMirror, tmp_path: Path) -> None:
    """With the operator's own Python for an environment, and any torch: the sources need no more."""
    compilation = compile_commands(plan(mirror, tmp_path, mirror.pins))[0]
    sources = tmp_path / "builds" / DIGEST / "src" / "vllm"
    (tmp_path / "builds" / DIGEST / "tools" / "torch").mkdir(parents=True)
    for name in ("acl", "onednn", "vllm"):
        (sources.parent / name).mkdir(parents=True)
        (sources.parent / name / "README").touch()
    archive = mirror.path / "sdists" / "vllm-0.32.0.tar.gz"
    subprocess.run(["tar", "-xzf", archive, "--strip-components=1", "-C", sources], check=True, timeout=30)
    here = [sys.executable if word.endswith("/venv/bin/python") else word for word in compilation.argv]
    failing = mirror.record.with_name("record.fail")
    failing.touch()
    try:
        with pytest.raises(DeployError, match=r"^compile vLLM 0\.32\.0 in 1 jobs with g\+\+-14: failed") as caught:
            check(LocalExecutor(), replace(compilation, argv=tuple(here)))
    finally:
        failing.unlink()
    assert "attention.cpp:12:3: error: no such instruction" in str(caught.value)


def test_a_build_without_what_torch_needs_stops_as_vllms_cmake_does(mirror: SourceMirror, tmp_path: Path) -> None:
    """torch is installed without its requirements, and CMake imports it before they come."""
    listed = [each for each in mirror.pins.vllm.build_requires if not each.startswith("typing-extensions")]
    vllm = mirror.pins.vllm.model_copy(update={"build_requires": tuple(listed)})
    with pytest.raises(DeployError, match=r"(?s)Failed to locate torch path: .*No module named 'typing_extensions'"):
        ensure(ArmHost(), tmp_path, recipe(mirror, pins=mirror.pins.model_copy(update={"vllm": vllm})))


def test_a_proof_that_fails_seals_nothing(mirror: SourceMirror, tmp_path: Path) -> None:
    """Everything is there already; only the proof is looked at."""
    host = ArmHost()
    host.answers[USE] = json.dumps({**ARM, "acl_probe": False})
    build = BuildDirectory.of(str(tmp_path), DIGEST)
    with pytest.raises(DeployError, match=r"^proofs\.acl_probe: .* got is_onednn_acl_supported\(\) says False\."):
        _prove_and_seal(recipe(mirror), build, Host(target(tmp_path), host, Reporter()), host.answers[USE])
    assert not Path(str(build.manifest)).exists()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("acl", r"^fetch acl at 111111111111 from .*/git/acl\.git: failed"),
        ("onednn", r"^fetch onednn at 111111111111 from .*/git/onednn\.git: failed"),
    ],
)
def test_another_commit_than_the_pinned_one_is_refused(
    name: str, said: str, mirror: SourceMirror, tmp_path: Path
) -> None:
    pins = (with_acl if name == "acl" else with_onednn)(mirror.pins, "1" * 40)
    commands = [command for command in fetch_commands(plan(mirror, tmp_path, pins)) if command.argv[0] == "git"]
    with pytest.raises(DeployError, match=said):
        for command in commands:
            check(LocalExecutor(), command)


def test_a_pinned_commit_is_taken_wherever_the_tag_leads(mirror: SourceMirror, tmp_path: Path) -> None:
    parent = ["git", "-C", str(mirror.path / "git" / "acl.git"), "rev-parse", f"{mirror.acl}^"]
    older = subprocess.run(parent, capture_output=True, text=True, check=True, timeout=30).stdout.strip()
    for command in fetch_commands(plan(mirror, tmp_path, with_acl(mirror.pins, older))):
        if command.argv[0] == "git":
            check(LocalExecutor(), command)
    assert (tmp_path / "builds" / DIGEST / "src" / "acl" / "README").read_text() == "acl older\n"


def plan(mirror: SourceMirror, root: Path, pins: Pins) -> SourceBuild:
    return SourceBuild(
        pins=pins,
        build=BuildDirectory.of(str(root), DIGEST),
        machine="aarch64",
        torch=TorchSource(requirement="torch==2.13.0+cpu", index_args=(), said="torch"),
        toolchain=Toolchain(cxx="g++-14", version="14.2.0", jobs=1, cores=(0,)),
        sources=Sources(mirror=Mirror(place=str(mirror.path))),
        constraints_text="",
        kernels=[],
    )
