"""Make a release that a host has the one that it serves."""

from collections.abc import Mapping

from agent.protocol import ValidateAnswer, ValidateOrder
from build.deploy.activate import activate
from build.deploy.diff import Desired, decide
from build.deploy.facts import Facts, gather, probe_command
from build.deploy.place import refuse_place
from build.errors import DeployError
from build.remote.executor import ask
from build.remote.host import Host

VALIDATE_TIMEOUT_S = 900.0
RENDERED = "correct the models file or templates/"
BROKEN = "see that the host's disks have room and are whole, then run the same command again"


def validate(host: Host, release: str, *, step: str | None = None) -> None:
    """Have the host itself look at a release it has. Raises DeployError; what serves is not touched."""
    arguments = ValidateOrder(host.target.root, release).to_json()
    what = f"validate {release}"
    command = host.target.agent.command("validate", arguments, what=what, timeout_s=VALIDATE_TIMEOUT_S)
    with host.reporter.phase("Validate it there"):
        told = ask(host.executor, command, ValidateAnswer)
    steps = ((told.broken, step or BROKEN), (told.problems, step or RENDERED))
    if said := [f"{problem}. Nothing was switched; {each}." for found, each in steps for problem in found]:
        raise DeployError(*said)


def switch_to(host: Host, name: str) -> Mapping[str, str]:
    """Make a release that the host has the current one, and wait until its models answer."""
    facts = gather(host.executor, probe_command(host.target, {}, []), name=host.target.name)
    description = facts.release(name)
    if name in facts.unread:
        raise DeployError(f"{facts.unread_problem(name)} Name another one.")
    if description is None:
        known = ", ".join(facts.releases) or "none at all"
        raise DeployError(f"{name}: no such release on {host.target.name}, got {known}. Name one of them.")
    desired = Desired.described(name, description)
    diff = decide(desired, facts)
    if diff.is_build:
        raise DeployError(f"{name}: its engine environment is gone, got {desired.build}. Deploy the models file anew.")
    refuse_place(host.target, facts)
    if diff.is_switch:
        validate(host, name, step="name another release, or deploy the models file anew")
    return activate(host, desired, diff)


def earlier_release(facts: Facts) -> str | None:
    """Name the release that served when the current one was made; without that, the newest made before it.

    Only releases whose models once answered: the others were withdrawn, or are what an interrupted deployment left, and
    nobody wants those back. Where nothing is current, what answered last was.
    """
    proven = [name for name in facts.ordered if name in facts.answered and name in facts.releases]
    now = facts.release(facts.current)
    if now is None:
        return facts.confirmed if facts.confirmed in proven else next(reversed(proven), None)
    if now.follows in proven:
        return now.follows
    earlier = facts.ordered[: facts.ordered.index(str(facts.current))]
    return next((name for name in reversed(earlier) if name in proven), None)
