"""What people type after a task: every option of every task, as the task list itself names them."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fabric.main import program
from invoke.collection import Collection
from invoke.parser.argument import Argument

import fabfile
from build.cli.arguments import Several, Whole

ROOT = Path(fabfile.__file__).parent
# The README's tasks, so that a walk over nothing is noticed.
KNOWN = {"plan", "build-and-deploy", "logs", "history", "models-add", "census", "up", "start", "demo.prepare"}

# Nothing reads these as the number, word, name or path that anybody meant.
UNREADABLE = {
    "empty": "",
    "blank": "  ",
    "control": "a\x1b[31mb",
    "two lines": "a\nb",
    "not UTF-8": "a\udcff",
    "long": "a" * 5000,
}
NO_NUMBER = {
    "garbage": "abc",
    "negative": "-1",
    "zero": "0",
    "huge": "9" * 30,
    "exponent": "1e3",
    "infinite": "inf",
    "no number": "nan",
    "other digits": "\uff11\uff12",
    "underscore": "1_000",
    "sign": "+5",
    "spaces": " 5 ",
    "hexadecimal": "0x10",
    "two points": "1.2.3",
    "comma": "1,5",
}
NO_WHOLE = {"fraction": "1.5", "point": "1."}


def tasks() -> dict[str, Any]:
    found: Collection = fabfile.namespace
    return {name: found[name] for name in found.task_names}


def options() -> Iterator[tuple[str, Argument]]:
    for name, task in tasks().items():
        for option in task.get_arguments():
            if option.kind is not bool:
                yield name, option


def wrong_values(option: Argument) -> "dict[str, str]":
    if isinstance(option.default, int):
        return {**UNREADABLE, **NO_NUMBER, **NO_WHOLE}
    if isinstance(option.default, float):
        return {**UNREADABLE, **NO_NUMBER}
    return {**UNREADABLE, "another word": "nope"} if option.name == "engine" else UNREADABLE


CASES = [
    pytest.param(task, option, value, id=f"{task} {option.name} {kind}")
    for task, option in options()
    for kind, value in wrong_values(option).items()
]


def test_the_walk_sees_all_tasks() -> None:
    assert tasks().keys() >= KNOWN
    assert len(CASES) > 300


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What `fab` prints for people when it refuses, in this process: a thousand new ones would take minutes."""
    with pytest.raises(SystemExit) as ended:
        program.run(["fab", f"--search-root={ROOT}", *words])
    assert ended.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    return err


@pytest.mark.parametrize(("task", "option", "value"), CASES)
def test_what_nobody_can_have_meant_is_refused_in_a_sentence(
    task: str, option: Argument, value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flag = f"--{option.names[0]}"
    others = [f"--{other.names[0]}=x" for other in tasks()[task].get_arguments() if other.positional]
    line = said(capsys, task, *(each for each in others if each != f"{flag}=x"), f"{flag}={value}")
    assert re.fullmatch(rf"{flag}: [^\n]+, got [^\n]+\. [A-Z][^\n]+\.\n", line), line


def test_a_number_is_asked_for_in_its_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    line = "--lines: not a whole number from 1 to 1000000, got abc. Give one, in digits.\n"
    assert said(capsys, "history", "--lines", "abc") == line


def test_all_that_is_wrong_with_a_command_line_is_said_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    words = ("build-and-deploy", "--timeout-s", "abc", "--engine", "gpu", "--models", "", "--host", "a\tb")
    assert said(capsys, *words).splitlines() == [
        '--models: empty, got "". Give a directory, a file or an address.',
        "--timeout-s: not a number of seconds from 1 to 86400, got abc. Give one, such as 600.",
        "--engine: not compiled or wheel, got gpu. Give one of them, or leave the option out.",
        '--host: with characters that cannot be printed, got "a\\tb". Give a name.',
    ]


@pytest.mark.parametrize(("task", "names"), [("bench", "only"), ("bench-ablate", "off")])
def test_each_value_of_a_list_is_looked_at_with_all_other_options(
    capsys: pytest.CaptureFixture[str], task: str, names: str
) -> None:
    options = ("--profile", "chat,poems", "--concurrency", "1,0", "--timeout-s", "0.5")
    assert said(capsys, task, f"--{names}", ",phi4_fast", *options).splitlines() == [
        f"--{names}: empty, got ,phi4_fast. Give one, or several separated by commas, such as one,another.",
        "--profile: not chat, code, long, long-shared or pictures, got chat,poems. Give one, or several "
        "separated by commas, such as chat,code.",
        "--concurrency: not a whole number from 1 to 512, got 1,0. Give one, or several separated by commas, such as "
        "1,2,4,8.",
        "--timeout-s: not a number of seconds from 1 to 86400, got 0.5. Give one, such as 600.",
    ]


def test_a_list_has_each_value_once() -> None:
    assert Several(Whole(1, 512), "1,2").read("8, 1,1") == (8, 1)


@pytest.mark.parametrize(("task", "option"), [*options()])
def test_a_value_that_is_missing_is_asked_for(task: str, option: Argument, capsys: pytest.CaptureFixture[str]) -> None:
    flag = f"--{option.names[0].replace('_', '-')}"
    assert said(capsys, task, flag) == f"{flag}: without a value. Give one: `fab --help {task}` names its options.\n"


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ("--no-such", "--no-such: no option of fab. `fab --help` names the options of fab itself."),
        ("nope", "nope: no task. `fab --list` names the tasks."),
        ("-H x y", "y: no task. `fab --list` names the tasks."),
        ("--help nope", "nope: no task. `fab --list` names the tasks."),
        ("plan --nope", "--nope: no option of `fab plan`. `fab --help plan` names its options."),
        (
            "plan extra",
            "extra: no task, and `fab plan` takes no such word. `fab --list` names the tasks, "
            "`fab --help plan` names its options.",
        ),
        ("logs", "logs: name is missing. Give it: `fab --help logs` names its options."),
        (
            "up --host",
            "--stack: an option where a value belongs, got --host. "
            "Give a stack's name, as `pulumi stack ls` tells it.",
        ),
        ("-F table --list", "--list-format: not flat or nested or json, got table. Give one of them."),
        (
            "-S /no/file plan",
            "--config, --ssh-config: cannot be read: /no/file: No such file or directory. "
            "Leave it out: no task needs it.",
        ),
    ],
)  # fmt: skip
def test_a_command_line_that_fabric_does_not_understand_is_one_sentence(
    words: str, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert said(capsys, *words.split()) == f"{line}\n"


@pytest.mark.parametrize("words", [("--list",), ("--help", "logs")])
def test_whoever_has_read_enough_of_a_list_is_told_nothing(words: tuple[str, ...]) -> None:
    """As `fab --list | head -1` does."""
    read, write = os.pipe()
    os.close(read)
    fab = str(Path(sys.executable).with_name("fab"))
    done = subprocess.run([fab, *words], cwd=ROOT, stdout=write, stderr=subprocess.PIPE, check=False, timeout=60)
    os.close(write)
    assert done.stderr == b""


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (("history", "--lines", "1"), ""),
        (("history", "--lines", "1000000"), ""),
        (("history", "-l5"), ""),
    ],
)
def test_numbers_within_the_bounds_are_taken(
    words: tuple[str, ...],
    shown: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AXION_LOCAL_ROOT", str(tmp_path))
    program.run(["fab", f"--search-root={ROOT}", *words], exit=False)
    assert capsys.readouterr().err == shown


# Fabric has options of its own, before or after any task. Who types `--hosts main` for `--host main`, or `--dry` before
# an uninstallation, must not find that it was done to every host, or done at all.
@pytest.mark.parametrize("task", sorted(tasks()))
@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("--hosts=main",), "--hosts: has no effect here, got main. Use --host, with --stack or --inventory."),
        (("--dry",), "--dry: has no effect here. Use `fab plan`, which touches nothing."),
    ],
    ids=lambda each: each[0] if isinstance(each, tuple) else "",
)
def test_what_fabric_takes_and_no_task_heeds_is_refused(
    task: str, words: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    others = [f"--{other.names[0]}=x" for other in tasks()[task].get_arguments() if other.positional]
    assert said(capsys, *words, task, *others) == f"{sentence}\n"


def test_options_of_fabric_and_of_the_task_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    assert said(capsys, "stop", "--host", "", "--dry", "--hosts", "main").splitlines() == [
        "--hosts: has no effect here, got main. Use --host, with --stack or --inventory.",
        "--dry: has no effect here. Use `fab plan`, which touches nothing.",
        '--host: empty, got "". Give a name.',
    ]
