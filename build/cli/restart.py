"""Run again what a host has: one process of it, or an earlier release."""

from collections.abc import Sequence

from build.cli.tasking import one_after_another
from build.deploy.activate import restart_and_wait
from build.deploy.state import current, read_state
from build.deploy.switch import earlier_release, switch_to
from build.errors import DeployError
from build.remote.host import Host
from build.remote.lock import host_lock


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
