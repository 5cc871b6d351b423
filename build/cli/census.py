"""What a stack has in the cloud, and when its hosts stop themselves: the tasks, and how they are shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from invoke.exceptions import Exit
from rich.table import Table
from rich.text import Text

from build.cli.output import new_table, print_json, stdout, usd
from build.cli.stacks import billing_account_of, known_stacks, place_of, settings_of
from build.cloud import snapshots
from build.cloud.census import Census, removal_commands, take_census
from build.cloud.gcloud import Gcloud
from build.cloud.idle import IdleStatus, idle_statuses, instances_of
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from deployment.stack.catalog import load_catalog
from deployment.stack.name import StackName


def census(stack: str, remove_snapshots: str | None, *, expect_empty: bool, json: bool) -> None:
    name = StackName(stack)
    gcloud = Gcloud(LocalExecutor(), place_of(name).project)
    found = take_census(gcloud, name.short, load_catalog(), known_stacks(), billing_account_of(name))
    if remove_snapshots is not None:
        unwanted, reporter = snapshots.chosen(snapshots.copies(found), remove_snapshots), Reporter()
        for each in unwanted:
            reporter.say(f"Removing the snapshots of {each.sentence()}")
        found = snapshots.remove(unwanted, found, gcloud)
    if json:
        print_json(census_data(found))
    else:
        _print_census(found, name, expect_empty=expect_empty)
    if expect_empty and not found.is_empty:
        raise Exit(code=1)


def _print_census(found: Census, stack: str, *, expect_empty: bool) -> None:
    console = stdout()
    if found.switched_off:
        console.print(
            f"Not looked for, their APIs are off: {', '.join(found.switched_off)}.", style="dim", markup=False
        )
    if found.is_empty:
        console.print(f"{stack}: nothing left in {found.project}.", style="green", markup=False)
        return
    console.print(census_table(found))
    for each in snapshots.copies(found):
        command = f"fab census --stack {stack} --remove-snapshots {each.disk}"
        console.print(f"{each.sentence()} Remove with `{command}`.", markup=False, soft_wrap=True)
    if expect_empty:
        console.print("Still there. Remove it with `pulumi destroy`, or, where Pulumi no longer knows it:")
    else:
        console.print("`pulumi destroy` removes what Pulumi knows. For what is left after it, in this order:")
    for command in removal_commands(found):
        console.print(f"    {command}", markup=False, soft_wrap=True)


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


def idle_policy(stack: str, *, json: bool) -> None:
    name = StackName(stack)
    settings = settings_of(name)
    instances = instances_of(Gcloud(LocalExecutor(), settings.project), name.short)
    statuses = list(idle_statuses(settings, instances, datetime.now(UTC)))
    if json:
        print_json(statuses)
        return
    stdout().print(idle_table(statuses))


def idle_table(statuses: list[IdleStatus]) -> Table:
    """When each host stops."""
    table = new_table("host", "state", "idle stop", "ends by", "remark")
    for each in statuses:
        idle = f"{each.idle_stop_minutes} minutes" if each.idle_stop_minutes else "-"
        table.add_row(each.host, each.state, idle, each.ends_by or "-", Text(each.remark))
    return table
