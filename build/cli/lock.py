"""Tasks about who changes a host, and who changed it when."""

import sys
from collections.abc import Sequence

from rich.text import Text

from agent.message import data_of
from agent.protocol import AuditLine
from build.cli import output
from build.cli.tasking import from_each
from build.remote.host import Host
from build.remote.lock import history as read_history
from build.remote.lock import unlock as end_holder


def unlock(hosts: Sequence[Host], *, yes: bool) -> None:
    for host in hosts:
        name, holder = host.target.name, end_holder(host, is_really=yes)
        if holder is None:
            print(f"{name}: not locked")
            continue
        who = f"{holder.who}, `{holder.what}`, since {holder.since}, last heard of {holder.silent_s} s ago"
        print(f"{name}: {'ended' if yes else 'held by'} {who}")
        if not yes:
            print("Add --yes to end it. A job that it began on the host goes on; the next deployment takes it up.")


def history(hosts: Sequence[Host], lines: int, *, json: bool) -> None:
    answers = from_each(hosts, read_history)
    if json:
        answers.print_json({name: data_of(log.lines[-lines:]) for name, log in answers.found.items()})
    else:
        answers.print(lambda log: _print_history(log.lines[-lines:]))
    for name, log in answers.found.items():
        if log.torn:
            what = f"{log.torn} lines of its audit log cannot be read, as a power cut leaves them, and are left out"
            print(f"{name}: {what}.", file=sys.stderr)
    answers.check()


def _print_history(lines: Sequence[AuditLine]) -> None:
    table = output.new_table("ended", "who", "what", "release", "outcome")
    for line in lines:
        # Text, not markup: an outcome may quote an engine's log, brackets and all.
        words = (line.at, line.who, line.what, line.release or "-", line.outcome)
        table.add_row(*(Text(word) for word in words))
    output.stdout().print(table)
