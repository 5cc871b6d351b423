"""What tasks have in common: how problems are told, which hosts a task is for, and in which order they are visited.

Exit codes: 0 done or nothing to do, 1 a problem that the message explains, 130 interrupted.
"""

import errno
import functools
import inspect
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import fabric
from invoke.exceptions import Exit

from build.cli import output
from build.cli.arguments import Location, Name, Stack, kinds_of, read_arguments
from build.cli.hosts import Selection
from build.errors import DeployError
from build.progress import Reporter, terminal
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.proxies import keep_direct
from build.remote.target import local_target
from deployment.errors import ConfigError

Body = TypeVar("Body", bound=Callable[..., None])
Answer = TypeVar("Answer")
HOST_OPTIONS = {"stack": Stack, "inventory": Location, "host": Name}
HOST_HELP = {
    "stack": "the hosts of this stack, by `pulumi stack output`",
    "inventory": "the hosts of this inventory file",
    "host": "only this one of them",
}


ENGINE_HELP = "compiled there, or from a ready wheel: compiled or wheel (default: host.engine, else compiled on Arm)"
MODELS_HELP = "models file (default: AXION_MODELS, else what the host is to serve, else models.yaml)"


def this_computer() -> Host:
    return Host(local_target(), LocalExecutor(), Reporter())


class HostTask(fabric.tasks.Task):  # type: ignore[misc] # Fabric ships no types
    """A task that leaves `-h` to help: its option `--host` would take the letter.

    Its options arrive as they were typed, numbers too: what Fabric makes of those ends in a traceback where it is none.
    """

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> Any:
        """Name the forms of one option, as keywords of Invoke's Argument."""
        opts = super().arg_opts(name, default, taken_names)
        kind = opts.get("kind", str)
        names = [each for each in opts["names"] if each != "h"]
        return {**opts, "names": names, "kind": bool if kind is bool else str}


def problems_are_messages(body: Body) -> Body:
    """Read a task's options, and turn problems of a person's making into lines on stderr and exit code 1."""
    kinds = kinds_of(body)

    @functools.wraps(body)
    def wrapped(context: Any, *args: Any, **kwargs: Any) -> None:
        keep_direct()
        try:
            body(context, *args, **read_arguments(context, kinds, kwargs))
        except (ConfigError, DeployError) as error:
            console = terminal(stderr=True)
            for problem in error.problems:
                console.print(problem, style="red", markup=False)
            raise Exit(code=1) from None
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EROFS):
                raise
            where = error.filename or "this computer"
            step = "Make room here, then run the same command again: what was done on hosts is not done twice"
            terminal(stderr=True).print(f"{where}: cannot be written, got {error.strerror}. {step}.", markup=False)
            raise Exit(code=1) from None
        except KeyboardInterrupt:
            print("Interrupted. What serves goes on serving; the same command finishes the job.", file=sys.stderr)
            raise Exit(code=130) from None

    return wrapped  # type: ignore[return-value] # functools.wraps keeps the signature that Fabric reads


def on_hosts(body: Callable[..., None]) -> Callable[..., None]:
    """Give a task the options that name hosts. Its function gets the hosts where Fabric passes the context."""
    context, *own = inspect.signature(body).parameters.values()
    options = [
        inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=None, annotation=kind)
        for name, kind in HOST_OPTIONS.items()
    ]

    @functools.wraps(body)
    def wrapped(_context: Any, *args: Any, **kwargs: Any) -> None:
        selection = Selection(**{name: kwargs.pop(name, None) for name in HOST_HELP})
        with selection.hosts() as hosts:
            body(hosts, *args, **kwargs)

    # Invoke makes a task's command line from this.
    wrapped.__signature__ = inspect.Signature([context, *own, *options])  # type: ignore[attr-defined]
    return problems_are_messages(wrapped)


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


def help_for(**options: str) -> Mapping[str, str]:
    """A task's own options, and those that name hosts."""
    return {**options, **HOST_HELP}
