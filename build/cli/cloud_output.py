"""How costs, a census and stop timers look on a terminal, and as data for programs."""

from collections.abc import Sequence
from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class PricedTerm:
    """One term of a bill, for programs."""

    what: str
    hourly_usd: float | None
    monthly_usd: float | None
    while_stopped: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedStack:
    """What `fab cost --json` prints of a stack; null is an unknown price."""

    hourly_usd: float | None
    monthly_usd: float | None
    stopped_monthly_usd: float | None
    unknown: Sequence[str]
    not_counted: str
    terms: Sequence[PricedTerm]


def bill_data(bill: Bill) -> PricedStack:
    """The same for programs."""
    return PricedStack(
        hourly_usd=bill.hourly_usd,
        monthly_usd=bill.monthly_usd,
        stopped_monthly_usd=bill.stopped_monthly_usd,
        unknown=list(bill.unknown),
        not_counted=NOT_COUNTED,
        terms=[PricedTerm(each.what, each.hourly_usd, each.monthly_usd, each.while_stopped) for each in bill.terms],
    )


def census_table(census: Census) -> Table:
    """Everything found, with what it costs."""
    table = new_table("kind", "name", "place", "USD/month", "remark")
    for each in census.found:
        cost = "free" if each.kind.is_free else usd(each.monthly_usd)
        table.add_row(each.kind.name, Text(each.name), each.place, cost, Text(each.remark))
    word = "at least" if census.unknown else "in all"
    table.add_row(word, f"{len(census.found)} things", "", usd(census.known_monthly_usd), style="bold")
    return table


@dataclass(frozen=True, slots=True)
class CountedThing:
    """One thing of a stack, for programs."""

    kind: str
    name: str
    place: str
    monthly_usd: float | None
    remark: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CountedStack:
    """What `fab census --json` prints."""

    stack: str
    project: str
    found: Sequence[CountedThing]
    known_monthly_usd: float
    unknown: Sequence[str]
    switched_off: Sequence[str]
    remove: Sequence[str]
    """Commands, in an order that works."""


def census_data(census: Census) -> CountedStack:
    """The same for programs."""
    return CountedStack(
        stack=census.stack,
        project=census.project,
        found=[
            CountedThing(each.kind.name, each.name, each.place, each.monthly_usd, each.remark) for each in census.found
        ],
        known_monthly_usd=census.known_monthly_usd,
        unknown=list(census.unknown),
        switched_off=list(census.switched_off),
        remove=removal_commands(census),
    )


def idle_table(statuses: list[IdleStatus]) -> Table:
    """When each host stops."""
    table = new_table("host", "state", "idle stop", "ends by", "remark")
    for each in statuses:
        idle = f"{each.idle_stop_minutes} minutes" if each.idle_stop_minutes else "-"
        table.add_row(each.host, each.state, idle, each.ends_by or "-", Text(each.remark))
    return table
