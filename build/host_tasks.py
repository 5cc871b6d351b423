"""Tasks that act on what is deployed: logs, restart, rollback, stop. Each decides little and tells what it did."""

from collections.abc import Sequence

from fabric import task

from build import runner, show
from build.activation import Host, restart_and_gate
from build.arguments import Lines, Name
from build.current import current, current_problem, look, what_runs
from build.deploy import earlier_release, switch_to
from build.errors import DeployError
from build.executor import check
from build.facts import Facts
from build.lock import host_lock
from build.models_file import forget, kept, option
from build.tasking import HostTask, help_for, on_hosts, one_after_another

FOLLOW_LIMIT_S = 24 * 3600.0


@task(
    klass=HostTask,
    positional=["name"],
    help=help_for(lines="how many", follow="go on until interrupted", json="print JSON"),
)
@on_hosts
def logs(hosts: Sequence[Host], name: Name, lines: Lines = 100, follow: bool = False, json: bool = False) -> None:
    """Print the log of a model, of the gateway, or of the runner (supervisord)."""
    if len(hosts) > 1:
        names = ", ".join(host.target.name for host in hosts)
        raise DeployError(f"logs: of one host at a time, got {names}. Add --host NAME.")
    host = hosts[0]
    known = runner.log_names(host.target, _logged(host, look(host)))
    if name not in known:
        raise DeployError(f"logs: no log of that name, got {name}. Use one of: {', '.join(known)}.")
    timeout_s = FOLLOW_LIMIT_S if follow else runner.LOG_TIMEOUT_S
    command = runner.log_command(host.target, name, lines=lines, follow=follow, timeout_s=timeout_s)
    if json:
        show.print_json({"log": name, "lines": check(host.executor, command).stdout.splitlines()})
        return
    host.executor.run(command, print)


def _logged(host: Host, facts: Facts) -> list[str]:
    """Engines that have a log: those of the current release, and those that run without one."""
    units = facts.release(facts.current).get("units", {})
    known = {*units, *facts.engines, *(facts.runner or {})} - {"gateway", "gateway-handover"}
    if not known and (problem := current_problem(host.target, facts)):
        raise DeployError(problem)
    return sorted(known)


@task(klass=HostTask, positional=["name"], help=help_for())
@on_hosts
def restart(hosts: Sequence[Host], name: Name) -> None:
    """Restart one model (or the gateway) and wait until it answers; the others go on serving."""
    one_after_another(hosts, lambda host: _restart(host, name))


def _restart(host: Host, name: str) -> None:
    with host_lock(host, f"fab restart {name}"):
        facts, wanted = current(host)
        if name not in (*wanted.engines, "gateway"):
            raise DeployError(f"restart: not deployed, got {name}. Use one of: {', '.join(wanted.engines)}, gateway.")
        restart_and_gate(host, wanted, name, facts)
    host.reporter.say(f"{name} answers after {host.reporter.elapsed_s:.1f} s", style="bold green")


@task(klass=HostTask, help=help_for(release="its name (default: the release before the current one)"))
@on_hosts
def rollback(hosts: Sequence[Host], release: Name | None = None) -> None:
    """Return to the release before the current one, or to the one named, and wait until its models answer."""
    one_after_another(hosts, lambda host: _rollback(host, release))


def _rollback(host: Host, release: str | None) -> None:
    with host_lock(host, "fab rollback") as lock:
        chosen = release or earlier_release(look(host))
        if chosen is None:
            raise DeployError(f"rollback: no earlier release on {host.target.name}, got none. Run `fab releases`.")
        lock.note(release=chosen)
        switch_to(host, chosen)
    host.reporter.say(f"{chosen} serves again after {host.reporter.elapsed_s:.1f} s", style="bold green")


@task(klass=HostTask, help=help_for())
@on_hosts
def stop(hosts: Sequence[Host]) -> None:
    """End every engine, the gateway and the process runner; nothing of them is left."""
    one_after_another(hosts, _stop)


def _stop(host: Host) -> None:
    with host_lock(host, "fab stop") as lock:
        facts, named = look(host), option(kept(host.target))
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
        refuse_leftovers(host, look(host))
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
