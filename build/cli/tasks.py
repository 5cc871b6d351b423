"""The tasks of every day: what would change, deploy it, what is there; logs, restart, rollback, stop.

Whether all is well: build/cli/checks.py.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from agent.protocol import TlsState, Trouble
from build.cli import output
from build.cli.tasking import (
    from_each,
    one_after_another,
)
from build.deploy.activate import restart_and_wait
from build.deploy.certificate import certificate_checks
from build.deploy.deploy import earlier_release, nothing_to_do, run_build_and_deploy, switch_to
from build.deploy.facts import Facts
from build.deploy.models_file import forget, kept, models_files, option
from build.deploy.prepare import Prepared, prepare
from build.deploy.state import current, current_problem, read_state, what_runs
from build.engine.sources import choose_sources
from build.errors import DeployError
from build.remote.executor import check
from build.remote.host import Host
from build.remote.lock import host_lock
from build.runtime import runner


def plan(hosts: Sequence[Host], models: str | None, engine: str | None, *, json: bool) -> None:
    files = models_files(models, hosts)
    answers = from_each(hosts, lambda host: prepare(files[host.target.name], host.target, host.executor, engine=engine))
    if json:
        answers.print_json({name: output.planned_change(each) for name, each in answers.found.items()})
    else:
        answers.print(_print_plan)
        output.stdout().print(f"{hosts[0].reporter.elapsed_s:.1f} s", style="dim")
    answers.check()


def _print_plan(prepared: Prepared) -> None:
    console = output.stdout()
    console.print(output.sizes(prepared))
    for step in output.steps(prepared) or [nothing_to_do(prepared)]:
        console.print(step, markup=False)
    for line in (*output.on_demand(prepared), *output.kernels(prepared)):
        console.print(line, markup=False)
    for line in (*output.stretched(prepared), *output.unchecked(prepared), *prepared.facts.unread_sentences):
        console.print(line, style="yellow", markup=False)


FOLLOW_LIMIT_S = 24 * 3600.0


def build_and_deploy(
    hosts: Sequence[Host],
    models: str | None,
    engine: str | None,
    *,
    timeout_s: float,
    mirror: str | None,
    wheels: str | None,
) -> None:
    sources, files = choose_sources(mirror, wheels), models_files(models, hosts)

    def deploy(host: Host) -> None:
        run_build_and_deploy(host, files[host.target.name], timeout_s, sources=sources, engine=engine)

    one_after_another(hosts, deploy)


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
class Status:
    """What `fab status --json` prints of a host."""

    release: str | None
    confirmed: str | None
    models: Sequence[output.StatusRow]
    troubles: Sequence[Trouble]
    certificate: TlsState | None
    """What clients on other machines are shown; None where no TLS is spoken, or no gateway answers."""
    unread: Mapping[str, str]
    """Releases that cannot be read, each with the reader's words."""


def _status(facts: Facts) -> Status:
    return Status(
        release=facts.current,
        confirmed=facts.confirmed,
        models=output.status_rows(facts),
        troubles=facts.troubles,
        certificate=facts.gateway.tls if facts.gateway else None,
        unread={name: each.why for name, each in facts.unread.items()},
    )


def _print_status(facts: Facts) -> None:
    console = output.stdout()
    if rows := output.status_rows(facts):
        console.print(output.status_table(rows))
    for line in output.troubles(facts):
        console.print(line, style="red", markup=False)
    for line in facts.unread_sentences:
        console.print(line, style="yellow", markup=False)
    for each in certificate_checks(facts, time.time()):
        console.print(f"{each.name} {each.finding}", style=output.STYLES[each.verdict], markup=False)
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
        output.print_json({"log": name, "lines": check(host.executor, command).stdout.splitlines()})
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


def restart(hosts: Sequence[Host], name: str) -> None:
    one_after_another(hosts, lambda host: _restart(host, name))


def _restart(host: Host, name: str) -> None:
    with host_lock(host, f"fab restart {name}"):
        facts, desired = current(host)
        if name not in (*desired.engines, "gateway"):
            raise DeployError(f"restart: not deployed, got {name}. Use one of: {', '.join(desired.engines)}, gateway.")
        restart_and_wait(host, desired, name, facts)
    host.reporter.say(f"{name} answers after {host.reporter.elapsed_s:.1f} s", style="bold green")


def rollback(hosts: Sequence[Host], release: str | None) -> None:
    one_after_another(hosts, lambda host: _rollback(host, release))


def _rollback(host: Host, release: str | None) -> None:
    with host_lock(host, "fab rollback") as lock:
        chosen = release or earlier_release(read_state(host))
        if chosen is None:
            raise DeployError(f"rollback: no earlier release on {host.target.name}. Run `fab releases`.")
        lock.note(release=chosen)
        switch_to(host, chosen)
    host.reporter.say(f"{chosen} serves again after {host.reporter.elapsed_s:.1f} s", style="bold green")


def stop(hosts: Sequence[Host]) -> None:
    one_after_another(hosts, _stop)


def _stop(host: Host) -> None:
    with host_lock(host, "fab stop") as lock:
        facts, named = read_state(host), option(kept(host.target))
        forget(host.target)
        if facts.runner is None and not what_runs(facts):
            lock.note(is_change=False)
            host.reporter.say("Nothing runs.")
            return
        if facts.runner is not None:
            with host.reporter.phase("Stop engines and gateway"):
                check(host.executor, runner.stop_command(host.target))
        for command in runner.sweep_commands(host.target):
            check(host.executor, command)
        refuse_leftovers(host, read_state(host))
    host.reporter.say(f"Stopped after {host.reporter.elapsed_s:.1f} s. `fab build-and-deploy{named}` starts it again.")


def refuse_leftovers(host: Host, facts: Facts) -> None:
    """Look at the end itself. Raises DeployError where something of ours still runs."""
    if left := what_runs(facts):
        pids = {name: engine.pid for name, engine in facts.engines.items()}
        pids |= {name: process.pid for name, process in (facts.runner or {}).items() if process.pid}
        named = ", ".join(f"{name} (pid {pids[name]})" if name in pids else name for name in left)
        raise DeployError(
            f"{host.target.name}: not stopped, got {named} still running. Run `fab stop` again, or end that by hand."
        )
