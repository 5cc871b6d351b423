"""Look for everything that would stand in the way of a deployment."""

from dataclasses import replace

from build.check import Check
from build.cli.hosts import Selection
from build.cli.output import fail_where_one_does, print_checks, print_json
from build.deploy.doctor import host_checks
from build.deploy.state import read_state
from build.errors import DeployError
from build.pins import PINS, load_pins
from build.remote import proxies
from build.remote.host import Host
from build.remote.minimum import checks_of
from deployment.errors import ConfigError


def doctor(stack: str | None, inventory: str | None, host: str | None, *, json: bool) -> None:
    selection = Selection(stack=stack, inventory=inventory, host=host)
    checks = [*_stack_checks(stack), *_host_rows(selection)]
    if json:
        print_json([each.as_data() for each in checks])
    else:
        print_checks(checks)
    fail_where_one_does(checks)


def _stack_checks(stack: str | None) -> list[Check]:
    if stack is None:
        return []
    from build.cli.stack_checks import doctor_checks

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
