"""What a host has and runs by its own evidence, whatever any models file says."""

from build.activation import Host
from build.change import Wanted
from build.errors import DeployError
from build.facts import Facts, gather, probe_command
from build.preflight import refuse_unmounted


def look(host: Host) -> Facts:
    """Gather the facts that depend on no models file. Raises DeployError where the data disk is away."""
    facts = gather(
        host.executor, probe_command(host.target.root, {}, [], python=host.target.python), name=host.target.name
    )
    refuse_unmounted(host.target, facts)
    return facts


def current(host: Host) -> tuple[Facts, Wanted]:
    """What the host should run by its own current release."""
    facts = look(host)
    description = facts.release(facts.current)
    if facts.current is None or not description:
        raise DeployError(f"{host.target.name}: nothing is deployed, got no release. Run `fab build-and-deploy`.")
    return facts, Wanted.described(facts.current, description)
