"""What keeps processes running here, how they are, and which addresses are theirs. Reads only.

Asked of the runner itself: what serves is not always what the files of the host say.
"""

import json
import subprocess
import xmlrpc.client
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from agent.listeners import addresses_of
from agent.unix_http import UnixConnection

SYSTEMD_WORDS = {"active": "RUNNING", "failed": "FATAL", "inactive": "STOPPED", "deactivating": "STOPPING"}
"""In supervisord's language, which the rest of the toolkit speaks."""
UNITS = ("axion.target", "gateway.socket", "gateway.service", "gateway-handover.service", "vllm@*.service")


def runner_state(root: Path, runner: str) -> Any:
    """Every process that the runner knows by its name; null when nothing of ours runs."""
    return systemd_state() if runner == "systemd" else supervisord_state(root)


def show(names: "tuple[str, ...]", properties: str, *, lines: bool = False) -> "list[dict[str, str]]":
    """What systemd says of units; nothing where it cannot be asked. `lines` are of a property that has several."""
    command = ("systemctl", "show", f"--property={properties}", *names)
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    blocks = [block for block in said.split("\n" if lines else "\n\n") if block.strip()]
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def systemd_state() -> Any:
    units = show(UNITS, "Id,ActiveState,SubState,MainPID")
    states = {unit["Id"]: SYSTEMD_WORDS.get(unit["ActiveState"], "STARTING") for unit in units}
    if set(states.values()) <= {"STOPPED"}:
        return None
    found: dict[str, Any] = {}
    for unit in units:
        name, kind = unit["Id"].removeprefix("vllm@").rpartition(".")[::2]
        if kind == "service" and (name != "gateway-handover" or states[unit["Id"]] != "STOPPED"):
            state = "BACKOFF" if unit["SubState"] == "auto-restart" else states[unit["Id"]]
            found[name] = {"state": state, "pid": int(unit["MainPID"])}
    # The socket alone keeps the addresses: a connection starts the service.
    if states.get("gateway.socket") == "RUNNING" and found["gateway"]["state"] != "RUNNING":
        found["gateway"]["state"] = "STARTING"
    return found


def supervisord_state(root: Path) -> Any:
    """What supervisord says of its processes; null when it does not answer."""
    processes = supervisord_processes(root)
    return {one["name"]: {"state": one["statename"], "pid": one["pid"]} for one in processes} or None


def supervisord_processes(root: Path) -> "list[dict[str, Any]]":
    """All that supervisord says of each process; nothing when it does not answer."""
    connection = UnixConnection(root / "run" / "supervisor.sock", 5)
    try:
        question = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo")
        connection.request("POST", "/RPC2", question, {"Content-Type": "text/xml"})
        told: Any = xmlrpc.client.loads(connection.getresponse().read())[0][0]
        return [dict(one) for one in told]
    except (OSError, ValueError, HTTPException, xmlrpc.client.Error, ExpatError):
        return []
    finally:
        connection.close()


def served_addresses(processes: Any, runner: str) -> "list[str]":
    """Addresses at which a gateway of ours listens now, whatever release it is of."""
    if runner == "systemd":
        is_open = any(unit.get("ActiveState") == "active" for unit in show(("gateway.socket",), "ActiveState"))
        return socket_addresses() if is_open else []
    pid = (processes or {}).get("gateway", {}).get("pid")
    return addresses_of(pid) if pid else []


def socket_addresses() -> "list[str]":
    """Every address that gateway.socket is for, such as 127.0.0.1:8080, open or not."""
    shown = show(("gateway.socket",), "Listen", lines=True)
    return [unit["Listen"].rpartition(" (")[0] for unit in shown if unit.get("Listen")]


def configured(root: Path) -> "list[str]":
    """The addresses that the current release wants."""
    try:
        config = json.loads((root / "current" / "gateway.json").read_text())
        return [f"{one['host']}:{one['port']}" for one in config["listen"]]
    except (OSError, ValueError, LookupError, TypeError):
        return []
