"""What a stack costs by its file and the catalog's prices: the task, and how it is shown."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.table import Table

from build.cli.output import new_table, print_json, stdout, usd
from build.cli.stacks import bill_of, known_stacks, settings_of
from build.remote.target import project_directory
from deployment.errors import ConfigError
from deployment.stack.catalog import load_catalog
from deployment.stack.name import StackName
from deployment.stack.pricing import HOURS_PER_MONTH, NOT_COUNTED, Bill
from deployment.stack.unknown import unknowns


def cost(stack: str | None, *, json: bool) -> None:
    stacks = [StackName(name) for name in ([stack] if stack else known_stacks())]
    if not stacks:
        raise ConfigError([f"{project_directory()}: no Pulumi.<stack>.yaml. Write one, or name a stack."])
    settings = {each.short: settings_of(each) for each in stacks}
    bills = {name: bill_of(each) for name, each in settings.items()}
    if json:
        print_json({name: bill_data(each) for name, each in bills.items()})
        return
    console = stdout()
    for name, each in bills.items():
        console.print(name, style="bold", markup=False)
        console.print(bill_table(each))
        for unknown in unknowns(settings[name], load_catalog(), has_region=True):
            said = unknown.word() if settings[name].allow_unknown else unknown.refusal()
            console.print(said, markup=False, soft_wrap=True)
    console.print(f"Not counted: {NOT_COUNTED}.", style="dim", markup=False)


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
