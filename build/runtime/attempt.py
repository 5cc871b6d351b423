"""One attempt to run processes, and what the host tells of it afterwards: nothing that was before counts."""

import json
from collections.abc import Mapping
from typing import Any

from build.errors import DeployError
from build.remote.command import Command
from build.remote.executor import Executor, check
from build.remote.target import Target
from build.runtime.last_words import last_words

Mark = Mapping[str, Any]


def begin(target: Target, executor: Executor) -> Mark | None:
    """Remember where the host's logs are now. None where that cannot be told: no reason to withdraw anything."""
    result = executor.run(attempt_command(target, do="begin"))
    try:
        mark: Mark = json.loads(result.stdout)
    except ValueError:
        return None
    return mark


def why(target: Target, executor: Executor, name: str, mark: Mark | None, release: str) -> tuple[str, list[str]]:
    """Say why a process does not run, as its runner does, and what of its log tells more."""
    try:
        told = json.loads(check(executor, attempt_command(target, do="tell", name=name, mark=mark)).stdout)
    except (DeployError, ValueError) as error:
        return "", [f"its log cannot be read, got {error}"]
    return told["reason"], last_words("\n".join(told["lines"]), release)


def attempt_command(target: Target, **order: Any) -> Command:
    wanted = json.dumps({"root": target.root, "runner": target.runner, **order})
    what = "read what the processes wrote"
    return target.agent.command("attempt", wanted, what=what, timeout_s=120)
