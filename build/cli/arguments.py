"""What the options of tasks take. Fabric hands over words as they were typed; here they become values.

Every option of every task names one of these kinds in its annotation, so that none can be forgotten, and all that is
wrong with a command line is said at once, before anything is looked at.

Exit codes: 0 done or nothing to do, 1 a problem that the message explains, 130 interrupted.
"""

import errno
import functools
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, get_args, runtime_checkable

import fabric
from invoke.exceptions import Exit

from build.errors import DeployError
from deployment.errors import ConfigError, why
from deployment.quantities import MAX_WAIT_S

NAME_BYTES = 255
"""Of one file's name (limits.h: NAME_MAX); of a whole path 4096."""
PATH_BYTES = 4096


class UnreadableError(ValueError):
    """What is wrong with a word, and what to do."""

    def __init__(self, wrong: str, step: str) -> None:
        super().__init__(wrong)
        self.wrong, self.step = wrong, step


@runtime_checkable
class Kind(Protocol):
    """A kind of value."""

    def read(self, given: str) -> Any:
        """Make the value of a word. Raises UnreadableError."""
        ...


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole number within bounds."""

    least: int
    most: int

    def read(self, given: str) -> int:
        # int() would take 1_000, ' 5 ' and the digits of every script as well.
        if re.fullmatch(r"[0-9]{1,18}", given, re.ASCII) and self.least <= int(given) <= self.most:
            return int(given)
        raise UnreadableError(f"not a whole number from {self.least} to {self.most}", "Give one, in digits.")


@dataclass(frozen=True, slots=True)
class Seconds:
    """A time in seconds, a fraction of one included."""

    least: int = 1
    most: int = MAX_WAIT_S

    def read(self, given: str) -> float:
        if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", given, re.ASCII) and self.least <= float(given) <= self.most:
            return float(given)
        raise UnreadableError(f"not a number of seconds from {self.least} to {self.most}", "Give one, such as 600.")


@dataclass(frozen=True, slots=True)
class Amount:
    """A positive number, a fraction included."""

    most: int = 1_000_000

    def read(self, given: str) -> float:
        if re.fullmatch(r"[0-9]{1,18}(\.[0-9]{1,18})?", given, re.ASCII) and 0 < float(given) <= self.most:
            return float(given)
        raise UnreadableError(f"not a number above 0, up to {self.most}", "Give one, such as 2.5.")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, given: str) -> str:
        if given in self.words:
            return given
        *first, last = self.words
        raise UnreadableError(f"not {', '.join(first)} or {last}", "Give one of them, or leave the option out.")


@dataclass(frozen=True, slots=True)
class Text:
    """A name, an address or a path: one line that can be printed, of a length that files can have."""

    what: str

    def read(self, given: str) -> str:
        if not given.strip():
            wrong = "empty"
        elif not _is_utf8(given):
            wrong = "not UTF-8"
        elif not given.isprintable():
            wrong = "with characters that cannot be printed"
        elif given.startswith("-"):
            wrong = "an option where a value belongs"
        elif len(given.encode()) >= PATH_BYTES or any(len(part.encode()) > NAME_BYTES for part in given.split("/")):
            wrong = f"longer than the {NAME_BYTES} bytes that a name can have"
        else:
            return given
        raise UnreadableError(wrong, f"Give {self.what}.")


@dataclass(frozen=True, slots=True)
class Several:
    """Values of one kind, separated by commas. Each counts once."""

    each: Kind
    example: str

    def read(self, given: str) -> tuple[Any, ...]:
        try:
            return tuple(dict.fromkeys(self.each.read(word.strip()) for word in given.split(",")))
        except UnreadableError as error:
            step = f"Give one, or several separated by commas, such as {self.example}."
            raise UnreadableError(error.wrong, step) from None


Stack = Annotated[str, Text("a stack's name, as `pulumi stack ls` tells it")]
Name = Annotated[str, Text("a name")]
Names = Annotated[tuple[str, ...], Several(Text("a name"), "one,another")]
Location = Annotated[str, Text("a directory, a file or an address")]
Engine = Annotated[str, Choice(("compiled", "wheel"))]
WhenUsed = Annotated[str, Choice(("refuse", "go-on"))]
Lines = Annotated[int, Whole(1, 1_000_000)]
Rounds = Annotated[int, Whole(2, 30)]
Cores = Annotated[int, Whole(1, 4096)]
Timeout = Annotated[float, Seconds()]
Tokens = Annotated[int, Whole(1, 10_000_000)]
Positive = Annotated[float, Amount()]

CONTEXT = inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD)
Body = Callable[..., None]
Declare = Callable[[Body], "Task"]
HOST_OPTIONS = {"stack": Stack, "inventory": Location, "host": Name}
HOST_HELP = {
    "stack": "the hosts of this stack, by `pulumi stack output`",
    "inventory": "the hosts of this inventory file",
    "host": "only this one of them",
}


class Task(fabric.tasks.Task):  # type: ignore[misc] # Fabric ships no types
    """A task that leaves `-h` to help: an option `--host` would take the letter.

    Its options arrive as they were typed, numbers too: what Fabric makes of those ends in a traceback where it is none.
    """

    def arg_opts(self, name: str, default: Any, taken_names: set[str]) -> Any:
        """Name the forms of one option, as keywords of Invoke's Argument."""
        opts = super().arg_opts(name, default, taken_names)
        kind = opts.get("kind", str)
        names = [each for each in opts["names"] if each != "h"]
        return {**opts, "names": names, "kind": bool if kind is bool else str}


def task(*positional: str, **helps: str) -> Declare:
    """Make a task of a function that takes a task's options: what each is for, and which may be given by place."""

    def declare(body: Body) -> Task:
        kinds = kinds_of(body)

        @functools.wraps(body)
        def run(context: Any, **given: Any) -> None:
            with problems_as_messages():
                body(**read_arguments(context, kinds, given))

        # Invoke makes a task's command line from this, and passes the context first.
        run.__signature__ = inspect.Signature([CONTEXT, *_parameters(body)])  # type: ignore[attr-defined]
        # Without a list Invoke takes every option without a default by place.
        return Task(run, positional=positional or None, help=helps)

    return declare


def host_task(*positional: str, **helps: str) -> Declare:
    """Make a task of a function that takes hosts and a task's options: the task has those that name hosts besides."""

    def declare(body: Body) -> Task:
        @functools.wraps(body)
        def on_hosts(**given: Any) -> None:
            from build.cli.hosts import Selection

            selection = Selection(**{name: given.pop(name, None) for name in HOST_OPTIONS})
            with selection.hosts() as hosts:
                body(hosts, **given)

        _, *own = _parameters(body)
        of_hosts = [CONTEXT.replace(name=name, default=None, annotation=kind) for name, kind in HOST_OPTIONS.items()]
        on_hosts.__signature__ = inspect.Signature([*own, *of_hosts])  # type: ignore[attr-defined]
        return task(*positional, **helps, **HOST_HELP)(on_hosts)

    return declare


@contextmanager
def problems_as_messages() -> Iterator[None]:
    """Turn problems of a person's making into lines on stderr and exit code 1."""
    from build.progress import terminal
    from build.remote.proxies import keep_direct

    keep_direct()
    try:
        yield
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
        terminal(stderr=True).print(f"{where}: cannot be written: {why(error)}. {step}.", markup=False)
        raise Exit(code=1) from None
    except KeyboardInterrupt:
        print("Interrupted. Models keep serving; run the same command again to finish.", file=sys.stderr)
        raise Exit(code=130) from None


def kinds_of(body: Body) -> Mapping[str, Kind]:
    """Each option's kind, from the signature; a switch has none."""
    found = {option.name: _kind(option.annotation) for option in _parameters(body) if option.annotation is not bool}
    forgotten = [name for name, kind in found.items() if kind is None]
    assert not forgotten, f"{body.__name__}: what its options take is not said, got {forgotten}"
    return {name: kind for name, kind in found.items() if kind is not None}


def _parameters(body: Body) -> list[inspect.Parameter]:
    return [*inspect.signature(body).parameters.values()]


def unheeded(context: Any) -> list[str]:
    """Say what was asked of Fabric itself that no task heeds, and would miss: other hosts, or to touch nothing."""
    found = []
    if isinstance(context, fabric.Connection):  # which Fabric makes for its own `--hosts`, and for nothing else
        got = f"got {shown(context.original_host)}"
        found.append(f"--hosts: has no effect here, {got}. Use --host, with --stack or --inventory.")
    if context.config.run.dry:
        found.append("--dry: has no effect here. Use `fab plan`, which touches nothing.")
    return found


def read_arguments(context: Any, kinds: Mapping[str, Kind], given: Mapping[str, Any]) -> dict[str, Any]:
    """Make values of words; defaults stay as they are. Raises ConfigError with everything that is wrong."""
    values, problems = dict(given), unheeded(context)
    for name, kind in kinds.items():
        word = given.get(name)
        if not isinstance(word, str):
            continue
        try:
            values[name] = kind.read(word)
        except UnreadableError as error:
            problems.append(f"--{name.replace('_', '-')}: {error.wrong}, got {shown(word)}. {error.step}")
    if problems:
        raise ConfigError(problems)
    return values


def shown(word: str) -> str:
    """A word as it was typed, or, where a terminal would not show that, as JSON writes it."""
    text = word if word and _is_utf8(word) and word.isprintable() and word == word.strip() else json.dumps(word)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_utf8(word: str) -> bool:
    """Bytes of a command line that are none arrive as lone surrogates."""
    return not any("\ud800" <= letter <= "\udfff" for letter in word)


def _kind(annotation: Any) -> Kind | None:
    """The kind that an annotation names, or one of its alternatives does."""
    for each in (annotation, *get_args(annotation)):
        for said in getattr(each, "__metadata__", ()):
            if isinstance(said, Kind):
                return said
    return None
