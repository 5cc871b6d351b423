"""What keeps processes running here, how they are, and which addresses are theirs. Reads only.

Asked of the runner itself: what serves is not always what the files of the host say.
"""

import subprocess
import xmlrpc.client
from collections.abc import Mapping
from http.client import HTTPException
from pathlib import Path
from typing import Any
from xml.parsers.expat import ExpatError

from agent.listeners import addresses_of
from agent.protocol import GatewayFile, Process, RunnerKind
from agent.unix_http import UnixConnection

SYSTEMD_WORDS = {"active": "RUNNING", "failed": "FATAL", "inactive": "STOPPED", "deactivating": "STOPPING"}
"""In supervisord's language, which the rest of the toolkit speaks."""
UNITS = ("axion.target", "gateway.socket", "gateway.service", "gateway-handover.service", "vllm@*.service")


def runner_state(root: Path, runner: RunnerKind) -> Mapping[str, Process] | None:
    """Every process that the runner knows by its name; None when nothing of ours runs."""
    return systemd_state() if runner == "systemd" else supervisord_state(root)


def show(names: tuple[str, ...], properties: str, *, lines: bool = False) -> list[dict[str, str]]:
    """What systemd says of units; nothing where it cannot be asked. `lines` are of a property that has several."""
    command = ("systemctl", "show", f"--property={properties}", *names)
    try:
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=20).stdout
    except (OSError, subprocess.SubprocessError):
        return []
    blocks = [block for block in said.split("\n" if lines else "\n\n") if block.strip()]
    return [dict(line.split("=", 1) for line in block.splitlines() if "=" in line) for block in blocks]


def systemd_state() -> Mapping[str, Process] | None:
    units = show(UNITS, "Id,ActiveState,SubState,MainPID,InvocationID")
    states = {unit["Id"]: SYSTEMD_WORDS.get(unit["ActiveState"], "STARTING") for unit in units}
    if set(states.values()) <= {"STOPPED"}:
        return None
    found: dict[str, Process] = {}
    for unit in units:
        name, kind = unit["Id"].removeprefix("vllm@").rpartition(".")[::2]
        if kind == "service" and (name != "gateway-handover" or states[unit["Id"]] != "STOPPED"):
            state = "BACKOFF" if unit["SubState"] == "auto-restart" else states[unit["Id"]]
            # The socket alone keeps the addresses: a connection starts the service.
            if name == "gateway" and state != "RUNNING" and states.get("gateway.socket") == "RUNNING":
                state = "STARTING"
            found[name] = Process(state=state, pid=int(unit["MainPID"]), start=unit["InvocationID"])
    return found


def supervisord_state(root: Path) -> Mapping[str, Process] | None:
    """What supervisord says of each process; None when it does not answer."""
    connection = UnixConnection(root / "run" / "supervisor.sock", 5)
    try:
        question = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo")
        connection.request("POST", "/RPC2", question, {"Content-Type": "text/xml"})
        told: Any = xmlrpc.client.loads(connection.getresponse().read())[0][0]
    except (OSError, ValueError, HTTPException, xmlrpc.client.Error, ExpatError):
        return None
    finally:
        connection.close()
    return {
        one["name"]: Process(
            state=one["statename"], pid=one["pid"], start=str(one["start"] or ""), refusal=one["spawnerr"]
        )
        for one in told
    } or None


def served_addresses(processes: Mapping[str, Process] | None, runner: RunnerKind) -> tuple[str, ...]:
    """Addresses at which a gateway of ours listens now, whatever release it is of."""
    if runner == "systemd":
        is_open = any(unit.get("ActiveState") == "active" for unit in show(("gateway.socket",), "ActiveState"))
        return socket_addresses() if is_open else ()
    gateway = (processes or {}).get("gateway")
    return addresses_of(gateway.pid) if gateway and gateway.pid else ()


def socket_addresses() -> tuple[str, ...]:
    """Every address that gateway.socket is for, such as 127.0.0.1:8080, open or not."""
    shown = show(("gateway.socket",), "Listen", lines=True)
    return tuple(unit["Listen"].rpartition(" (")[0] for unit in shown if unit.get("Listen"))


def configured(root: Path) -> tuple[str, ...]:
    """The addresses that the current release wants."""
    config = GatewayFile.of_file(root / "current" / "gateway.json")
    return config.addresses if config else ()
