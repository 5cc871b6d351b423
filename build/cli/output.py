"""How results look on a terminal: aligned tables, nothing that a pipe cannot carry."""

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from invoke.exceptions import Exit
from rich.console import Console
from rich.table import Table
from rich.text import Text

from build.check import Check
from build.progress import terminal
from deployment.errors import ended_once

PIPE_COLUMNS = 200
"""Nothing is cut where nobody sees the edge of a screen."""

UNKNOWN = "unknown"
STYLES = {
    "ready": "green",
    "stopped": "dim",
    "pass": "green",
    "loading": "yellow",
    "warn": "yellow",
    "skip": "dim",
    "fail": "red",
}


def stdout() -> Console:
    """The console that results go to; progress goes to stderr."""
    return terminal(stderr=False, width=None if sys.stdout.isatty() else PIPE_COLUMNS)


def print_json(value: Any) -> None:
    """Print for programs: what json knows, and dataclasses."""
    print(json.dumps(value, indent=1, default=asdict))


def checks_table(checks: Sequence[Check]) -> Table:
    """Show checks with their verdict."""
    table = new_table("check", "", "finding")
    for each in checks:
        # Text, not markup: a finding may quote an engine's log, brackets and all.
        table.add_row(each.name, Text(each.verdict, STYLES[each.verdict]), Text(ended_once(each.finding)))
    return table


def usd(amount: float | None, digits: int = 2) -> str:
    """An amount, or that it is not known."""
    return UNKNOWN if amount is None else f"{amount:.{digits}f}"


def print_checks(checks: Sequence[Check]) -> None:
    stdout().print(checks_table(checks))


def fail_where_one_does(checks: Iterable[Check]) -> None:
    """End the task with 1 where a check failed."""
    if any(each.verdict == "fail" for each in checks):
        raise Exit(code=1)


def new_table(*columns: str) -> Table:
    """Start a table without lines, for terminals and pipes alike."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
