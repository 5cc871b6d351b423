"""What is there: the state of models, the releases, the logs."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table
from rich.text import Text

from agent.protocol import KeysState, TlsState, Trouble
from build.cli.output import STYLES, new_table, print_json, stdout
from build.cli.tasking import from_each
from build.deploy.facts import Facts
from build.deploy.gateway_checks import gateway_checks
from build.deploy.state import current_problem, read_state, what_runs
from build.errors import DeployError
from build.remote.executor import check
from build.remote.host import Host
from build.runtime import runner

# supervisord calls a process STARTING until it has lived for startsecs; whether it serves, the gateway knows.
PROCESS_WORDS = {"STARTING": "running", "FATAL": "given up", "BACKOFF": "restarting"}

FOLLOW_LIMIT_S = 24 * 3600.0


def status(hosts: Sequence[Host], *, json: bool) -> None:
    answers = from_each(hosts, _look_for_status)
    if json:
        answers.print_json({name: _status(facts) for name, (facts, _) in answers.found.items()})
    else:
        answers.print(lambda answer: _print_status(answer[0]))
    answers.problems += [problem for _, problem in answers.found.values() if problem]
    answers.check()


def _look_for_status(host: Host) -> tuple[Facts, str | None]:
    """What there is to show, and what is wrong beside it: something may run although no release is current."""
    facts = read_state(host)
    problem = current_problem(host.target, facts)
    if problem and not what_runs(facts):
        raise DeployError(problem)
    return facts, problem


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusRow:
    """One model, as `fab status` shows it."""

    model: str
    state: str
    process: str
    pid: int | None
    up_to_date: bool
    in_flight: int | None
    requests: int | None


def status_rows(facts: Facts) -> list[StatusRow]:
    """Say per model what the release wants, what the runner does and what the gateway sees."""
    release = facts.release(facts.current)
    engines = release.engines if release else {}
    on_demand = release.on_demand if release else ()
    seen = facts.gateway.models if facts.gateway else {}
    rows = []
    for name in sorted(engines.keys() | facts.engines.keys()):
        process, model = (facts.runner or {}).get(name), seen.get(name)
        rows.append(
            StatusRow(
                model=name,
                state=model.state if model else "unknown" if facts.gateway is None else "not served",
                process=PROCESS_WORDS.get(process.state, process.state.lower()) if process else "none",
                pid=process.pid if process and process.pid else None,
                up_to_date=facts.running.get(name, engines.get(name) if name in on_demand else None)
                == engines.get(name),
                in_flight=model.in_flight if model else None,
                requests=model.requests_total if model else None,
            )
        )
    return rows


def status_table(rows: Sequence[StatusRow]) -> Table:
    """Show the status of every model."""
    table = new_table("model", "state", "process", "pid", "up to date", "in flight", "requests")
    for row in rows:
        state = Text(row.state, STYLES.get(row.state, "red"))
        rest = [row.pid, "yes" if row.up_to_date else "no", row.in_flight, row.requests]
        table.add_row(row.model, state, row.process, *("-" if each is None else str(each) for each in rest))
    return table


def troubles(facts: Facts) -> list[str]:
    """Say what is wrong with what keeps processes running."""
    return [f"{each.unit}: {each.what}." for each in facts.troubles]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What `fab status --json` prints of a host."""

    release: str | None
    confirmed: str | None
    models: Sequence[StatusRow]
    troubles: Sequence[Trouble]
    certificate: TlsState | None
    """What clients on other machines are shown; None where no TLS is spoken, or no gateway answers."""
    keys: KeysState | None
    """None where clients need none, or no gateway answers."""
    unread: Mapping[str, str]
    """Releases that cannot be read, each with the reader's words."""


def _status(facts: Facts) -> Status:
    return Status(
        release=facts.current,
        confirmed=facts.confirmed,
        models=status_rows(facts),
        troubles=facts.troubles,
        certificate=facts.gateway.tls if facts.gateway else None,
        keys=facts.gateway.keys if facts.gateway else None,
        unread={name: each.why for name, each in facts.unread.items()},
    )


def _print_status(facts: Facts) -> None:
    console = stdout()
    if rows := status_rows(facts):
        console.print(status_table(rows))
    for line in troubles(facts):
        console.print(line, style="red", markup=False)
    for line in facts.unread_sentences:
        console.print(line, style="yellow", markup=False)
    for each in gateway_checks(facts, time.time()):
        console.print(f"{each.name} {each.finding}", style=STYLES[each.verdict], markup=False)
    if description := facts.release(facts.current):
        proven = "all models answered" if facts.confirmed == facts.current else "not yet proven"
        console.print(f"release {facts.current} ({proven}), http://{description.listen[0]}/v1")


def releases(hosts: Sequence[Host], *, json: bool) -> None:
    answers = from_each(hosts, lambda host: _release_rows(read_state(host)))
    if json:
        answers.print_json(answers.found)
    else:
        answers.print(_print_releases)
    answers.check()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseRow:
    """One release on a host."""

    release: str
    current: bool
    confirmed: bool


def _release_rows(facts: Facts) -> list[ReleaseRow]:
    return [
        ReleaseRow(release=name, current=name == facts.current, confirmed=name == facts.confirmed)
        for name in facts.ordered
    ]


def _print_releases(rows: Sequence[ReleaseRow]) -> None:
    for row in rows:
        marks = {"current": row.current, "confirmed": row.confirmed}
        print(row.release, *(word for word, is_so in marks.items() if is_so))


def logs(hosts: Sequence[Host], name: str, lines: int, *, follow: bool, json: bool) -> None:
    if len(hosts) > 1:
        names = ", ".join(host.target.name for host in hosts)
        raise DeployError(f"logs: of one host at a time, got {names}. Add --host NAME.")
    host = hosts[0]
    known = runner.log_names(host.target, _logged(host, read_state(host)))
    if name not in known:
        raise DeployError(f"logs: no log of that name, got {name}. Use one of: {', '.join(known)}.")
    timeout_s = FOLLOW_LIMIT_S if follow else runner.LOG_TIMEOUT_S
    command = runner.log_command(host.target, name, lines=lines, follow=follow, timeout_s=timeout_s)
    if json:
        print_json({"log": name, "lines": check(host.executor, command).stdout.splitlines()})
        return
    host.executor.run(command, print)


def _logged(host: Host, facts: Facts) -> list[str]:
    """Engines that have a log: those of the current release, and those that run without one."""
    release = facts.release(facts.current)
    engines = release.engines if release else ()
    known = {*engines, *facts.engines, *(facts.runner or {})} - {"gateway", "gateway-handover", "engine-starter"}
    if not known and (problem := current_problem(host.target, facts)):
        raise DeployError(problem)
    return sorted(known)
