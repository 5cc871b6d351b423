"""Launchers started on a host directory of their own, and every process that their engines told of."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from agent.process_tree import read_process
from tests.support.fakes.host_root import REPOSITORY, add_release
from tests.support.share import eventually

BOUND_S = 8.0
NAME = "tiny"


class Host:
    """One host directory, the launchers started on it, and every process that its engines told us about."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.seen: set[int] = set()
        self.started: list[subprocess.Popen[str]] = []

    def command(self) -> list[str]:
        current = str(self.root / "current")
        options = ["--root", str(self.root), "--release", current, "--name", NAME]
        return [sys.executable, "-P", "-m", "agent.launch", *options]

    def start(self, wrap: tuple[str, ...] = (), **environment: str) -> subprocess.Popen[str]:
        (self.root / "state" / NAME / "pids.json").unlink(missing_ok=True)
        env = os.environ | {"PYTHONPATH": str(REPOSITORY)} | environment
        launcher = subprocess.Popen(
            [*wrap, *self.command()], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.started.append(launcher)
        return launcher

    def tree(self) -> dict[str, int]:
        """Wait for the engine to be up; return the pids of everything that runs, by role."""
        path = self.root / "state" / NAME / "pids.json"
        eventually(path.exists, "the engine starts", BOUND_S)
        told = json.loads(path.read_text())
        record = self.record()
        pids = {role: told[role] for role in ("api", "core", "worker")}
        pids |= {"guard": record["pid"], "keeper": record["session"]}
        self.seen |= set(pids.values())
        assert all(read_process(pid) for pid in pids.values())
        return pids

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.root / "run" / f"{NAME}.json").read_text())
        return record

    def assert_nothing_left(self) -> None:
        eventually(
            lambda: not [pid for pid in self.seen if read_process(pid)], f"{sorted(self.seen)} are gone", BOUND_S
        )

    def sweep(self) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "agent.launch", "--sweep", "--root", str(self.root)]
        return subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True, text=True, timeout=30)


def started(
    host: Host, environment: str = "", wrap: tuple[str, ...] = ()
) -> tuple[subprocess.Popen[str], dict[str, int]]:
    add_release(host.root, "r1", {NAME: environment})
    launcher = host.start(wrap)
    return launcher, host.tree()
