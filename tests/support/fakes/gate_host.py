"""A host as the gate sees it: launchers' records, engines on sockets, and a gateway; every part can misbehave."""

import json
import os
import socketserver
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from agent.protocol import ReadyOrder
from tests.support import web
from tests.support.agent import agent_file
from tests.support.fakes.answers import whole_answer
from tests.support.share import eventually

ANSWER = whole_answer("/v1/chat/completions", "alpha", "Paris", 1, best=2)


class _Handler(web.Handler):
    server: Any

    def do_GET(self) -> None:
        self.answer(*self.server.owner.get(self.path, self.server.name))

    def do_POST(self) -> None:
        asked = json.loads(self.body())
        self.server.owner.authorizations.append(self.headers.get("Authorization"))
        self.answer(*self.server.owner.post(asked))


class _UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True


class GateHost:
    """Change the fields at any time; `close` ends it."""

    def __init__(self, root: Path, *names: str) -> None:
        self.root = root
        self.health: dict[str, int] = dict.fromkeys(names, 200)
        self.states: dict[str, str] = dict.fromkeys(names, "ready")
        self.answers: dict[str, tuple[int, Any]] = dict.fromkeys(names, (200, ANSWER))
        self.stats: dict[str, Any] = {"config_digest": "g1", "unit_digest": "ug", "pid": os.getpid()}
        self.asked: list[dict[str, Any]] = []
        self.authorizations: list[str | None] = []
        self.looks = 0
        """How often the gate asked the gateway what it sees: once a round."""
        (root / "run").mkdir(parents=True)
        self.servers: list[Any] = []
        for name in names:
            self.record(name, pid=100)
            self._serve(_UnixServer(str(root / "run" / f"{name}.sock"), _Handler), name)
        front = web.Server(("127.0.0.1", 0), _Handler)
        self.address = f"127.0.0.1:{front.server_address[1]}"
        self._serve(front, "gateway")

    def _serve(self, server: Any, name: str) -> None:
        server.owner, server.name = self, name  # read by the handler
        web.start(server)
        self.servers.append(server)

    def record(self, name: str, *, pid: int, digest: str | None = None) -> None:
        """Write what a launcher writes when it starts an engine."""
        path = self.root / "run" / f"{name}.json"
        draft = path.with_suffix(".json.new")
        draft.write_text(json.dumps({"pid": pid, "unit_digest": digest or f"u-{name}"}))
        draft.replace(path)

    def get(self, path: str, name: str) -> tuple[int, Any]:
        if path == "/stats":
            self.looks += 1
            return 200, {**self.stats, "models": {each: {"state": state} for each, state in self.states.items()}}
        return self.health[name], b""

    @property
    def prompts(self) -> list[str]:
        """The models that were asked, in order."""
        return [asked["model"] for asked in self.asked]

    def post(self, asked: dict[str, Any]) -> tuple[int, Any]:
        self.asked.append(asked)
        return self.answers[asked["model"]]

    def wait_for_rounds(self, count: int) -> None:
        """Wait until the gate has looked at everything so many times more."""
        wanted = self.looks + count
        eventually(lambda: self.looks >= wanted, "the gate looks", 20)

    def start_gate(self, **wanted: Any) -> "subprocess.Popen[str]":
        """Start the gate's script as on a host; `wanted` replaces its arguments."""
        order = ReadyOrder(
            root=str(self.root),
            runner="supervisor",
            gateway=self.address,
            config_digest="g1",
            unit_digest="ug",
            engines={name: f"u-{name}" for name in self.health},
            ended=(),
            timeout_s=15,
        )
        file = agent_file(self.root, {"wait_ready.py": ("POLL_S = 0.5\n", "POLL_S = 0.05\n")})
        command = [sys.executable, "-I", str(file), "wait-ready", replace(order, **wanted).to_json()]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True)

    def close(self) -> None:
        for server in self.servers:
            web.stop(server)
