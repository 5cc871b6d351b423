"""What a host has and runs by its own evidence, whatever any models file says."""

from build.deploy.diff import Desired
from build.deploy.facts import Facts, gather, probe_command, refuse_unmounted
from build.errors import DeployError
from build.remote.host import Host
from build.remote.target import Target


def read_state(host: Host) -> Facts:
    """Gather the facts that depend on no models file. Raises DeployError where the data disk is away."""
    facts = gather(host.executor, probe_command(host.target, {}, []), name=host.target.name)
    refuse_unmounted(host.target, facts)
    return facts


def current(host: Host) -> tuple[Facts, Desired]:
    """What the host should run by its own current release."""
    facts = read_state(host)
    release = facts.release(facts.current)
    if facts.current is None or release is None:
        raise DeployError(str(current_problem(host.target, facts)))
    return facts, Desired.described(facts.current, release)


def current_problem(target: Target, facts: Facts) -> str | None:
    """Say that no release is current, and what runs all the same."""
    if facts.release(facts.current):
        return None
    running = what_runs(facts)
    if facts.current is None and not facts.no_links and not running and not facts.ordered:
        return f"{target.name}: nothing is deployed. Run `fab build-and-deploy`."
    what = "is missing"
    if facts.no_links:
        what = "is no link to a release"
    elif facts.current is not None:
        unread = facts.unread.get(facts.current)
        said = f"whose release.json cannot be read: {unread.why}" if unread else "which is not there"
        what = f"points to {facts.current}, {said}"
    told = f"still running: {', '.join(running)}" if running else "nothing is running"
    return (
        f"{target.name}: {target.current} {what}; {told}. Run `fab build-and-deploy`, or `fab rollback` to return "
        "to the release that served last."
    )


def what_runs(facts: Facts) -> list[str]:
    """Name every process of ours that is there, by its runner, its launcher, or its open address."""
    by_runner = {name for name, process in (facts.runner or {}).items() if process.state in ALIVE}
    by_itself = {*facts.engines, *(["gateway"] if facts.served_addresses else [])}
    return sorted(by_runner | by_itself)


ALIVE = ("STARTING", "RUNNING", "BACKOFF", "STOPPING")
"""supervisord's words for what is there, or will be in a moment."""
