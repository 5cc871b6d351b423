"""A systemd host of our own as a target: real `fab` over real SSH, real units, launcher and gateway, stand-in engines.

What is asserted is read past the toolkit: from the host's files as this machine sees them, from its systemd through
the kernel's namespaces, and from the gateway's port, which a host that shares our network has on our loopback.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from deployment.checkpoint.facts import Checkpoint
from tests.support.deployments import model
from tests.support.local_deployment import LocalDeployment
from tests.support.machines.machine import Machine, booted
from tests.support.machines.standin import standin_layers
from tests.support.processes import Process, tree
from tests.support.ran import Ran
from tests.support.web import free_port

ROOT = "opt/axion"
CHECKPOINTS = "srv/checkpoints"
UNIT = ("ActiveState", "SubState", "InvocationID", "MainPID", "NRestarts", "Result")


class HostDeployment(LocalDeployment):
    """The tasks a person types for a host of an inventory, and what became of it."""

    def __init__(self, machine: Machine, base: Path, names: Sequence[str] = ("alpha", "beta", "gamma")) -> None:
        self.machine = machine
        self.root = machine.root / ROOT
        self.file = base / "models.yaml"
        self.port = free_port()
        self.models: dict[str, Any] = {}
        self.facts: dict[str, Checkpoint] = {}
        self.rest: dict[str, Any] = {}
        self.inventory = machine.inventory()
        for name in names:
            self.add(name)

    def add(self, name: str, *, weights: str | None = None, **changes: Any) -> None:
        """Put a model into the file, with a checkpoint on the host that fits it."""
        directory = self.checkpoint(weights or name)
        engine = {"enforce_eager": True, **changes.pop("engine", {})}
        path = f"/{directory.relative_to(self.machine.root)}"
        self.models[name] = model(weights={"path": path}, engine=engine, **changes)

    def checkpoints(self) -> Path:
        return self.machine.root / CHECKPOINTS

    def popen(self, *words: str) -> "subprocess.Popen[str]":
        task, *rest = words
        return super().popen(task, "--inventory", str(self.inventory), *rest)

    def fab(self, *words: str, timeout_s: float = 300) -> Ran:
        """A host's first deployment installs packages, and the machines beside it may be busy."""
        return super().fab(*words, timeout_s=timeout_s)

    def unit(self, name: str) -> dict[str, str]:
        """What systemd says of one unit."""
        shown = self.machine.output("systemctl", "show", f"--property={','.join(UNIT)}", "--", name)
        return dict(line.split("=", 1) for line in shown.splitlines() if "=" in line)

    def of_unit(self, name: str) -> list[Process]:
        """The main process of a unit and all below it, as this machine sees them."""
        inside, init = self.unit(name)["MainPID"], self.machine.init
        assert init is not None
        for process in tree(init.pid):
            if namespaced_pid(process.pid) == inside:
                return tree(process.pid)
        raise AssertionError(f"{name}: no process {inside}")

    def invocations(self) -> dict[str, str]:
        """Of each unit a name that it has until it starts again."""
        units = {name: f"vllm@{name}.service" for name in self.models} | {"gateway": "gateway.service"}
        return {name: self.unit(unit)["InvocationID"] for name, unit in units.items()}

    def description(self) -> dict[str, Any]:
        described: dict[str, Any] = json.loads((self.root / "current" / "release.json").read_text())
        return described

    def serves_current(self) -> bool:
        """Whether every process runs what the current release says, by their own words."""
        units = self.description()["units"]
        is_gateway = self.call("GET", "/stats")[1]
        is_right = isinstance(is_gateway, dict) and is_gateway["unit_digest"] == units["gateway"]
        return is_right and all(self.record(name).get("unit_digest") == units[name] for name in self.models)

    def lock(self) -> str:
        """What the holder of the lock wrote about itself."""
        try:
            return (self.root / "state" / "deploy.lock").read_text()
        except OSError:
            return ""

    def end(self) -> None:
        """The host goes, and all of it with it."""


def namespaced_pid(pid: int) -> str | None:
    """The number that a process has where it lives."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return None
    return next((line.split()[-1] for line in lines if line.startswith("NSpid:")), None)


@contextmanager
def host_deployment(
    name: str, base: Path, models: Sequence[str] = ("alpha", "beta", "gamma")
) -> Iterator[HostDeployment]:
    """A host of that name for the length of a block."""
    with booted(Machine(name, port=free_port(), layers=standin_layers("amd64"))) as machine:
        yield HostDeployment(machine, base, models)
