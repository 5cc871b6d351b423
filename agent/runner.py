"""Tell supervisord what to do, over its Unix socket; print nothing. Exit status 1 with a sentence when it cannot.

start NAME      start it unless it runs, anew if it runs another release's engine; does not wait
terminate NAME  SIGTERM if it runs, after which supervisord starts it again; does not wait
stop NAME       end it and wait
reload NAME     SIGHUP if it runs; else start it
restart NAME    SIGTERM, and wait until supervisord has another process in its place
update          read the configuration again: stop what is gone from it, start what is new
shutdown        stop everything and wait until supervisord itself is gone
"""

import sys
import time
import xmlrpc.client
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from agent.protocol import RunnerOrder, RunningEngine
from agent.room import refuse_full
from agent.running import ReleaseUnits
from agent.supervisor import CALL_TIMEOUT_S, is_running, start, supervisor


def start_of_current(rpc: Any, root: Path, name: str) -> None:
    """Start a process, and an engine anew if it runs another release's.

    One that kept ending when the host was looked at may have been started again before the switch.
    """
    release = ReleaseUnits.of_file(root / "current" / "release.json")
    running = RunningEngine.of_file(root / "run" / f"{name}.json")
    if release and running and running.unit_digest != release.units.get(name) and is_running(rpc, name):
        rpc.signalProcess(name, "TERM")  # after which supervisord starts it again
    else:
        start(rpc, name)


def send_signal(rpc: Any, number: str, name: str) -> None:
    if is_running(rpc, name):
        rpc.signalProcess(name, number)
    else:
        start(rpc, name)


def stop(rpc: Any, name: str) -> None:
    try:
        rpc.stopProcess(name)
    except xmlrpc.client.Fault as fault:
        if "NOT_RUNNING" not in fault.faultString:
            raise


def restart(rpc: Any, name: str) -> None:
    """Have supervisord start a process again by itself, so that a deployment may die at any moment.

    It takes an end within startsecs for a failed start and gives up after some: then start it all the same.
    """
    before = rpc.getProcessInfo(name)["pid"]
    send_signal(rpc, "TERM", name)
    deadline = time.monotonic() + CALL_TIMEOUT_S
    while (process := rpc.getProcessInfo(name))["pid"] in (0, before):
        if process["statename"] in ("FATAL", "EXITED", "STOPPED"):
            start(rpc, name)
            return
        if time.monotonic() > deadline:
            sys.exit(f"{name}: not restarted within {CALL_TIMEOUT_S} s. Look at {name}.log.")
        time.sleep(0.1)


def update(rpc: Any) -> None:
    added, changed, removed = rpc.reloadConfig()[0]
    for name in [*removed, *changed]:
        rpc.stopProcessGroup(name)
        rpc.removeProcessGroup(name)
    for name in [*added, *changed]:
        rpc.addProcessGroup(name)


def shutdown(rpc: Any, root: Path) -> None:
    # The gateway first, so that it drains while its engines still serve; then the engines, all at once.
    if is_running(rpc, "gateway"):
        rpc.stopProcess("gateway")
    rpc.stopAllProcesses()
    rpc.shutdown()
    deadline = time.monotonic() + CALL_TIMEOUT_S
    while (root / "run" / "supervisord.pid").exists():
        if time.monotonic() > deadline:
            sys.exit(f"supervisord: not ended within {CALL_TIMEOUT_S} s. Look at {root}/logs/supervisord.log.")
        time.sleep(0.1)


def main() -> None:
    order = RunnerOrder.from_json(sys.argv[1])
    root = Path(order.root)
    rpc = supervisor(root)
    verbs: dict[str, Callable[..., None]] = {
        "start": partial(start_of_current, rpc, root),
        "terminate": partial(send_signal, rpc, "TERM"),
        "stop": partial(stop, rpc),
        "reload": partial(send_signal, rpc, "HUP"),
        "restart": partial(restart, rpc),
        "update": partial(update, rpc),
        "shutdown": partial(shutdown, rpc, root),
    }
    try:
        for step in order.steps:
            if step.do == "restart":
                refuse_full(root)
            verbs[step.do](*step.names)
    except (OSError, xmlrpc.client.Error) as error:
        sys.exit(f"supervisord: cannot be controlled: {error}. Look at {root}/logs/supervisord.log.")
