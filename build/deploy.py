"""The deployment itself, from a prepared change to models that answer, and back when they do not."""

import json
from collections.abc import Mapping

from build.activation import GATE_TIMEOUT_S, Host, activate
from build.change import Wanted, decide
from build.command import Command
from build.engine.environment import Recipe, ensure_environment
from build.engine.sources import Sources, choose_sources
from build.errors import DeployError
from build.executor import check
from build.facts import Facts, gather, probe_command
from build.onhost import script
from build.prepare import Prepared
from build.upload import remove_commands, stale_builds, stale_releases, upload_commands

VALIDATE_TIMEOUT_S = 150.0


def deploy(
    prepared: Prepared, host: Host, *, timeout_s: float = GATE_TIMEOUT_S, sources: Sources | None = None
) -> Mapping[str, str]:
    """Carry out a prepared change and return each model's first words.

    Raises DeployError; the last confirmed release serves again then, if there was one.
    """
    change, wanted, release = prepared.change, prepared.wanted, prepared.release
    provide_environment(prepared, host, sources)
    if change.is_upload:
        described = release.description(created_at=prepared.stamp, source=str(prepared.models_file))
        with host.reporter.phase(f"Upload release {wanted.release}"):
            for command in upload_commands(host.target, wanted.release, [*release.files, described], release.build):
                check(host.executor, command)
        validate(host, wanted.release)
    try:
        answers = activate(host, wanted, change, timeout_s=timeout_s)
    except DeployError as error:
        raise DeployError(*error.problems, go_back(host, prepared.facts, failed=wanted.release)) from None
    prune(host, prepared.facts, wanted)
    return answers


def provide_environment(prepared: Prepared, host: Host, sources: Sources | None) -> None:
    """Have the engine environment there, and its wheels where they are wanted: also of one that was sealed before."""
    given = sources or choose_sources()
    if prepared.change.is_build or given.wheels is not None:
        ensure_environment(recipe(prepared, given), host.target, host.executor, host.reporter)


def validate(host: Host, release: str) -> None:
    """Have the host itself look at an uploaded release. Raises DeployError; what serves is not touched."""
    arguments = json.dumps({"root": host.target.root, "release": release})
    command = Command(
        argv=(host.target.python, "-I", "-", arguments),
        what=f"validate {release}",
        stdin=script("validate.py"),
        timeout_s=VALIDATE_TIMEOUT_S,
    )
    with host.reporter.phase("Validate it there"):
        problems = json.loads(check(host.executor, command).stdout)["problems"]
    if problems:
        raise DeployError(
            *(f"{problem}. Nothing was switched; correct the models file or templates/." for problem in problems)
        )


def recipe(prepared: Prepared, sources: Sources) -> Recipe:
    """Say which engine environment a deployment needs."""
    return Recipe(
        pins=prepared.pins,
        constraints_text=prepared.constraints_text,
        digest=prepared.release.build,
        machine=prepared.facts.machine,
        sources=sources,
    )


def go_back(host: Host, before: Facts, *, failed: str) -> str:
    """Return to the release that was confirmed before, and say how that went."""
    previous = before.confirmed
    if previous is None or previous == failed or not before.release(previous):
        return "There is no earlier release to return to. Correct the cause and run `fab build-and-deploy` again."
    host.reporter.say(f"Returning to {previous}, the last release whose models all answered", style="yellow")
    try:
        switch_to(host, previous)
    except DeployError as error:
        return f"Returning to {previous} failed as well: {error}"
    return f"Release {failed} was withdrawn; {previous} serves again."


def switch_to(host: Host, name: str) -> Mapping[str, str]:
    """Make a release that the host has the current one, and wait until its models answer."""
    facts = gather(host.executor, probe_command(host.target.root, {}, [], python=host.target.python))
    description = facts.release(name)
    if not description:
        known = ", ".join(facts.releases) or "none at all"
        raise DeployError(f"{name}: no such release on {host.target.name}, got {known}. Name one of them.")
    wanted = Wanted.described(name, description)
    change = decide(wanted, facts)
    if change.is_build:
        raise DeployError(f"{name}: its engine environment is gone, got {wanted.build}. Deploy the models file anew.")
    return activate(host, wanted, change)


def earlier_release(facts: Facts) -> str | None:
    """Name the newest release made before the current one whose models once answered.

    The others were withdrawn, or are what an interrupted deployment left: nobody wants those back.
    """
    if facts.current is None:
        return None
    earlier = [name for name in facts.releases if name < facts.current and name in facts.answered]
    return earlier[-1] if earlier else None


def prune(host: Host, before: Facts, wanted: Wanted) -> None:
    """Forget old releases, and the environments that only they used."""
    stale = stale_releases({*before.releases, wanted.release}, keep=(wanted.release, before.confirmed))
    used = {wanted.build, *(str(before.release(name).get("build")) for name in before.releases if name not in stale)}
    for command in (
        *remove_commands(host.target, "releases", stale),
        *remove_commands(host.target, "answered", stale),
        *remove_commands(host.target, "builds", stale_builds(before.builds, used)),
    ):
        check(host.executor, command)
