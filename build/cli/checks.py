"""Is it well: the tasks that prove what runs, and look for what would stand in the way."""

from collections.abc import Iterable, Sequence
from dataclasses import replace

from invoke.exceptions import Exit

from build.check import Check
from build.cli import output
from build.cli.hosts import Selection
from build.cli.tasking import from_each
from build.deploy.doctor import host_checks
from build.deploy.prepare import PINS
from build.deploy.state import read_state
from build.deploy.verify import verify as run_verify
from build.errors import DeployError
from build.pins import load_pins
from build.remote import proxies
from build.remote.host import Host
from build.remote.minimum import checks_of
from deployment.errors import ConfigError


def verify(hosts: Sequence[Host], *, json: bool) -> None:
    answers = from_each(hosts, lambda host: list(run_verify(host, read_state(host), load_pins(PINS))))
    if json:
        answers.print_json({name: [each.as_data() for each in found] for name, found in answers.found.items()})
    else:
        answers.print(_print_checks)
    answers.check()
    _fail_if_any(each for checks in answers.found.values() for each in checks)


def doctor(stack: str | None, inventory: str | None, host: str | None, *, json: bool) -> None:
    selection = Selection(stack=stack, inventory=inventory, host=host)
    checks = [*_stack_checks(stack), *_host_rows(selection)]
    if json:
        output.print_json([each.as_data() for each in checks])
    else:
        _print_checks(checks)
    _fail_if_any(checks)


def _stack_checks(stack: str | None) -> list[Check]:
    if stack is None:
        return []
    from build.cli.cloud import doctor_checks

    return doctor_checks(stack)


def _host_rows(selection: Selection) -> list[Check]:
    """Judge each host there is; one that cannot be reached is a finding. A stack may have none yet."""
    try:
        with selection.hosts() as hosts:
            return [row for each in hosts for row in _rows_of(each)]
    except DeployError:
        if selection.stack is None:
            raise
        return []


def _rows_of(host: Host) -> list[Check]:
    try:
        facts = read_state(host)
        rows = [*checks_of(host.target.name, facts.system.said), *host_checks(facts, load_pins(PINS))]
    except (ConfigError, DeployError) as error:
        rows = [Check("connection", "fail", "\n".join(error.problems))]
    if host.target.is_here:
        return [*rows, *proxies.checks()]
    return [replace(row, name=f"{host.target.name}: {row.name}") for row in rows]


def _print_checks(checks: list[Check]) -> None:
    output.stdout().print(output.checks_table(checks))


def _fail_if_any(checks: Iterable[Check]) -> None:
    if any(each.verdict == "fail" for each in checks):
        raise Exit(code=1)
