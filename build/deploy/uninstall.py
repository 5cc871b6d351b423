"""Remove everything of ours from a host: what of it there is, in words first, then step by step under the lock."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from agent.protocol import Remains, UninstallOrder
from build.deploy.state import read_state
from build.remote.command import Command
from build.remote.executor import ask, check
from build.remote.host import Host
from build.remote.lock import host_lock
from build.remote.target import USER, Target
from build.runtime import runner
from build.runtime.systemd import STOP_TIMEOUT_S

Step = Literal["look", "remove", "leave"]


def find(host: Host, *, keeps_models: bool) -> Remains:
    """Look; touches nothing. Raises DeployError where the data disk is away."""
    facts = read_state(host)
    found = _tell(host, "look", keeps_models=keeps_models)
    serving = [*facts.engines, *(["the gateway"] if facts.served_addresses else [])]
    ended = (f"what serves now: {', '.join(serving)}",) if serving else ()
    return replace(found, goes=(*ended, *found.goes))


def uninstall(host: Host, *, keeps_models: bool) -> Remains:
    """Remove it. Idempotent: after an interruption the same call does the rest. Returns what stays."""
    with host_lock(host, "fab uninstall") as lock:
        lock.note(is_change=False)  # the audit log is among what goes
        if host.target.runner == "supervisor" and read_state(host).runner is not None:
            with host.reporter.phase("Stop engines and gateway"):
                check(host.executor, runner.stop_command(host.target))
        with host.reporter.phase("Remove what is ours"):
            _tell(host, "remove", keeps_models=keeps_models)
    return _tell(host, "leave", keeps_models=keeps_models)


def command(target: Target, step: Step, *, keeps_models: bool) -> Command:
    """One step of agent/uninstall.py."""
    order = UninstallOrder(step, target.root, target.user or USER, target.runner == "systemd", keeps_models)
    what = {"look": "look for what is ours", "remove": "remove what is ours", "leave": "remove the lock"}[step]
    return target.agent.command("uninstall", order.to_json(), what=what, timeout_s=3 * STOP_TIMEOUT_S)


def sentences(host: Host, found: Remains) -> Sequence[str]:
    """What a person reads before anything is removed."""
    stays = ["This stays:", *(f"  {line}" for line in found.stays)] if found.stays else []
    return [f"{host.target.name}: this goes:", *(f"  {line}" for line in found.goes), *stays]


def _tell(host: Host, step: Step, *, keeps_models: bool) -> Remains:
    return ask(host.executor, command(host.target, step, keeps_models=keeps_models), Remains)
