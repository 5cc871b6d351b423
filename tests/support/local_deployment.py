"""This computer as a host of its own kind: real `fab`, real supervisord, launcher and gateway, stand-in engines."""

import http.client
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from deployment.checkpoint.facts import Checkpoint
from deployment.checkpoint.lock import lock_path, write_lock
from tests.support.deployments import lock_of, model
from tests.support.fakes.engine_environment import REPOSITORY, add_environment
from tests.support.fakes.vllm_engine import DIRECTIONS
from tests.support.hollow import SHARD, write_checkpoint
from tests.support.processes import Process, belonging_to, kill
from tests.support.ran import Ran
from tests.support.share import eventually
from tests.support.web import free_port

FAB = Path(sys.executable).with_name("fab")
END_BOUND_S = 15.0
PROCESSES = 2 + 3 * 5
"""When all is well: supervisord and the gateway; of each engine two launchers, API server, core and worker."""


class LocalDeployment:
    """A root of its own, a models file, and the tasks a person types."""

    def __init__(self, base: Path) -> None:
        self.root = base / "it's 1% root"
        self.file = base / "models.yaml"
        self.port = free_port()
        self.models: dict[str, Any] = {}
        self.facts: dict[str, Checkpoint] = {}
        self.rest: dict[str, Any] = {}
        add_environment(self.root)
        for name in ("alpha", "beta", "gamma"):
            self.add(name)

    def add(self, name: str, *, weights: str | None = None, **changes: Any) -> None:
        """Put a model into the file, with a checkpoint that fits it."""
        directory = weights or name
        self.checkpoint(directory)
        engine = {"enforce_eager": True, **changes.pop("engine", {})}
        self.models[name] = model(weights={"path": f"checkpoints/{directory}"}, engine=engine, **changes)

    def checkpoint(self, name: str, **behaviour: Any) -> Path:
        """Make a checkpoint, or leave the one that is there; a behaviour makes it a strange one."""
        directory = self.checkpoints() / name
        if not (directory / SHARD).exists():  # written again it would count as other weights
            write_checkpoint(directory)
        if behaviour and not (directory / DIRECTIONS).exists():
            (directory / DIRECTIONS).write_text(json.dumps(behaviour))
        return directory

    def checkpoints(self) -> Path:
        """Where the weights are."""
        return self.file.parent / "checkpoints"

    def document(self) -> dict[str, Any]:
        base = {
            "default_model": next(iter(self.models)),
            "models": self.models,
            "gateway": {"listen": [f"127.0.0.1:{self.port}"]},
            "host": {"reserved_cores": 0, "reserved_memory": "64MiB", "core_policy": "shared"},
        }
        return {**base, **self.rest}

    def write(self, text: str | None = None) -> None:
        document = self.document()
        self.file.write_text(text or yaml.safe_dump(document, sort_keys=False))
        write_lock(lock_path(self.file), lock_of(document, self.facts))

    def popen(self, *words: str) -> "subprocess.Popen[str]":
        """Start a task. The terminal's settings must not reach it: what it prints is compared."""
        drop = ("AXION_", "COLUMNS", "FORCE_COLOR", "TTY_")
        env = {key: value for key, value in os.environ.items() if not key.startswith(drop)}
        env |= {"AXION_LOCAL_ROOT": str(self.root), "AXION_MODELS": str(self.file)}
        return subprocess.Popen(
            # A shell's background job ignores interrupts, and so would every process below it.
            ("env", "--default-signal=INT", str(FAB), *words),
            cwd=REPOSITORY, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )  # fmt: skip

    def fab(self, *words: str, timeout_s: float = 90) -> Ran:
        """Run a task to its end. No task may ever show a traceback."""
        ran = Ran.of(self.popen(*words), timeout_s)
        assert "Traceback" not in ran.said, ran.said
        return ran

    def json(self, *words: str) -> Any:
        return json.loads(self.succeed(*words, "--json").stdout)

    def succeed(self, *words: str) -> Ran:
        ran = self.fab(*words)
        assert ran.status == 0, ran.said
        return ran

    def refuse(self, *words: str) -> str:
        """Run a task that has to end with a message and exit code 1; return the message."""
        ran = self.fab(*words)
        assert ran.status == 1, ran.said
        return ran.stderr

    def deploy(self) -> Ran:
        self.write()
        return self.succeed("build-and-deploy")

    def ask(self, name: str, timeout_s: float = 10) -> tuple[int, str]:
        """Ask through the gateway; status 0 when nobody answers."""
        body = {"model": name, "messages": [{"role": "user", "content": "?"}]}
        status, answer = self.call("POST", "/v1/chat/completions", body, timeout_s=timeout_s)
        return status, answer["choices"][0]["message"]["content"] if status == 200 else str(answer)

    def call(self, method: str, path: str, body: Any = None, *, timeout_s: float = 10) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout_s)
        try:
            headers = {"Content-Type": "application/json"} if body else {}
            connection.request(method, path, json.dumps(body) if body else None, headers)
            response = connection.getresponse()
            return response.status, json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError) as error:
            return 0, str(error)
        finally:
            connection.close()

    def answers(self) -> bool:
        """Whether each model of the file answers, and with its own words."""
        return all(self.ask(name) == (200, f"{name} {name} {name} ") for name in self.models)

    def link(self, name: str) -> str | None:
        path = self.root / name
        return path.readlink().name if path.is_symlink() else None

    def releases(self) -> list[str]:
        """Everything in the directory, finished or not."""
        return sorted(path.name for path in (self.root / "releases").iterdir())

    def record(self, name: str) -> dict[str, Any]:
        try:
            record: dict[str, Any] = json.loads((self.root / "run" / f"{name}.json").read_text())
        except (OSError, ValueError):
            return {}
        return record

    def pids(self) -> dict[str, int | None]:
        """The launchers, the gateway and the runner."""
        found = {name: self.record(name).get("pid") for name in self.models}
        stats = self.call("GET", "/stats")[1]
        found["gateway"] = stats["pid"] if isinstance(stats, dict) else None
        pidfile = self.root / "run" / "supervisord.pid"
        return {**found, "supervisord": int(pidfile.read_text()) if pidfile.exists() else None}

    def files(self) -> dict[str, tuple[int, int]]:
        """Every file of the releases, with what would change if it were written again."""
        paths = [path for path in (self.root / "releases").rglob("*") if "__pycache__" not in path.parts]
        return {str(path): (path.lstat().st_ino, path.lstat().st_mtime_ns) for path in paths if path.is_file()}

    def processes(self) -> list[Process]:
        """Every living process that works below the root, names it, or was told of it."""
        return belonging_to(self.root)

    def end(self) -> None:
        """Kill the runner: whatever does not follow it by itself is an orphan. Leaves nothing, also when it fails."""
        pidfile = self.root / "run" / "supervisord.pid"
        if pidfile.exists():
            os.kill(int(pidfile.read_text()), signal.SIGKILL)
        try:
            eventually(lambda: not self.processes(), "nothing is left", bound_s=END_BOUND_S)
        except AssertionError:
            raise AssertionError(f"left behind: {self.processes()}") from None
        finally:
            for process in self.processes():
                kill(process)


@contextmanager
def local_deployment(base: Path) -> Iterator[LocalDeployment]:
    """A host for the length of a block; all its processes are gone afterwards."""
    host = LocalDeployment(base)
    try:
        yield host
    finally:
        host.end()
