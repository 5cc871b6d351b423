"""Tell supervisord what to do, over its Unix socket; print nothing. Exit status 1 with a sentence when it cannot.

Input: {"root": str, "do": [[verb, argument, ...], ...]} with the verbs
  ["start", name]            start it unless it runs; does not wait
  ["signal", name, "TERM"]   signal it if it runs, start it otherwise
  ["restart", name]          SIGTERM, and wait until supervisord has another process in its place
  ["update"]                 read the configuration again: stop what is gone from it, start what is new
  ["shutdown", timeout_s]    stop everything and wait until supervisord itself is gone
"""

import json
import sys
import time
import xmlrpc.client
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from agent.room import refuse_full
from agent.unix_http import UnixConnection

CALL_TIMEOUT_S = 700
"""A stop waits for requests in flight, as long as the configuration allows."""


class UnixTransport(xmlrpc.client.Transport):
    """XML-RPC over a Unix socket."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def make_connection(self, host: Any) -> HTTPConnection:
        return UnixConnection(self.path, CALL_TIMEOUT_S)


def is_running(rpc: Any, name: str) -> bool:
    return rpc.getProcessInfo(name)["statename"] in ("STARTING", "RUNNING")


def start(rpc: Any, name: str) -> None:
    if rpc.getProcessInfo(name)["statename"] == "BACKOFF":  # between two tries: do not sit out its pause
        rpc.stopProcess(name)
    try:
        if not is_running(rpc, name):
            rpc.startProcess(name, False)
    except xmlrpc.client.Fault as fault:
        if "ALREADY_STARTED" not in fault.faultString:
            raise


def send_signal(rpc: Any, name: str, number: str) -> None:
    if is_running(rpc, name):
        rpc.signalProcess(name, number)
    else:
        start(rpc, name)


def restart(rpc: Any, name: str) -> None:
    """Have supervisord start a process again by itself, so that a deployment may die at any moment.

    It takes an end within startsecs for a failed start and gives up after some: then start it all the same.
    """
    before = rpc.getProcessInfo(name)["pid"]
    send_signal(rpc, name, "TERM")
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


def shutdown(rpc: Any, root: Path, timeout_s: float) -> None:
    # The gateway first, so that it drains while its engines still serve; then the engines, all at once.
    if is_running(rpc, "gateway"):
        rpc.stopProcess("gateway")
    rpc.stopAllProcesses()
    rpc.shutdown()
    deadline = time.monotonic() + timeout_s
    while (root / "run" / "supervisord.pid").exists():
        if time.monotonic() > deadline:
            sys.exit(f"supervisord: not ended within {timeout_s:g} s. Look at {root}/logs/supervisord.log.")
        time.sleep(0.1)


def main() -> None:
    wanted = json.loads(sys.argv[1])
    root = Path(wanted["root"])
    transport = UnixTransport(root / "run" / "supervisor.sock")
    rpc = xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor
    verbs: dict[str, Any] = {
        "start": lambda name: start(rpc, name),
        "signal": lambda name, number: send_signal(rpc, name, number),
        "restart": lambda name: restart(rpc, name),
        "update": lambda: update(rpc),
        "shutdown": lambda timeout_s: shutdown(rpc, root, timeout_s),
    }
    try:
        for verb, *arguments in wanted["do"]:
            if verb == "restart":
                refuse_full(root)
            verbs[verb](*arguments)
    except (OSError, xmlrpc.client.Error) as error:
        sys.exit(f"supervisord: does not do as told, got {error}. Look at {root}/logs/supervisord.log.")
