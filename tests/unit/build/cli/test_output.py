"""What a person and a program see: words, tables, and no escape sequence where none is wanted."""

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from build.check import Check
from build.cli import output
from build.remote.target import REPOSITORY


def text_of(table: Any, width: int = 200) -> str:
    console = Console(width=width, highlight=False, color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


@pytest.mark.parametrize(
    "finding", ["[/usr/lib/x.so]", "listen[0] [red]x[/] [Errno 2]", "mistral_common[image]", "a\\"]
)
def test_a_finding_is_shown_as_it_is(finding: str) -> None:
    """Logs of engines stand in findings, and may look like markup."""
    table = output.checks_table([Check("answers", "fail", finding)])
    assert text_of(table).splitlines()[1].rstrip().split(maxsplit=2) == ["answers", "fail", finding]


PRINT = """
from build.cli.output import stdout
from build.cli.status import status_rows, status_table
from build.progress import Reporter
from tests.support.hosts import facts
stdout().print(status_table(status_rows(facts())))
stdout().print("dim words", style="dim")
reporter = Reporter()
reporter.say("green words", style="bold green")
with reporter.phase("A phase") as phase:
    phase.part("alpha", "loading")
"""


def environment(**changes: str) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    return {**kept, "TERM": "xterm-256color", **changes}


def printed_on_a_terminal(**changes: str) -> str:
    leader, follower = pty.openpty()
    command = [sys.executable, "-c", PRINT]
    process = subprocess.Popen(command, cwd=REPOSITORY, env=environment(**changes), stdout=follower, stderr=follower)
    os.close(follower)
    seen = b""
    try:
        while piece := os.read(leader, 65536):
            seen += piece
    except OSError:  # Linux says so when the last writer is gone
        pass
    finally:
        os.close(leader)
    assert process.wait(30) == 0, seen
    return seen.decode()


def test_a_pipe_gets_whole_lines_and_no_escape_sequence() -> None:
    command = [sys.executable, "-c", PRINT]
    done = subprocess.run(command, cwd=REPOSITORY, env=environment(), capture_output=True, text=True, timeout=30)  # noqa: PLW1510
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout + done.stderr
    assert "alpha" in done.stdout
    assert "A phase ...\n  alpha: loading\nA phase: 0.0 s\n" in done.stderr


def test_a_terminal_with_no_color_gets_none() -> None:
    seen = printed_on_a_terminal(NO_COLOR="1")
    assert "\x1b" not in seen
    assert "green words" in seen


def test_a_terminal_gets_colour() -> None:
    assert "\x1b[1;32mgreen words" in printed_on_a_terminal()


def test_json_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    output.print_json({"a": ["[red]", None]})
    assert json.loads(capsys.readouterr().out) == {"a": ["[red]", None]}
    assert Path(output.__file__).is_relative_to(REPOSITORY)
