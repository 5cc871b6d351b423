"""What tasks on hosts have in common: in which order hosts are visited, and how what each says is told."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from build.cli import output
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import local_target
from deployment.errors import ConfigError

Body = TypeVar("Body", bound=Callable[..., None])
Answer = TypeVar("Answer")


def this_computer() -> Host:
    return Host(local_target(), LocalExecutor(), Reporter())


def one_after_another(hosts: Sequence[Host], act: Callable[[Host], None]) -> None:
    """Change hosts in order, each only after the one before is well. Raises DeployError saying what was not done."""
    names = [host.target.name for host in hosts]
    for index, host in enumerate(hosts):
        if len(hosts) > 1:
            host.reporter.say(f"{host.target.name} ({index + 1} of {len(hosts)})", style="bold")
        try:
            act(host)
        except (ConfigError, DeployError) as error:
            if len(hosts) == 1:
                raise
            done, left = (", ".join(each) or "none" for each in (names[:index], names[index + 1 :]))
            where = f"Stopped at {host.target.name}: see the error above"
            raise DeployError(
                *error.problems, f"{where}. Done before it: {done}; not begun: {left}. Correct it and run this again."
            ) from None


@dataclass(slots=True)
class Answers(Generic[Answer]):
    """What each host said, and what kept the others from it."""

    found: dict[str, Answer] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def print_json(self, values: Mapping[str, Any]) -> None:
        """Print for programs: one host's answer as it is, those of several by their names."""
        output.print_json(dict(values) if self.are_several else next(iter(values.values())))

    def print(self, say: Callable[[Answer], None]) -> None:
        """Print for people, under the hosts' names where they are several."""
        for name, answer in self.found.items():
            if self.are_several:
                output.stdout().print(name, style="bold", markup=False)
            say(answer)

    @property
    def are_several(self) -> bool:
        return len(self.found) > 1 or bool(self.problems)

    def check(self) -> None:
        """Raise DeployError where a host could not answer."""
        if self.problems:
            raise DeployError(*self.problems)


def from_each(hosts: Sequence[Host], ask: Callable[[Host], Answer]) -> Answers[Answer]:
    """Look at every host, those behind one that fails included."""
    answers: Answers[Answer] = Answers()
    for host in hosts:
        try:
            answers.found[host.target.name] = ask(host)
        except (ConfigError, DeployError) as error:
            answers.problems += error.problems
    if not answers.found:
        answers.check()
    return answers
