"""Ask Google Cloud through gcloud: argument lists, JSON out, a bound on each call, and refusals that say what to do.

Endpoint overrides (CLOUDSDK_API_ENDPOINT_OVERRIDES_*) and everything else of gcloud's environment pass through.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from build.errors import DeployError
from build.remote.command import Command
from build.remote.executor import Executor
from deployment.refusals.cloud_errors import CloudError, Kind, classify

CALL_TIMEOUT_S = 60.0
# gcloud takes a processor for a second before it asks anything.
CALLS_AT_ONCE = 4
ENVIRONMENT = {"CLOUDSDK_CORE_DISABLE_PROMPTS": "1", "CLOUDSDK_COMPONENT_MANAGER_DISABLE_UPDATE_CHECK": "1"}

PARTIAL = re.compile(r"requests did not succeed|(zones?|regions?|scopes?) (did not respond|(is|are|were) unreachable)")

Answer = TypeVar("Answer")


class GcloudError(DeployError):
    """A call that Google, or gcloud itself, refused."""

    def __init__(self, what: str, error: CloudError) -> None:
        super().__init__(error.problem(what))
        self.error = error


@dataclass(frozen=True, slots=True)
class Gcloud:
    """gcloud on one project."""

    executor: Executor
    project: str

    def ask(self, what: str, *arguments: str, timeout_s: float = CALL_TIMEOUT_S, is_scoped: bool = True) -> Any:
        """Run one call and parse its JSON; `is_scoped` names the project. Raises GcloudError saying what to do next."""
        command = gcloud_command(what, arguments, self.project if is_scoped else None, timeout_s)
        return json.loads(self._run(command) or "null")

    def ask_or_none(self, what: str, *arguments: str, timeout_s: float = CALL_TIMEOUT_S) -> Any | None:
        """Run one call; None where Google says that there is no such thing."""
        try:
            return self.ask(what, *arguments, timeout_s=timeout_s)
        except GcloudError as error:
            if error.error.kind is Kind.NOT_FOUND:
                return None
            raise

    def _run(self, command: Command) -> str:
        result = self.executor.run(command)
        # gcloud exits with 0 and prints what it got when some zones, or all of them, refused to answer.
        if not result.succeeded or PARTIAL.search(result.stderr):
            raise GcloudError(command.what, classify(result.stderr or result.stdout))
        return result.stdout


def gcloud_command(what: str, arguments: Sequence[str], project: str | None, timeout_s: float) -> Command:
    """Build a call that asks nothing back and answers in JSON."""
    scope = (f"--project={project}",) if project else ()
    return Command(
        argv=("gcloud", *arguments, *scope, "--format=json", "--quiet"),
        what=what,
        env=ENVIRONMENT,
        timeout_s=timeout_s,
    )


def all_of(questions: Mapping[str, Callable[[], Answer]]) -> dict[str, Answer]:
    """Ask several things at once. Raises DeployError with every refusal."""
    answers = in_parallel(questions)
    refused = [problem for each in answers.values() if isinstance(each, DeployError) for problem in each.problems]
    if refused:
        raise DeployError(*refused)
    return {name: each for name, each in answers.items() if not isinstance(each, DeployError)}


def in_parallel(questions: Mapping[str, Callable[[], Answer]]) -> dict[str, Answer | DeployError]:
    """Ask several things at once, a few at a time. A refusal is an answer: the others are still given."""

    def answered(question: Callable[[], Answer]) -> Answer | DeployError:
        try:
            return question()
        except DeployError as error:
            return error

    with ThreadPoolExecutor(max_workers=CALLS_AT_ONCE) as pool:
        answers = pool.map(answered, questions.values())
        return dict(zip(questions, answers, strict=True))


def told_once(answers: Mapping[str, Answer | DeployError]) -> dict[str, Answer | DeployError]:
    """Say one reason once: who is not logged in is refused every question, and has one thing to do about it."""
    refused = {name: answer for name, answer in answers.items() if isinstance(answer, DeployError)}
    same: dict[tuple[str, ...], list[str]] = {}
    for name, error in refused.items():
        same.setdefault(tuple(problem.partition(": ")[2] for problem in error.problems), []).append(name)
    said = {names[0]: _for_all(refused[names[0]], len(names) - 1) for names in same.values()}
    return {name: said.get(name, answer) for name, answer in answers.items() if name not in refused or name in said}


def _for_all(error: DeployError, others: int) -> DeployError:
    if not others:
        return error
    more = f" and {others} other question{'' if others == 1 else 's'}"
    problems = [f"{what}{more}{colon}{why}" for what, colon, why in (each.partition(": ") for each in error.problems)]
    if isinstance(error, GcloudError):
        return GcloudError(problems[0].partition(": ")[0], error.error)
    return DeployError(*problems)
