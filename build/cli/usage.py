"""What each key used of each model, as the hosts' gateways wrote it down."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.text import Text

from agent.usage import UsageOrder, UsageReport, UsageRow, merged
from build.cli import output
from build.cli.tasking import from_each
from build.remote.executor import ask
from build.remote.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What `fab usage --json` prints of a host."""

    since: str | None
    until: str | None
    total: Sequence[UsageRow]
    days: Mapping[str, Sequence[UsageRow]]


def usage(hosts: Sequence[Host], *, json: bool) -> None:
    answers = from_each(hosts, _read)
    if json:
        answers.print_json({name: summary(report) for name, report in answers.found.items()})
    else:
        answers.print(_print)
    for report in answers.found.values():
        for problem in report.unread:
            print(f"{problem}. It is left out.", file=sys.stderr)
    answers.check()


def _read(host: Host) -> UsageReport:
    command = host.target.agent.command("usage", UsageOrder(host.target.root).to_json(), what="read what keys used")
    return ask(host.executor, command, UsageReport)


def summary(report: UsageReport) -> Usage:
    """Add the days up."""
    days = {each.day: each.rows for each in report.days}
    return Usage(
        since=min(days, default=None),
        until=max(days, default=None),
        total=merged(row for rows in days.values() for row in rows),
        days=days,
    )


def _print(report: UsageReport) -> None:
    found, console = summary(report), output.stdout()
    if found.since is None:
        console.print("No usage is kept here. It begins with the first request that comes with a key.")
        return
    table = output.new_table("key", "model", "requests", "errors", "prompt tokens", "completion tokens", "estimated")
    for row in found.total:
        figures = (row.requests, row.errors, row.prompt_tokens, row.completion_tokens, row.estimated)
        # Text, not markup: an operator chose the names.
        table.add_row(Text(row.key), Text(row.model), *(str(each) for each in figures))
    console.print(table)
    console.print(f"{found.since} to {found.until} (UTC)", style="dim")
