"""What the options of tasks take. Fabric hands over words as they were typed; here they become values.

Every option of every task names one of these kinds in its annotation, so that none can be forgotten, and all that is
wrong with a command line is said at once, before anything is looked at.
"""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Protocol, get_args, runtime_checkable

import fabric

from deployment.errors import ConfigError
from deployment.models.spec import MAX_WAIT_S

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
class Choice:
    """One of a few words."""

    words: tuple[str, ...]

    def read(self, given: str) -> str:
        if given in self.words:
            return given
        raise UnreadableError(f"not {' or '.join(self.words)}", "Give one of them, or leave the option out.")


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


Stack = Annotated[str, Text("a stack's name, as `pulumi stack ls` tells it")]
Name = Annotated[str, Text("a name")]
Location = Annotated[str, Text("a directory, a file or an address")]
Engine = Annotated[str, Choice(("compiled", "wheel"))]
Lines = Annotated[int, Whole(1, 1_000_000)]
Cores = Annotated[int, Whole(1, 4096)]
Timeout = Annotated[float, Seconds()]


def kinds_of(task: Callable[..., Any]) -> Mapping[str, Kind]:
    """Each option's kind, from the signature; a switch has none."""
    _, *options = inspect.signature(task).parameters.values()
    found = {option.name: _kind(option.annotation) for option in options if option.annotation is not bool}
    forgotten = [name for name, kind in found.items() if kind is None]
    assert not forgotten, f"{task.__name__}: what its options take is not said, got {forgotten}"
    return {name: kind for name, kind in found.items() if kind is not None}


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
