"""Make sure that a sealed engine environment exists: the one long step of a first deployment."""

from collections.abc import Sequence
from dataclasses import dataclass

from build.command import Command
from build.environment import BuildDirectory, install_commands, is_sealed_command, start_commands
from build.errors import DeployError
from build.executor import Executor, OnLine, check
from build.pins import Pins
from build.progress import Phase, Reporter
from build.seal import judge_proofs, manifest, proof_command, seal_commands
from build.target import Target
from build.torch_source import TorchSource, choose_torch_source, probe_commands


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """What an environment is made from."""

    pins: Pins
    constraints_text: str
    digest: str
    machine: str


def ensure_environment(recipe: Recipe, target: Target, executor: Executor, reporter: Reporter) -> BuildDirectory:
    """Return the sealed environment of a recipe, building it first where it is missing. Idempotent.

    Raises DeployError when a step fails or the finished environment is not what was asked for; nothing is sealed then.
    """
    build = BuildDirectory.of(target.root, recipe.digest)
    if executor.run(is_sealed_command(build)).succeeded:
        return build
    reporter.say(f"Building the engine environment {recipe.digest}, once for these pins")
    _run(executor, reporter, start_commands(build, python=target.python))
    torch = _torch_source(recipe, build, executor, reporter)
    _run(
        executor,
        reporter,
        install_commands(recipe.pins, build, torch, machine=recipe.machine, constraints_text=recipe.constraints_text),
    )
    with reporter.phase("Prove the engine environment"):
        proofs = check(executor, proof_command(build)).stdout
    problems = judge_proofs(proofs, recipe.pins)
    if problems:
        raise DeployError(*problems)
    for command in seal_commands(build, manifest(recipe.digest, proofs, torch)):
        check(executor, command)
    return build


def _torch_source(recipe: Recipe, build: BuildDirectory, executor: Executor, reporter: Reporter) -> TorchSource:
    with reporter.phase("Look for torch"):
        configured, cpu_index = (executor.run(command).stdout for command in probe_commands(recipe.pins, build.python))
    source = choose_torch_source(recipe.pins, configured=configured, cpu_index=cpu_index)
    reporter.say(f"Using {source.said}")
    return source


def _run(executor: Executor, reporter: Reporter, commands: Sequence[Command]) -> None:
    """Show a bar for what takes long; files and folders are made in passing."""
    for command in commands:
        if command.stdin is not None or command.argv[0] in ("rm", "mkdir"):
            check(executor, command)
            continue
        with reporter.phase(command.what[0].upper() + command.what[1:]) as phase:
            check(executor, command, progress_of(phase))


def progress_of(phase: Phase) -> OnLine:
    """Turn pip's output into a moving bar: `Progress 1234 of 5678` while it downloads, its last line otherwise."""

    def on_line(line: str) -> None:
        words = line.split()
        if len(words) == 4 and words[0] == "Progress" and words[1].isdigit() and words[3].isdigit():
            phase.transfer(int(words[1]), int(words[3]))
        else:
            phase.note(line)

    return on_line
