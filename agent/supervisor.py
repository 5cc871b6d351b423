"""Speak to supervisord over its Unix socket."""

import xmlrpc.client
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

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


def supervisor(root: Path) -> Any:
    """Return what takes supervisord's calls."""
    transport = UnixTransport(root / "run" / "supervisor.sock")
    return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor


def start(rpc: Any, name: str) -> None:
    """Start a process unless it runs; does not wait."""
    if rpc.getProcessInfo(name)["statename"] == "BACKOFF":  # between two tries: do not sit out its pause
        rpc.stopProcess(name)
    try:
        if not is_running(rpc, name):
            rpc.startProcess(name, False)
    except xmlrpc.client.Fault as fault:
        if "ALREADY_STARTED" not in fault.faultString:
            raise


def is_running(rpc: Any, name: str) -> bool:
    return rpc.getProcessInfo(name)["statename"] in ("STARTING", "RUNNING")
