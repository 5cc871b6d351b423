"""What stands on a host where a deployment would go, and must not be touched or is in its way."""

from collections.abc import Iterator

from build.deploy.facts import Facts
from build.errors import DeployError
from build.remote.target import Target
from deployment.stack.host_root import KIND, unfit


def refuse_place(target: Target, facts: Facts) -> None:
    """Raise DeployError where nothing can be switched to on a host."""
    if problems := list(place_problems(target, facts)):
        raise DeployError(*problems)


def place_problems(target: Target, facts: Facts) -> Iterator[str]:
    """Report what would stop a deployment after it had begun, or what it must not touch."""
    for name in facts.no_links:
        path = f"{target.root}/{name}"
        yield (
            f"{target.name}: {path} is no link to a release, got something that somebody else put there. "
            f"Move it away: `mv {path} {path}.old`."
        )
    if target.runner != "systemd":
        return
    if facts.real_root not in ("", target.root) and (why := unfit(facts.real_root)):
        yield f"{target.name}: data_mount leads elsewhere: {why}, got {target.root} -> {facts.real_root}. Give {KIND}."
    elif facts.closed is not None:
        yield (
            f"{target.name}: the account that serves cannot pass {facts.closed}: a directory that not everybody "
            f"may enter. Run `chmod o+x {facts.closed}` there, or give another data_mount."
        )
    for trouble in facts.troubles:
        if trouble.kind == "masked":
            yield f"{target.name}: {trouble.unit}: {trouble.what}."
