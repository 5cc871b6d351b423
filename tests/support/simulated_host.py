"""A directory that stands for a host: our scripts run for real, systemd and Google are stood in for."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.support.fakes.metadata import MetadataServer, metadata_server

AGENT = Path(__file__).parents[2] / "agent"
IDENTITY = {
    "instance/zone": "projects/123/zones/us-central1-a",
    "instance/name": "axion-dev-main",
    "instance/id": "4711",
    "project/project-id": "a-project",
    "instance/service-accounts/default/token": '{"access_token": "ya29.token"}',
    "instance/attributes/axion-stack": "dev",
    "instance/attributes/axion-host": "main",
}


@dataclass(slots=True)
class Host:
    """A directory that stands for a host."""

    root: Path
    metadata: MetadataServer

    def run(self, script: str, *extra: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.argv(script, *extra), env=self.env, capture_output=True, text=True, check=False, timeout=60
        )

    def argv(self, script: str, *extra: str) -> list[str]:
        return [sys.executable, "-I", str(AGENT / script), "--metadata", self.metadata.url, *extra]

    def idle_stop(self) -> subprocess.CompletedProcess[str]:
        places = ("--root", str(self.root), "--run", str(self.root), "--terminals", str(self.root / "pts"))
        return self.run("idle_stop.py", *places, "--compute", self.metadata.url)

    @property
    def env(self) -> dict[str, str]:
        return os.environ | {"PATH": f"{self.root / 'bin'}:{os.environ['PATH']}"}

    @property
    def commands(self) -> list[str]:
        log = self.root / "commands"
        return log.read_text().splitlines() if log.exists() else []

    def was_used(self, minutes_ago: float) -> None:
        used_s = time.clock_gettime(time.CLOCK_BOOTTIME) - minutes_ago * 60
        (self.root / "idle.json").write_text(json.dumps({"used_s": used_s, "requests": 0}))

    @property
    def idle_minutes(self) -> float:
        return float(json.loads((self.root / "idle.json").read_text())["idle_minutes"])


@contextmanager
def simulated_host(root: Path) -> Iterator[Host]:
    """Make the directory a host, with a metadata server that knows who it is."""
    (root / "bin").mkdir()
    systemctl = root / "bin" / "systemctl"
    systemctl.write_text(f'#!/bin/sh\necho "$@" >> {root}/commands\n')
    systemctl.chmod(0o755)
    with metadata_server() as metadata:
        metadata.values |= IDENTITY
        yield Host(root, metadata)
