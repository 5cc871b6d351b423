"""The deployment itself, from a prepared change to models that answer, and back when they do not."""

from collections.abc import Mapping
from pathlib import Path

from agent.protocol import PruneOrder
from build.checkpoints.pull import Means, choose_source, pull_models
from build.deploy.activate import activate, bookkeeping
from build.deploy.diff import Desired
from build.deploy.facts import Facts
from build.deploy.models_file import keep, kept
from build.deploy.packages import install_packages, refuse_lacking
from build.deploy.prepare import Prepared, nothing_to_do, prepare
from build.deploy.switch import switch_to, validate
from build.deploy.upload import remove_commands, stale_builds, stale_releases, upload_command
from build.engine.commands import BuildDirectory
from build.engine.environment import ensure_environment
from build.engine.sources import Sources
from build.errors import ConnectionLostError, DeployError, UnnotedError
from build.remote.command import Command
from build.remote.executor import check
from build.remote.host import Host
from build.remote.lock import host_lock
from build.remote.room import keep_command, use_command
from build.remote.target import Target
from build.runtime.systemd import keys_commands
from deployment.quantities import READY_TIMEOUT_S


def run_build_and_deploy(
    host: Host,
    models_file: Path,
    timeout_s: float = READY_TIMEOUT_S,
    *,
    sources: Sources | None = None,
    engine: str | None = None,
) -> None:
    """Deploy under the lock; the same for the task and the demonstration."""

    def look_again() -> Prepared:
        return prepare(models_file, host.target, host.executor, sources=sources, engine=engine)

    with host_lock(host, "fab build-and-deploy") as lock:
        lock.note(is_change=False)
        prepared = look_again()
        if prepared.is_installing:
            lock.note(is_change=True)
            install_packages(host, prepared.needs, prepared.facts.system)
            prepared = look_again()
            refuse_lacking(host, prepared.needs, prepared.facts.system)
        if prepared.pulls:
            lock.note(is_change=True)
            provide_environment(prepared, host)  # whose huggingface_hub downloads them
            build = BuildDirectory.of(host.target.root, prepared.recipe.digest)
            means = Means(python=str(build.python), source=choose_source())
            pull_models(host, prepared.deployment, models_file, prepared.pulls, means)
            prepared = look_again()  # a checkpoint decides on digests and on what fits
        if prepared.diff.is_nothing or kept(host.target) is None:
            keep(host.target, models_file)
        if prepared.diff.is_nothing:
            provide_environment(prepared, host)
            for command in keys_commands(host.target):
                check(host.executor, command)
            host.reporter.say(f"{nothing_to_do(prepared)} {host.reporter.elapsed_s:.1f} s")
            return
        lock.note(release=prepared.desired.release, is_change=True)
        deploy(prepared, host, timeout_s=float(timeout_s))
        keep(host.target, models_file)  # and not before: a release that is withdrawn leaves what was
    address = prepared.deployment.gateway.listen[0]
    where = f"http://{address}/v1" if host.target.is_here else f"http://{address}/v1 of {host.target.name}"
    host.reporter.say(
        f"{prepared.desired.release} serves {', '.join(prepared.deployment.models)} at {where} "
        f"after {host.reporter.elapsed_s:.1f} s",
        style="bold green",
    )


def deploy(prepared: Prepared, host: Host, *, timeout_s: float = READY_TIMEOUT_S) -> Mapping[str, str]:
    """Carry out a prepared change and return each model's first words.

    Raises DeployError; the last confirmed release serves again then, if there was one.
    """
    diff, desired = prepared.diff, prepared.desired
    bring(prepared, host)
    try:
        answers = activate(host, desired, diff, timeout_s=timeout_s)
    except (UnnotedError, ConnectionLostError):
        raise  # the host may well serve what it was told to: that is for the next run to see
    except DeployError as error:
        raise DeployError(*error.problems, go_back(host, prepared.facts, failed=desired.release)) from None
    with bookkeeping(host, desired.release):
        prune(host, prepared.facts, desired)
    return answers


def bring(prepared: Prepared, host: Host) -> None:
    """Have the release and its environment there, whole, and change nothing of what serves."""
    desired, release = prepared.desired, prepared.release
    provide_environment(prepared, host)
    if prepared.diff.is_upload:
        described = release.description(
            created_at=prepared.stamp,
            source=str(prepared.models_file),
            sequence=prepared.facts.next_sequence,
            follows=prepared.facts.confirmed,
        )
        with host.reporter.phase(f"Upload release {desired.release}"):
            files = [*release.files, described]
            check(host.executor, upload_command(host.target, desired.release, files, release.build))
        validate(host, desired.release)
    check(host.executor, keep_command(host.target))


def provide_environment(prepared: Prepared, host: Host) -> None:
    """Have the engine environment there, and its wheels where they are wanted: also of one that was sealed before."""
    if prepared.diff.is_build or prepared.recipe.sources.wheels is not None:
        ensure_environment(prepared.recipe, host.target, host.executor, host.reporter)


def go_back(host: Host, before: Facts, *, failed: str) -> str:
    """Return to the release that was confirmed before, and say how that went."""
    previous = before.confirmed
    if previous is not None and previous in before.unread and previous != failed:
        return f"{before.unread_problem(previous)} It served before; `fab rollback` goes back further."
    if previous is None or previous == failed or before.release(previous) is None:
        return "There is no earlier release to return to. Correct the cause and run `fab build-and-deploy` again."
    host.reporter.say(f"Returning to {previous}, the last release whose models all answered", style="yellow")
    try:
        host.executor.run(use_command(host.target))
        switch_to(host, previous)
    except UnnotedError as error:
        return f"Release {failed} was withdrawn; {previous} serves again. {error}"
    except DeployError as error:
        return f"Returning to {previous} failed as well: {error}"
    return f"Release {failed} was withdrawn; {previous} serves again."


def prune(host: Host, before: Facts, desired: Desired) -> None:
    """Forget old releases, and the environments and checkpoints that only they used."""
    made = list(before.ordered) if desired.release in before.releases else [*before.ordered, desired.release]
    known = before.release(desired.release)
    served = known.follows if known else None
    stale = stale_releases(made, keep=(desired.release, before.confirmed, served, *before.ageless))
    used = {desired.build, *(before.build_of(name) for name in before.ordered if name not in stale)}
    # A release that does not even tell which environment it runs on may run on any.
    unused = [] if None in used else stale_builds(before.builds, used)
    for command in (
        *remove_commands(host.target, "releases", stale),
        *remove_commands(host.target, "answered", stale),
        *remove_commands(host.target, "builds", unused),
        prune_models_command(host.target),
    ):
        check(host.executor, command)


def prune_models_command(target: Target) -> Command:
    """Remove the checkpoints that were downloaded and that no release names, as the releases there say now."""
    order, what = PruneOrder(target.root).to_json(), "prune old checkpoints"
    return target.agent.command("prune", order, what=what, timeout_s=300)
