"""Start and stop the engines of models on demand for the gateway, which may start nothing: python -m agent.starter.

One line of JSON over a Unix socket that only the gateway's account can open, one line back. It starts and stops what
the current release lists as on demand, and nothing else; and it starts nothing for which the release has no memory,
whatever the gateway thinks: while one gateway replaces another, two of them think.

Under systemd it is root and the socket is systemd's (engine-starter.socket). Under supervisord it is the account of
whoever deployed, as all else there.
"""

import argparse
import os
import signal
import socket
import subprocess
import sys
import xmlrpc.client
from collections.abc import Iterable, Sequence
from contextlib import closing, suppress
from pathlib import Path
from typing import Protocol

from agent.message import MessageError
from agent.running import OnDemandFile, StarterAnswer, StarterOrder
from agent.supervisor import start, supervisor

INHERITED_FD = 3
"""SD_LISTEN_FDS_START of sd_listen_fds(3)."""
LINE_BYTES = 4096
CLIENT_S = 5.0
"""For an order that has begun to arrive, and for its answer to be read."""
SYSTEMCTL_S = 20
GONE = ("STOPPED", "EXITED", "FATAL")
"""In supervisord's words: without a process, and so without memory."""
WORDS = {"active": "RUNNING", "activating": "STARTING", "deactivating": "STOPPING", "failed": "FATAL"}
AHEAD = {"inactive": "STARTING", "failed": "STARTING", "active": "STOPPING"}
"""What a unit is about to be that waits for a job."""


class Runner(Protocol):
    """What keeps the engines running. Nothing here waits for an engine."""

    def start(self, name: str) -> None: ...
    def stop(self, name: str) -> None: ...
    def look(self, names: Iterable[str]) -> dict[str, str]: ...


class Systemd:
    """Engines as units of systemd."""

    def start(self, name: str) -> None:
        systemctl("reset-failed", unit_of(name), is_needed=False)  # starts on demand are no crashes, and do not count
        systemctl("start", "--no-block", unit_of(name))

    def stop(self, name: str) -> None:
        systemctl("stop", "--no-block", unit_of(name))

    def look(self, names: Iterable[str]) -> dict[str, str]:
        """Say how each unit is; one that waits for a job is on its way already."""
        units = [unit_of(name) for name in names]
        shown = systemctl("show", "--property=Id,ActiveState,SubState,Job", *units) if units else ""
        found = {}
        for block in shown.split("\n\n"):
            unit = dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
            if "Id" in unit:
                found[unit["Id"].removeprefix("vllm@").removesuffix(".service")] = word_of(unit)
        return found


class Supervisord:
    """Engines as programs of supervisord."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def start(self, name: str) -> None:
        start(supervisor(self.root), name)

    def stop(self, name: str) -> None:
        try:
            supervisor(self.root).stopProcess(name, False)
        except xmlrpc.client.Fault as fault:
            if "NOT_RUNNING" not in fault.faultString:
                raise

    def look(self, names: Iterable[str]) -> dict[str, str]:
        wanted = set(names)
        return {
            one["name"]: one["statename"] for one in supervisor(self.root).getAllProcessInfo() if one["name"] in wanted
        }


def systemctl(*words: str, is_needed: bool = True) -> str:
    done = subprocess.run(("systemctl", *words), capture_output=True, text=True, check=False, timeout=SYSTEMCTL_S)
    if is_needed and done.returncode:
        raise OSError(f"systemctl {words[0]}: {' '.join(done.stderr.split()) or f'exit status {done.returncode}'}")
    return done.stdout


def unit_of(name: str) -> str:
    return f"vllm@{name}.service"


def word_of(unit: dict[str, str]) -> str:
    state, has_job = unit["ActiveState"], unit.get("Job", "0") not in ("", "0")
    if unit["SubState"] == "auto-restart":
        return "STOPPING" if has_job else "BACKOFF"
    return AHEAD[state] if has_job and state in AHEAD else WORDS.get(state, "STOPPED")


def answer(order: StarterOrder, current: Path, runner: Runner) -> StarterAnswer:
    """Carry out one order, if the release allows it, and say how the engines are."""
    allowed = OnDemandFile.from_json((current / "gateway.json").read_bytes())
    refusal = None
    if order.do != "look":
        refusal = why_not(order, allowed, runner)
        if refusal is None:
            (runner.start if order.do == "start" else runner.stop)(order.name)
    return StarterAnswer(runner.look(allowed.sizes), refusal)


def why_not(order: StarterOrder, allowed: OnDemandFile, runner: Runner) -> "str | None":
    """Say why an order is not carried out: no model on demand of the release, or no memory for it."""
    if order.name not in allowed.sizes or allowed.memory is None:
        return "no model of the release is on demand under this name"
    if order.do == "stop":
        return None
    states = runner.look(allowed.sizes)
    held = {name for name, state in states.items() if state not in GONE} | {order.name}
    needed, budget = sum(allowed.sizes[name] for name in held), allowed.memory.budget_bytes
    return None if needed <= budget else f"{needed} bytes would be taken of {budget}"


def serve(listener: socket.socket, root: Path, runner: Runner) -> None:
    """Answer one client after another, until the release is another one: that one brings its own program."""
    current = root / "current"
    release = current.resolve()
    while current.resolve() == release:
        client, _ = listener.accept()
        with closing(client):
            client.settimeout(CLIENT_S)
            try:
                talk(client, current, runner)
            except (OSError, MessageError, subprocess.SubprocessError, xmlrpc.client.Error) as error:
                print(f"starter: {type(error).__name__}: {error}", file=sys.stderr, flush=True)


def talk(client: socket.socket, current: Path, runner: Runner) -> None:
    """Read one line, answer it by one; a client that sends anything else gets none."""
    line = b""
    while not line.endswith(b"\n"):
        piece = client.recv(LINE_BYTES - len(line))
        if not piece:
            return
        line += piece
    client.sendall(answer(StarterOrder.from_json(line), current, runner).to_json().encode() + b"\n")


def listening(path: "Path | None") -> socket.socket:
    """Return systemd's socket, or one of our own that only this account can open."""
    if path is None:
        return socket.socket(fileno=INHERITED_FD)
    with suppress(FileNotFoundError):
        path.unlink()
    listener = socket.socket(socket.AF_UNIX)
    os.umask(0o177)
    listener.bind(str(path))
    listener.listen()
    return listener


def main(arguments: "Sequence[str] | None" = None) -> None:
    parser = argparse.ArgumentParser(prog="agent.starter", description="Start and stop engines of models on demand.")
    parser.add_argument("--root", type=Path, required=True, help="the host's directory")
    parser.add_argument("--socket", type=Path, help="listen there and use supervisord; else systemd, and its socket")
    args = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    runner: Runner = Systemd() if args.socket is None else Supervisord(args.root)
    serve(listening(args.socket), args.root, runner)


if __name__ == "__main__":
    main()
