"""Tasks about a stack in the cloud: what it would cost, what stands in its way, what is there, and how to go on.

Exit codes as everywhere: 0 done or nothing to do, 1 a problem that the message explains, 130 interrupted.
"""

import sys
from datetime import UTC, datetime
from pathlib import Path

from invoke.exceptions import Exit

from build.check import Check
from build.cli import cloud_output, output
from build.cloud import snapshots
from build.cloud.adopt import adopt, plan_adoptions
from build.cloud.census import Census, removal_commands, take_census
from build.cloud.doctor import stack_checks
from build.cloud.gcloud import Gcloud
from build.cloud.idle import idle_statuses, instances_of
from build.cloud.pending import Place
from build.cloud.pulumi_cli import Pulumi
from build.cloud.recover import plan_recovery
from build.cloud.recover import recover as carry_out
from build.cloud.subject import Subject
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.target import project_directory
from deployment.errors import ConfigError, why
from deployment.refusals.diagnostics import explained
from deployment.stack.catalog import load_catalog
from deployment.stack.file import read_file
from deployment.stack.guardrails import check
from deployment.stack.name import StackName
from deployment.stack.pricing import NOT_COUNTED, Bill
from deployment.stack.settings import StackSettings
from deployment.stack.unknown import stack_bill, unknowns


def settings_of(stack: str) -> StackSettings:
    """What the stack's file says. Raises ConfigError with every mistake in it."""
    reading = read_file(stack, project_directory())
    if reading.settings is None or reading.problems:
        raise ConfigError(reading.problems)
    return reading.settings


def place_of(stack: str) -> Place:
    """Where a stack is. A mistake elsewhere in its file must not keep anybody from looking or from cleaning up."""
    document = read_file(stack, project_directory()).document
    config = document.data["config"]
    project, zone = (str(config.get(key) or "") for key in ("gcp:project", "gcp:zone"))
    if not project:
        raise ConfigError([f"{document.where(('config', 'gcp:project'))}: missing. Give a project's id."])
    return Place(project, str(config.get("gcp:region") or zone.rpartition("-")[0]), zone)


def billing_account_of(stack: str) -> str | None:
    """The account whose budgets a stack's is among."""
    budget = read_file(stack, project_directory()).document.data["config"].get("axion:budget")
    return str(budget.get("billingAccount") or "") or None if isinstance(budget, dict) else None


def bill_of(settings: StackSettings) -> Bill:
    """Price a stack by its file; machines of unknown shape are the guardrails' business."""
    return stack_bill(settings, load_catalog())


def known_stacks() -> list[str]:
    """Stacks that have a file here."""
    files = sorted(Path(project_directory()).glob("Pulumi.*.yaml"))
    return [path.name.removeprefix("Pulumi.").removesuffix(".yaml") for path in files]


def doctor_checks(given: str) -> list[Check]:
    """What would stop `pulumi up`; for `fab doctor --stack`."""
    directory, executor, stack = project_directory(), LocalExecutor(), StackName(given)
    settings, config = settings_of(stack), read_file(stack, directory).document.data["config"]
    subject = Subject(
        stack=stack.short, settings=settings, bill=bill_of(settings), catalog=load_catalog(), config=config
    )
    pulumi = Pulumi(executor=executor, directory=directory, stack=stack)
    found = stack_checks(subject, Gcloud(executor, settings.project), pulumi)
    try:
        notices = check(read_file(stack, directory), directory).notices
    except ConfigError as error:
        return [Check("configuration", "fail", line) for line in error.problems] + found
    words: list[Check] = [Check("configuration", "warn", notice) for notice in notices]
    return [
        Check("configuration", "pass", f"{stack.file} and its models fit"),
        *words,
        *found,
    ]


def cost(stack: str | None, *, json: bool) -> None:
    stacks = [StackName(name) for name in ([stack] if stack else known_stacks())]
    if not stacks:
        raise ConfigError([f"{project_directory()}: no Pulumi.<stack>.yaml. Write one, or name a stack."])
    settings = {each.short: settings_of(each) for each in stacks}
    bills = {name: bill_of(each) for name, each in settings.items()}
    if json:
        output.print_json({name: cloud_output.bill_data(each) for name, each in bills.items()})
        return
    console = output.stdout()
    for name, each in bills.items():
        console.print(name, style="bold", markup=False)
        console.print(cloud_output.bill_table(each))
        for unknown in unknowns(settings[name], load_catalog(), has_region=True):
            said = unknown.word() if settings[name].allow_unknown else unknown.refusal()
            console.print(said, markup=False, soft_wrap=True)
    console.print(f"Not counted: {NOT_COUNTED}.", style="dim", markup=False)


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
        output.print_json(cloud_output.census_data(found))
    else:
        _print_census(found, name, expect_empty=expect_empty)
    if expect_empty and not found.is_empty:
        raise Exit(code=1)


def _print_census(found: Census, stack: str, *, expect_empty: bool) -> None:
    console = output.stdout()
    if found.switched_off:
        console.print(
            f"Not looked for, their APIs are off: {', '.join(found.switched_off)}.", style="dim", markup=False
        )
    if found.is_empty:
        console.print(f"{stack}: nothing left in {found.project}.", style="green", markup=False)
        return
    console.print(cloud_output.census_table(found))
    for each in snapshots.copies(found):
        command = f"fab census --stack {stack} --remove-snapshots {each.disk}"
        console.print(f"{each.sentence()} Remove with `{command}`.", markup=False, soft_wrap=True)
    if expect_empty:
        console.print("Still there. Remove it with `pulumi destroy`, or, where Pulumi no longer knows it:")
    else:
        console.print("`pulumi destroy` removes what Pulumi knows. For what is left after it, in this order:")
    for command in removal_commands(found):
        console.print(f"    {command}", markup=False, soft_wrap=True)


def idle_policy(stack: str, *, json: bool) -> None:
    name = StackName(stack)
    settings = settings_of(name)
    instances = instances_of(Gcloud(LocalExecutor(), settings.project), name.short)
    statuses = list(idle_statuses(settings, instances, datetime.now(UTC)))
    if json:
        output.print_json(statuses)
        return
    output.stdout().print(cloud_output.idle_table(statuses))


def recover(stack: str, foreign_host: str | None, *, yes: bool) -> None:
    name, executor, reporter = StackName(stack), LocalExecutor(), Reporter()
    place, pulumi = place_of(name), Pulumi(executor=executor, directory=project_directory(), stack=name)
    gcloud = Gcloud(executor, place.project)
    recovery = plan_recovery(pulumi, gcloud, place, foreign_host)
    for sentence in recovery.sentences():
        print(sentence)
    if yes and not recovery.is_nothing:
        carry_out(recovery, pulumi, gcloud)
    # While operations are pending, what they created would be found a second time.
    looks = yes or recovery.is_nothing
    adoptions, unasked = plan_adoptions(pulumi, gcloud, place) if looks else ((), ())
    for adoption in adoptions:
        print(adoption.sentence())
    if yes and adoptions:
        adopt(adoptions, pulumi)
    if unasked:
        raise DeployError(*unasked)
    if recovery.is_nothing and not adoptions:
        reporter.say(f"{stack}: nothing to recover. `pulumi up` goes on.")
        return
    if not yes:
        reporter.say("Nothing was changed. Add --yes to do this.")
        return
    reporter.say(f"Recovered after {reporter.elapsed_s:.1f} s. Run `pulumi up --stack {stack}`.", style="bold green")


def explain(log: str | None) -> None:
    try:
        text = Path(log).read_text(encoding="utf-8", errors="replace") if log else sys.stdin.read()
    except OSError as error:
        raise ConfigError([f"--log: cannot read {log}: {why(error)}. Name the file with the output."]) from None
    lines = explained(text)
    if not lines:
        raise ConfigError(
            [
                f"{log or 'standard input'}: no failed resource, got {len(text)} characters. "
                "Give all that `pulumi` printed, to the end of its Diagnostics."
            ]
        )
    for line in lines:
        print(line)
