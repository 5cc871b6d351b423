"""Prove that what runs is what was deployed."""

from collections.abc import Sequence

from build.cli.output import fail_where_one_does, print_checks
from build.cli.tasking import from_each
from build.deploy.state import read_state
from build.deploy.verify import verify as run_verify
from build.pins import PINS, load_pins
from build.remote.host import Host


def verify(hosts: Sequence[Host], *, json: bool) -> None:
    answers = from_each(hosts, lambda host: list(run_verify(host, read_state(host), load_pins(PINS))))
    if json:
        answers.print_json({name: [each.as_data() for each in found] for name, found in answers.found.items()})
    else:
        answers.print(print_checks)
    answers.check()
    fail_where_one_does(each for checks in answers.found.values() for each in checks)
