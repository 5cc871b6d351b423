"""What Fabric's parser says of a command line, in sentences.

Fabric reads its own options (`fab -T x`) before the fabfile: what is wrong with those it says in its own words.
"""

import os
import re
import sys
from collections.abc import Callable
from functools import partial
from typing import Any

from invoke.exceptions import Exit, ParseError, UnknownFileType

from build.cli.arguments import shown

LIST_FORMATS = ("flat", "nested", "json")
NO_IDEA = re.compile(r"No idea what '(.*)' is!", re.DOTALL)
NO_VALUE = re.compile(r"Flag <Argument: (\S+).*> needed value and was not given one!")
NO_WORD = re.compile(r"'(.*)' did not receive required positional arguments: '(.*)'")


def explain_mistakes(program: Any) -> None:
    """Have the running `fab` end with one sentence and exit code 1, not with its own words or a traceback."""
    for name in ("parse_tasks", "parse_cleanup", "update_config"):
        setattr(program, name, partial(_explained, program, getattr(type(program), name)))


def _explained(program: Any, step: Callable[[Any], None]) -> None:
    wanted = program.args["list-format"].value
    if wanted not in LIST_FORMATS:
        raise Exit(f"--list-format: not {' or '.join(LIST_FORMATS)}, got {shown(wanted)}. Give one of them.", code=1)
    try:
        step(program)
    except ParseError as error:
        raise Exit(sentence(str(error), error.context.name if error.context else None), code=1) from None
    except BrokenPipeError:  # whoever reads what is printed has seen enough, as `head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise Exit(code=1) from None
    except (OSError, UnknownFileType) as error:
        raise Exit(
            f"--config, --ssh-config: cannot be read: {error}. Leave it out: no task needs it.", code=1
        ) from None


def sentence(said: str, task: str | None) -> str:
    """Say what the parser said within a task, or before any."""
    options = f"`fab --help {task}` names its options" if task else "`fab --help` names the options of fab itself"
    if found := NO_IDEA.fullmatch(said):
        word = shown(found[1])
        if word.startswith("-"):
            return f"{word}: no option of {f'`fab {task}`' if task else 'fab'}. {options}."
        tasks = "`fab --list` names the tasks"
        return (
            f"{word}: no task, and `fab {task}` takes no such word. {tasks}, {options}."
            if task
            else (f"{word}: no task. {tasks}.")
        )
    if found := NO_VALUE.fullmatch(said):
        return f"--{found[1].replace('_', '-')}: without a value. Give one: {options}."
    if found := NO_WORD.fullmatch(said):
        return f"{found[1]}: {found[2]} is missing. Give it: {options}."
    return f"fab: {said.rstrip('!')}. {options}."
