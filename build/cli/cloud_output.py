"""How costs, a census and stop timers look on a terminal, and as data for programs."""

from typing import Any

from rich.table import Table
from rich.text import Text

from build.cli.output import new_table
from build.cloud.census import Census, removal_commands
from build.cloud.idle import IdleStatus
from deployment.stack.pricing import HOURS_PER_MONTH, NOT_COUNTED, Bill

UNKNOWN = "unknown"


def usd(amount: float | None, digits: int = 2) -> str:
    """An amount, or that it is not known."""
    return UNKNOWN if amount is None else f"{amount:.{digits}f}"


def bill_table(bill: Bill) -> Table:
    """What a stack costs, term by term."""
    table = new_table("what", "USD/hour", "USD/month", "while stopped")
    for term in bill.terms:
        kept = usd(term.monthly_usd) if term.while_stopped else "-"
        table.add_row(term.what, usd(term.hourly_usd, 4), usd(term.monthly_usd), kept)
    known = bill.known_hourly_usd
    word = "at least" if bill.unknown else "in all"
    table.add_row(word, usd(known, 4), usd(known * HOURS_PER_MONTH), usd(bill.stopped_monthly_usd), style="bold")
    return table


def bill_data(bill: Bill) -> dict[str, Any]:
    """The same for programs; null is an unknown price."""
    return {
        "hourly_usd": bill.hourly_usd,
        "monthly_usd": bill.monthly_usd,
        "stopped_monthly_usd": bill.stopped_monthly_usd,
        "unknown": list(bill.unknown),
        "not_counted": NOT_COUNTED,
        "terms": [
            {
                "what": term.what,
                "hourly_usd": term.hourly_usd,
                "monthly_usd": term.monthly_usd,
                "while_stopped": term.while_stopped,
            }
            for term in bill.terms
        ],
    }


def census_table(census: Census) -> Table:
    """Everything found, with what it costs."""
    table = new_table("kind", "name", "place", "USD/month", "remark")
    for each in census.found:
        cost = "free" if each.kind.is_free else usd(each.monthly_usd)
        table.add_row(each.kind.name, Text(each.name), each.place, cost, Text(each.remark))
    word = "at least" if census.unknown else "in all"
    table.add_row(word, f"{len(census.found)} things", "", usd(census.known_monthly_usd), style="bold")
    return table


def census_data(census: Census) -> dict[str, Any]:
    """The same for programs."""
    return {
        "stack": census.stack,
        "project": census.project,
        "found": [
            {
                "kind": each.kind.name,
                "name": each.name,
                "place": each.place,
                "monthly_usd": each.monthly_usd,
                "remark": each.remark,
            }
            for each in census.found
        ],
        "known_monthly_usd": census.known_monthly_usd,
        "unknown": list(census.unknown),
        "switched_off": list(census.switched_off),
        "remove": removal_commands(census),
    }


def idle_table(statuses: list[IdleStatus]) -> Table:
    """When each host stops."""
    table = new_table("host", "state", "idle stop", "ends by", "remark")
    for each in statuses:
        idle = f"{each.idle_stop_minutes} minutes" if each.idle_stop_minutes else "-"
        table.add_row(each.host, each.state, idle, each.ends_by or "-", Text(each.remark))
    return table
