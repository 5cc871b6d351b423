"""What Fabric's parser says of a command line, in sentences.

Fabric reads its own options (`fab -T x`), and a command for hosts (`fab -- x`), before the fabfile, and so before this:
what is wrong with those it says in its own words. After a task's name they are ours.
"""

import os
import re
import sys
from collections.abc import Callable, Collection, Sequence
from functools import partial
from itertools import pairwise
from typing import Any

from invoke.exceptions import Exit, ParseError

from build.cli.arguments import shown
from deployment.errors import why

LIST_FORMATS = ("flat", "nested", "json")
NO_IDEA = re.compile(r"""No idea what (['"])(.*)\1 is!""", re.DOTALL)
NO_VALUE = re.compile(r"Flag <Argument: (\S+)(?: \((\S+)\))?.*> needed value and was not given one!")
NO_GROUP = re.compile(r"Sub-collection '(.*)' not found!", re.DOTALL)
NO_WORD = re.compile(r"'(.*)' did not receive required positional arguments: '(.*)'")


def explain_mistakes(program: Any) -> None:
    """Have the running `fab` end with one sentence and exit code 1, not with its own words or a traceback."""
    for name in ("parse_tasks", "parse_cleanup"):
        setattr(program, name, partial(_explained, program, getattr(type(program), name)))
    program.core_args = partial(_core_args, program)
    program.update_config = partial(_update_config, program)


def _explained(program: Any, step: Callable[[Any], None]) -> None:
    wanted = program.args["list-format"].value
    if wanted not in LIST_FORMATS:
        raise Exit(f"--list-format: not {' or '.join(LIST_FORMATS)}, got {shown(wanted)}. Give one of them.", code=1)
    try:
        step(program)
    except ParseError as error:
        task = error.context.name if error.context else None
        flags = error.context.flags.items() if error.context else ()
        bare = frozenset(flag for flag, argument in flags if not argument.takes_value)
        raise Exit(sentence(str(error), task, program.core.unparsed, bare), code=1) from None
    except Exit as error:
        if found := NO_GROUP.fullmatch(error.message or ""):
            got = shown(found[1])
            raise Exit(f"--list: no group of tasks, got {got}. `fab --list` names all tasks.", code=1) from None
        raise
    except BrokenPipeError:  # whoever reads what is printed has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=1) from None


def _core_args(program: Any) -> Any:
    """Fabric's own options, of which `int` would end in a traceback where it is given no number."""
    args = type(program).core_args(program)
    for each in args:
        if each.kind is int:
            each.kind = _whole(max(each.names, key=len))
    return args


def _whole(name: str) -> Callable[[str], int]:
    def whole(given: str) -> int:
        if re.fullmatch(r"[0-9]{1,9}", given, re.ASCII):
            return int(given)
        raise Exit(f"--{name}: not a whole number, got {shown(given)}. Give one in digits, or leave it out.", code=1)

    return whole


def _update_config(program: Any) -> None:
    """Read what Fabric's own options name. The user's settings of ssh are read by no task, nor may they stop one."""
    if program.core.remainder:
        got = shown(program.core.remainder)
        raise Exit(
            f"--: no command is run on hosts here, got {got}. Leave it out: `fab --list` names the tasks.", code=1
        )
    for name, option in program.args.items():
        if name.startswith("prompt-for-") and option.value:
            raise Exit(f"--{name}: has no effect here. Leave it out: no task needs a password.", code=1)
    program.config.load_ssh_configs = False
    try:
        type(program).update_config(program)
    except Exception as error:  # whatever the format, and whatever it holds
        said = f"{error.filename}: {why(error)}" if isinstance(error, OSError) else " ".join(why(error).split())
        raise Exit(f"--config, --ssh-config: cannot be read: {said}. Leave it out: no task needs it.", code=1) from None


def sentence(said: str, task: str | None, words: Sequence[str] = (), bare: Collection[str] = ()) -> str:
    """Say what the parser said within a task, or before any.

    `words` are those of the task and behind it, `bare` its options that take no value.
    """
    options = f"`fab --help {task}` names its options" if task else "`fab --help` names the options of fab itself"
    if found := NO_IDEA.fullmatch(said):
        word = shown(found[2])
        if word.startswith("-"):
            return f"{word}: no option of {f'`fab {task}`' if task else 'fab'}. {options}."
        tasks = "`fab --list` names the tasks"
        if task is None:
            return f"{word}: no task. {tasks}."
        return (
            _surplus(found[2], words, bare)
            or f"{word}: no task, and `fab {task}` takes no such word. {tasks}, {options}."
        )
    if found := NO_VALUE.fullmatch(said):
        name = max(found[1], found[2] or "", key=len).replace("_", "-")
        return f"--{name}: without a value. Give one: {options}."
    if found := NO_WORD.fullmatch(said):
        return f"{found[1]}: {found[2]} is missing. Give it: {options}."
    return f"fab: {said.rstrip('!')}. {options}."


def _surplus(word: str, words: Sequence[str], bare: Collection[str]) -> str | None:
    """Say of a value that its option has one already, or takes none. The parser takes both for a task's name."""
    parts = [part for each in words for part in (each.split("=", 1) if each.startswith("-") else [each])]
    for option, value in pairwise(parts):
        if value == word and option.startswith("-"):
            if option not in bare and parts.count(option) > 1:
                return f"{option}: given more than once, got {shown(word)} too. Give it once."
            if option in bare and f"{option}={value}" in words:
                return f"{option}: takes no value, got {shown(word)}. Leave the value out."
    return None
