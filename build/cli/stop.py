"""End everything that serves."""

from collections.abc import Sequence

from build.cli.tasking import one_after_another
from build.deploy.facts import Facts
from build.deploy.models_file import forget, kept, option
from build.deploy.state import read_state, what_runs
from build.errors import DeployError
from build.remote.executor import check
from build.remote.host import Host
from build.remote.lock import host_lock
from build.runtime import runner


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
