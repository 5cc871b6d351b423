"""Make sure that a sealed engine environment exists: the one long step of a first deployment."""

from agent.protocol import SealAnswer
from build.engine import built_wheels
from build.engine.commands import BuildDirectory, distrust_command, look_command, seal_command, start_commands
from build.engine.proofs import judge, proof_problems
from build.engine.recipe import JOB, Recipe
from build.engine.seal import judge_proofs, manifest, proof_command
from build.engine.steps import build_steps, export, proof_steps
from build.errors import ConnectionLostError, DeployError
from build.progress import Reporter
from build.remote.command import Command
from build.remote.executor import Executor, check
from build.remote.host import Host
from build.remote.jobs import Job, forget_job, is_underway, run_job
from build.remote.target import Target

BUILD_TIMEOUT_S = 6 * 3600.0


def ensure_environment(recipe: Recipe, target: Target, executor: Executor, reporter: Reporter) -> BuildDirectory:
    """Return the sealed environment of a recipe, building it first where it is missing. Idempotent.

    Raises DeployError when a step fails or the finished environment is not what was asked for; nothing is sealed then.
    """
    build, host = BuildDirectory.of(target.root, recipe.digest), Host(target, executor, reporter)
    found = SealAnswer.from_json(check(executor, look_command(build, python=target.python)).stdout)
    if found.is_sealed:
        export(recipe, host, build)
        return build
    steps: tuple[Command, ...] = ()
    # What an earlier task began there goes on, or is done: to clear its directory would undo it.
    if not is_underway(target, executor, JOB, recipe.digest):
        steps = _begin(recipe, build, host, is_filled=found.is_filled)
    what = f"build the engine environment {recipe.digest}"
    job = Job(name=JOB, what=what, steps=steps, timeout_s=BUILD_TIMEOUT_S, key=recipe.digest)
    try:
        results = run_job(host, job)
        _prove_and_seal(recipe, build, host, findings=results[-1].stdout)  # the last step put it to use
    except ConnectionLostError:
        raise
    except DeployError:
        forget_job(host, JOB)  # or the next run would prove the same again instead of building anew
        check(executor, distrust_command(build))
        raise
    forget_job(host, JOB)
    export(recipe, host, build)
    return build


def _begin(recipe: Recipe, build: BuildDirectory, host: Host, *, is_filled: bool) -> tuple[Command, ...]:
    """The steps that are left. One that is whole but for its seal may be what engines run from now: it stays."""
    if is_filled:
        host.reporter.say(f"The engine environment {recipe.digest} is there but not sealed: proving it anew")
        return proof_steps(recipe, build)
    host.reporter.say(f"Building the engine environment {recipe.digest}, once for these pins")
    for command in start_commands(build, python=host.target.python):
        check(host.executor, command)
    return build_steps(recipe, host, build)


def _prove_and_seal(recipe: Recipe, build: BuildDirectory, host: Host, findings: str) -> None:
    executor, reporter = host.executor, host.reporter
    with reporter.phase("Prove the engine environment"):
        look = check(executor, proof_command(build)).stdout
    problems = judge_proofs(look, recipe.pins)
    proofs = judge(findings, problems, recipe.pins, recipe.machine)
    for proof in proofs:
        if proof.verdict != "skip":
            reporter.say(f"  {proof.verdict} {proof.name}: {proof.evidence}")
    failed = [*problems, *proof_problems(proof for proof in proofs if proof.name != "loads")]
    if failed:
        raise DeployError(*failed)
    built = built_wheels.read(build, executor)
    text = manifest(recipe.digest, look=look, findings=findings, built=built, proofs=proofs)
    check(executor, seal_command(build, text, python=host.target.python))
