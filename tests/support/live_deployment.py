"""A deployment of real engines for the end-to-end tests: made by `fab`, looked at from outside, and always ended."""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx
import openai
import pytest
import yaml

from tests.support import processes
from tests.support.deployments import demonstration_checkpoints, write_models
from tests.support.processes import Process
from tests.support.steady_clients import SteadyClients
from tests.support.web import free_port

REPOSITORY = Path(__file__).resolve().parents[2]
DEMO_MODELS = REPOSITORY / "examples" / "demo" / "models.yaml"
BUILDS = REPOSITORY / "out" / "local" / "builds"
REAL, TINY = "smollm2", "tiny_gemma3"
LOAD_S = 240.0
"""Two engines on two busy cores are ready after 60 to 95 s."""


@dataclass(frozen=True, slots=True)
class LiveDeployment:
    """Two models of the demonstration under a root and on a port of their own."""

    root: Path
    port: int
    models_file: Path

    @classmethod
    def prepare(cls, root: Path) -> Self:
        """Lay out a root that borrows the engine environment of the checkout."""
        sealed = [manifest.parent for manifest in BUILDS.glob("*/manifest.json")]
        if not sealed or not (REPOSITORY / "out" / "demo" / "models").is_dir():
            pytest.fail("no engine environment or no models: run `fab demo.prepare` first")
        (root / "builds").mkdir(parents=True)
        for build in sealed:  # one link each: what prunes this root's builds removes links and nothing else
            (root / "builds" / build.name).symlink_to(build)
        live = cls(root, free_port(), root / "models.yaml")
        live.compilers.mkdir()
        for name in ("c++", "cc", "clang", "clang++", "g++", "gcc"):  # as on a host that has none
            (live.compilers / name).write_text("#!/bin/sh\nexit 127\n")
            (live.compilers / name).chmod(0o755)
        live.write_models()
        return live

    def write_models(self, **tiny_engine: object) -> None:
        """Derive the models file from the demonstration's, with engine arguments of the tiny model changed."""
        document = yaml.safe_load(DEMO_MODELS.read_text(encoding="utf-8"))
        document["models"] = {name: document["models"][name] for name in (REAL, TINY)}
        for model in document["models"].values():
            model["weights"]["path"] = str((DEMO_MODELS.parent / model["weights"]["path"]).resolve())
        tiny = document["models"][TINY]
        tiny["engine"] = {**tiny["engine"], **tiny_engine}
        document["gateway"]["listen"] = [f"127.0.0.1:{self.port}"]
        write_models(self.models_file, document, demonstration_checkpoints())

    def fab(self, *arguments: str, timeout_s: float = 2 * LOAD_S) -> str:
        """Run a task as a person does, and return what it printed; fails with all of it."""
        path = f"{self.compilers}:{os.environ['PATH']}"
        environment = os.environ | {"AXION_LOCAL_ROOT": str(self.root), "NO_COLOR": "1", "PATH": path}
        done = subprocess.run(
            [str(Path(sys.executable).with_name("fab")), *arguments],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout_s,
            check=False,
        )
        assert done.returncode == 0, f"fab {' '.join(arguments)}: exit {done.returncode}\n{done.stdout}"
        return done.stdout

    @property
    def compilers(self) -> Path:
        """What stands in the way of any compiler."""
        return self.root / "compilers"

    def deploy(self) -> str:
        """Build and deploy the models file."""
        return self.fab("build-and-deploy", "--models", str(self.models_file))

    def stop(self) -> None:
        """End everything, by force where asking does not help, and remove the root."""
        try:
            self.fab("stop", timeout_s=90)
        finally:
            for process in self.processes_left():
                processes.kill(process)
            shutil.rmtree(self.root, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def openai(self) -> openai.OpenAI:
        """Return the client that users have; it does not hide failures by asking again."""
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key="none", timeout=60, max_retries=0)

    def post(self, route: str, **body: object) -> httpx.Response:
        """Ask through the gateway."""
        return httpx.post(self.url + route, json=body, timeout=60)

    def engine(self, name: str) -> httpx.Client:
        """Return a client of an engine itself, past the gateway."""
        transport = httpx.HTTPTransport(uds=str(self.root / "run" / f"{name}.sock"))
        return httpx.Client(transport=transport, base_url="http://engine", timeout=10)

    def metric(self, name: str, metric: str) -> float:
        """Return a figure that the engine gives of itself."""
        with self.engine(name) as engine:
            text = engine.get("/metrics").text
        return sum(float(value) for value in re.findall(rf"^vllm:{metric}{{.*}} (\S+)$", text, re.MULTILINE))

    def processes_of(self, name: str) -> list[Process]:
        """Return the launcher of an engine and all below it, as they are now."""
        record = json.loads((self.root / "run" / f"{name}.json").read_text())
        return processes.tree(record["pid"])

    def processes_left(self) -> list[Process]:
        """Return every process that belongs to this root."""
        return processes.belonging_to(self.root)

    def stats(self) -> Any:
        """Return what the gateway knows."""
        return httpx.get(f"{self.url}/stats", timeout=10).json()

    @property
    def is_serving(self) -> bool:
        """Whether both models are ready at present."""
        try:
            return bool(sorted(self.stats()["models_loaded"]) == [REAL, TINY])
        except httpx.HTTPError:
            return False


class SteadyClient(SteadyClients):
    """Asks one model again and again while something happens to another, and remembers every failure."""

    def __init__(self, live: LiveDeployment, model: str) -> None:
        # Often enough to meet every gap, and leaves the cores to a loading engine.
        super().__init__(live.port, (model,), tokens=1, pause_s=0.5)
        self.live = live

    def ask(self, model: str) -> str | None:
        with self.live.openai() as client:
            try:
                client.completions.create(model=model, prompt="The sky is", max_tokens=1, temperature=0)
            except openai.OpenAIError as error:
                return f"{type(error).__name__}: {error}"
        return None
