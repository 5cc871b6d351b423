"""Where a build's material comes from: mirrors and stores of wheels, what they may be called and what is trusted."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from build.engine import built_wheels
from build.engine.commands import BuildDirectory
from build.engine.recipe import kernel_files, kernels_digest, wanted_digest
from build.engine.sources import Mirror, Sources, choose_sources
from build.engine.torch_source import choose_torch_source, probe_commands
from build.errors import DeployError
from build.pins import PINS as FILE
from build.pins import load_pins
from tests.support.agent import agent_file, run_agent

PINS = load_pins(FILE)
BUILD = BuildDirectory.of("/opt/axion", "0123456789abcdef")
SUM = "ab" * 32
REPOSITORY = Path(__file__).parents[4]


def test_a_mirror_replaces_every_address() -> None:
    sources = Sources(mirror=Mirror(place="/mnt/mirror"))
    assert sources.repository("acl", PINS.acl.repository) == "/mnt/mirror/git/acl.git"
    assert Sources().repository("acl", "https://example.org/acl.git") == "https://example.org/acl.git"
    words = "--no-index --find-links /mnt/mirror/wheels/ --find-links /mnt/mirror/sdists/"
    assert " ".join(sources.index_args) == words
    (ask,) = probe_commands(PINS, BUILD.python, sources.index_args)
    assert str(ask).endswith(f"--timeout 5 --retries 0 {words}")


def test_the_environment_is_asked_where_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AXION_MIRROR", "https://mirror.example/axion/")
    monkeypatch.setenv("AXION_WHEELS", "gs://a-bucket/wheels")
    assert choose_sources() == Sources(
        mirror=Mirror(place="https://mirror.example/axion"), wheels="gs://a-bucket/wheels"
    )
    assert choose_sources("/mnt/m", "/mnt/w/") == Sources(mirror=Mirror(place="/mnt/m"), wheels="/mnt/w")


def test_a_place_that_cannot_be_meant_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AXION_MIRROR", raising=False)
    with pytest.raises(DeployError) as caught:
        choose_sources("mirror", "s3://bucket")
    assert caught.value.problems == (
        "--mirror: neither an absolute path on the host nor an address, got 'mirror'. "
        "Name the directory that holds wheels/, sdists/ and git/.",
        "--wheels: neither an absolute path on the host nor a bucket, got 's3://bucket'. "
        "Name a directory such as /mnt/wheels, or gs://BUCKET/FOLDER.",
    )


def test_on_arm_only_the_cpu_build_of_torch_will_do() -> None:
    offered = "Available versions: 2.15.0, 2.13.0\n"
    with pytest.raises(DeployError, match=r"^torch: version 2\.13\.0\+cpu is not on offer, got 2\.13\.0, 2\.15\.0\."):
        choose_torch_source(PINS, configured=offered, is_cpu_only=True)
    with pytest.raises(DeployError, match=r"got no answer\. Put its wheel in the mirror's wheels/\.$"):
        choose_torch_source(PINS, configured="", index_args=("--no-index",))


def test_wheels_are_copied_checked_and_exported_with_the_manifest_last() -> None:
    wheels = {"vllm-0.32.0+cpu-cp38-abi3-linux_aarch64.whl": SUM}
    (name,) = wheels
    copied = built_wheels.fetch_commands(BUILD, "gs://a-bucket/w", wheels)
    assert str(copied[1]) == (
        f"gcloud storage cp gs://a-bucket/w/0123456789abcdef/{name} /opt/axion/builds/0123456789abcdef/wheels/"
    )
    assert (copied[2].argv, copied[2].stdin) == (("sha256sum", "--check", "--strict"), f"{SUM}  {name}\n".encode())
    exported = [str(command) for command in built_wheels.export_commands(BUILD, "/mnt/w", wheels)]
    assert exported == [
        "mkdir -p -- /mnt/w/0123456789abcdef",
        f"cp -- /opt/axion/builds/0123456789abcdef/wheels/{name} /mnt/w/0123456789abcdef/",
        "cp -- /opt/axion/builds/0123456789abcdef/manifest.json /mnt/w/0123456789abcdef/.manifest.json.tmp",
        "mv -T -- /mnt/w/0123456789abcdef/.manifest.json.tmp /mnt/w/0123456789abcdef/manifest.json",
    ]
    assert [str(each).split()[-1] for each in built_wheels.export_commands(BUILD, "gs://b", wheels)] == [
        "gs://b/0123456789abcdef/",
        "gs://b/0123456789abcdef/manifest.json",
    ]


@pytest.mark.parametrize(
    "manifest",
    [
        "",
        "[]",
        json.dumps({"digest": "0123456789abcdef"}),
        json.dumps({"digest": "fedcba9876543210", "built": {"wheels": {"a.whl": SUM}}}),
        json.dumps({"digest": "0123456789abcdef", "built": {"wheels": {}}}),
        json.dumps({"digest": "0123456789abcdef", "built": {"wheels": {"../a.whl": SUM}}}),
        json.dumps({"digest": "0123456789abcdef", "built": {"wheels": {"a.whl": "short"}}}),
    ],
)
def test_a_store_that_holds_something_else_is_refused(manifest: str) -> None:
    with pytest.raises(DeployError, match=r"^/mnt/w/0123456789abcdef/manifest\.json: not the manifest of this build"):
        built_wheels.stored_wheels(manifest, "0123456789abcdef", "/mnt/w")


def test_an_altered_wheel_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.whl").write_text("altered")
    check = built_wheels.fetch_commands(BUILD, "/mnt/w", {"a.whl": SUM})[2]
    done = subprocess.run(check.argv, input=check.stdin, cwd=tmp_path, capture_output=True, check=False, timeout=30)
    assert done.returncode == 1
    assert b"a.whl: FAILED" in done.stdout


def test_the_sources_of_the_kernels_name_the_environment_where_they_are_compiled() -> None:
    paths = {file.path for file in kernel_files()}
    assert {"setup.py", "CMakeLists.txt", "cmake/sve2.cmake", "python/axion_kernels/selftest.py"} <= paths
    assert not [path for path in paths if path.startswith(("test/", "bench/", "model/"))]
    arm = wanted_digest(PINS, "", machine="aarch64", python="3.12.3", origin="compiled")
    without = PINS.model_copy(update={"kernels": PINS.kernels.model_copy(update={"machines": ()})})
    assert wanted_digest(without, "", machine="aarch64", python="3.12.3", origin="compiled") != arm


def test_a_change_of_a_kernel_changes_the_digest(tmp_path: Path) -> None:
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "a.cpp").write_text("int a;")
    before = kernels_digest(tmp_path)
    (tmp_path / "README.md").write_text("words")
    assert kernels_digest(tmp_path) == before
    (tmp_path / "src" / "a.cpp").write_text("int b;")
    assert kernels_digest(tmp_path) != before


OUT_OF_MEMORY = "A compiler ran out of memory: stop engines, or give the build a host with more memory."


@pytest.mark.parametrize(
    ("program", "status", "said", "unsaid"),
    [
        ("print('a.cpp:1: error: no'); print('CalledProcessError: long'); exit(1)", 1, "a.cpp:1: error: no", "Called"),
        (r"print('  CMake Error at a:1:\n    no torch\n\n  -- Incomplete\n    x'); exit(1)", 1, "    no torch", "-- I"),
        ("print('only this'); exit(3)", 3, "only this", "memory"),
        ("print('g++: fatal error: Killed signal terminated program cc1plus'); exit(1)", 1, OUT_OF_MEMORY, "x86"),
        ("import os; os.kill(os.getpid(), 9)", 1, OUT_OF_MEMORY, "x86"),
        ("print('fine')", 0, "", "fine"),
    ],
)
def test_a_failed_compilation_says_why(tmp_path: Path, program: str, status: int, said: str, unsaid: str) -> None:
    done = run_agent(agent_file(tmp_path), "compile", sys.executable, "-c", program)
    assert done.returncode == status
    assert said in done.stderr.decode()
    assert unsaid not in done.stderr.decode()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("packaging>=20  # why", ""),
        ("", ""),
        ("absent==1; platform_system == 'Plan9'", ""),
        ("absent==1", "vLLM asks for absent==1, got nothing. Correct the pin"),
        ("packaging<1", "vLLM asks for packaging<1, got 2"),
    ],
)
def test_build_tools_are_held_against_the_list_in_the_sources(line: str, said: str, tmp_path: Path) -> None:
    listed = tmp_path / "cpu.txt"
    listed.write_text(f"{line}\n")
    done = run_agent(agent_file(tmp_path), "requirements", str(listed))
    assert done.returncode == (1 if said else 0)
    assert said in done.stderr.decode()
