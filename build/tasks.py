"""The tasks of every day: what would change, deploy it, what is there, is it well. What they do is decided elsewhere.

Those that act on what is deployed are in build/host_tasks.py.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from fabric import task
from invoke.exceptions import Exit

from build import proxies, show
from build.activation import GATE_TIMEOUT_S, Host
from build.arguments import Engine, Location, Name, Stack, Timeout
from build.current import current_problem, look, what_runs
from build.deploy import nothing_to_do, run_build_and_deploy
from build.doctor import Check, host_checks
from build.engine.sources import choose_sources
from build.errors import DeployError
from build.executor import LocalExecutor
from build.facts import Facts
from build.hosts import Selection
from build.minimum import checks_of
from build.models_file import models_files
from build.pins import load_pins
from build.prepare import PINS, Prepared, prepare
from build.progress import Reporter
from build.target import local_target
from build.tasking import HostTask, from_each, help_for, on_hosts, one_after_another, problems_are_messages
from build.verify import verify as run_verify
from deployment.errors import ConfigError

MODELS_HELP = "models file (default: AXION_MODELS, else what the host is to serve, else models.yaml)"


def this_computer() -> Host:
    return Host(local_target(), LocalExecutor(), Reporter())


ENGINE_HELP = "compiled there, or from a ready wheel: compiled or wheel (default: host.engine, else compiled on Arm)"


@task(klass=HostTask, help=help_for(models=MODELS_HELP, engine=ENGINE_HELP, json="print JSON"))
@on_hosts
def plan(
    hosts: Sequence[Host], models: Location | None = None, engine: Engine | None = None, json: bool = False
) -> None:
    """Show what a deployment would change, and touch nothing."""
    files = models_files(models, hosts)
    answers = from_each(hosts, lambda host: prepare(files[host.target.name], host.target, host.executor, engine=engine))
    if json:
        answers.print_json({name: show.change_as_json(each) for name, each in answers.found.items()})
    else:
        answers.print(_print_plan)
        show.stdout().print(f"{hosts[0].reporter.elapsed_s:.1f} s", style="dim")
    answers.check()


def _print_plan(prepared: Prepared) -> None:
    console = show.stdout()
    console.print(show.sizes(prepared))
    for step in show.steps(prepared) or [nothing_to_do(prepared)]:
        console.print(step, markup=False)
    for line in (*show.stretched(prepared), *show.unchecked(prepared)):
        console.print(line, style="yellow", markup=False)


BUILD_HELP = {
    "engine": ENGINE_HELP,
    "timeout_s": "for each model to answer",
    "mirror": "directory of the host, or address, with wheels/, sdists/ and git/ (default: AXION_MIRROR)",
    "wheels": "directory of the host, or gs://, to take and leave compiled wheels (default: AXION_WHEELS)",
}


@task(klass=HostTask, help=help_for(models=MODELS_HELP, **BUILD_HELP))
@on_hosts
def build_and_deploy(
    hosts: Sequence[Host],
    models: Location | None = None,
    timeout_s: Timeout = GATE_TIMEOUT_S,
    engine: Engine | None = None,
    mirror: Location | None = None,
    wheels: Location | None = None,
) -> None:
    """Make the host serve the models file: build, render, switch, restart what changed, wait for answers."""
    sources, files = choose_sources(mirror, wheels), models_files(models, hosts)

    def deploy(host: Host) -> None:
        run_build_and_deploy(host, files[host.target.name], timeout_s, sources=sources, engine=engine)

    one_after_another(hosts, deploy)


@task(klass=HostTask, help=help_for(json="print JSON"))
@on_hosts
def status(hosts: Sequence[Host], json: bool = False) -> None:
    """Show every model: state, process, whether it runs the current release, requests."""
    answers = from_each(hosts, _look_for_status)
    if json:
        answers.print_json({name: _status_data(facts) for name, (facts, _) in answers.found.items()})
    else:
        answers.print(lambda answer: _print_status(answer[0]))
    answers.problems += [problem for _, problem in answers.found.values() if problem]
    answers.check()


def _look_for_status(host: Host) -> tuple[Facts, str | None]:
    """What there is to show, and what is wrong beside it: something may run although no release is current."""
    facts = look(host)
    problem = current_problem(host.target, facts)
    if problem and not what_runs(facts):
        raise DeployError(problem)
    return facts, problem


def _status_data(facts: Facts) -> dict[str, Any]:
    return {
        "release": facts.current,
        "confirmed": facts.confirmed,
        "models": show.status_rows(facts),
        "troubles": [each.model_dump() for each in facts.troubles],
    }


def _print_status(facts: Facts) -> None:
    console = show.stdout()
    if rows := show.status_rows(facts):
        console.print(show.status_table(rows))
    for line in show.troubles(facts):
        console.print(line, style="red", markup=False)
    if description := facts.release(facts.current):
        proven = "all models answered" if facts.confirmed == facts.current else "not yet proven"
        console.print(f"release {facts.current} ({proven}), http://{description['listen'][0]}/v1")


@task(klass=HostTask, help=help_for(json="print JSON"))
@on_hosts
def releases(hosts: Sequence[Host], json: bool = False) -> None:
    """List the releases on the host, oldest first."""
    answers = from_each(hosts, lambda host: _release_rows(look(host)))
    if json:
        answers.print_json(answers.found)
    else:
        answers.print(_print_releases)
    answers.check()


def _release_rows(facts: Facts) -> list[dict[str, Any]]:
    return [
        {"release": name, "current": name == facts.current, "confirmed": name == facts.confirmed}
        for name in facts.ordered
    ]


def _print_releases(rows: list[dict[str, Any]]) -> None:
    for row in rows:
        print(row["release"], *(word for word in ("current", "confirmed") if row[word]))


@task(klass=HostTask, help=help_for(json="print JSON"))
@on_hosts
def verify(hosts: Sequence[Host], json: bool = False) -> None:
    """Prove that files, environment and processes are what was deployed, and that every model answers."""
    answers = from_each(hosts, lambda host: list(run_verify(host, look(host), load_pins(PINS))))
    if json:
        answers.print_json(answers.found)
    else:
        answers.print(_print_checks)
    answers.check()
    _fail_if_any(each for checks in answers.found.values() for each in checks)


@task(
    klass=HostTask, help={**help_for(json="print JSON"), "stack": "look at this stack's cloud, `pulumi up` and hosts"}
)
@problems_are_messages
def doctor(
    _context: Any,
    stack: Stack | None = None,
    inventory: Location | None = None,
    host: Name | None = None,
    json: bool = False,
) -> None:
    """Look for what would stand in the way of a deployment, and say what to do about it."""
    selection = Selection(stack=stack, inventory=inventory, host=host)
    checks = [*_stack_checks(stack), *_host_rows(selection)]
    if json:
        show.print_json(checks)
    else:
        _print_checks(checks)
    _fail_if_any(checks)


def _stack_checks(stack: str | None) -> list[Check]:
    from build.cloud.tasks import doctor_checks  # noqa: PLC0415 - which imports this module

    return doctor_checks(stack) if stack else []


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
        facts = look(host)
        rows = [*checks_of(host.target.name, facts.system.said), *host_checks(facts, load_pins(PINS))]
    except (ConfigError, DeployError) as error:
        rows = [{"check": "connection", "verdict": "fail", "finding": "\n".join(error.problems)}]
    if host.target.is_here:
        return [*rows, *proxies.checks()]
    return [{**row, "check": f"{host.target.name}: {row['check']}"} for row in rows]


def _print_checks(checks: list[Check]) -> None:
    show.stdout().print(show.checks_table(checks))


def _fail_if_any(checks: Iterable[Check]) -> None:
    if any(each["verdict"] == "fail" for each in checks):
        raise Exit(code=1)
