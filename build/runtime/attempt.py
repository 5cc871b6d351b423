"""One attempt to run processes, and what the host tells of it afterwards: nothing that was before counts."""

from agent.protocol import AttemptAnswer, AttemptMark, AttemptOrder
from build.errors import DeployError
from build.remote.command import Command
from build.remote.executor import Executor, check
from build.remote.target import Target
from build.runtime.last_words import last_words


def begin(target: Target, executor: Executor) -> AttemptMark | None:
    """Remember where the host's logs are now. None where that cannot be told: no reason to withdraw anything."""
    order = AttemptOrder(do="begin", root=target.root, runner=target.runner)
    try:
        return AttemptMark.from_json(executor.run(attempt_command(target, order)).stdout)
    except ValueError:
        return None


def why(target: Target, executor: Executor, name: str, mark: AttemptMark | None, release: str) -> tuple[str, list[str]]:
    """Say why a process does not run, as its runner does, and what of its log tells more."""
    order = AttemptOrder(do="tell", root=target.root, runner=target.runner, name=name, mark=mark)
    try:
        told = AttemptAnswer.from_json(check(executor, attempt_command(target, order)).stdout)
    except (DeployError, ValueError) as error:
        return "", [f"its log cannot be read: {error}"]
    return told.reason, last_words("\n".join(told.lines), release)


def attempt_command(target: Target, order: AttemptOrder) -> Command:
    return target.agent.command("attempt", order.to_json(), what="read what the processes wrote", timeout_s=120)
