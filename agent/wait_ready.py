"""Wait until every model of a release answers a real prompt; print what happens as JSON lines.

Input: {"root": str, "runner": "systemd" or "supervisor", "gateway": "host:port", "config_digest": str,
"unit_digest": str, "engines": {model: unit digest}, "ended": [pid, ...], "timeout_s": number, "keys": file or null}.
Models load one after another: `timeout_s` is the time of each, not of all.
Events: {"model", "state", "after_s"} as states change; at the end {"result": {model: answer or null},
"problems": {model: text}}. Exit status 0 when all answered.

An engine counts only when its launcher says that it runs the digest asked for, and the gateway likewise: during a
restart the old one still answers. Processes in `ended` do not count, whatever they say.
"""

import http.client
import json
import sys
import time
from pathlib import Path
from typing import Any

from agent.answer import QUESTION, problem_of, words_of
from agent.clock import Clock
from agent.processes import show, supervisord_processes
from agent.unix_http import UnixConnection, call

POLL_S = 0.5
ANSWER_TIMEOUT_S = 300
# A launcher that was seen to end this often after we began waiting will not come up by itself.
ENDS_ALLOWED = 2


def first_key(file: str | None) -> str | None:
    """A key that the gateway takes; None where it asks for none, or has none yet."""
    try:
        return next(line.strip() for line in Path(file).read_text().splitlines() if line.strip()) if file else None
    except (OSError, StopIteration):
        return None


class Runner:
    """What supervisord or systemd tells of processes that keep ending.

    An engine that ends within milliseconds is never seen running: only its runner knows that it was ever there.
    """

    def __init__(self, root: Path, runner: str) -> None:
        self.root = root
        self.is_systemd = runner == "systemd"
        self.starts: dict[str, set[object]] = {}

    def hopeless(self) -> set[str]:
        """Names of processes that it gave up on, or started again and again since we began to look."""
        processes = units() if self.is_systemd else supervisord_processes(self.root)
        for process in processes:
            self.starts.setdefault(process["name"], set()).add(process["start"])
        again = {name for name, starts in self.starts.items() if len(starts) > ENDS_ALLOWED + 1}
        return again | {process["name"] for process in processes if process["statename"] == "FATAL"}


def units() -> Any:
    """The same of systemd: an invocation is a start. One that it tries again is only between two starts."""
    found = show(("gateway.service", "vllm@*.service"), "Id,ActiveState,InvocationID")
    return [
        {
            "name": unit["Id"].removeprefix("vllm@").removesuffix(".service"),
            "statename": "FATAL" if unit["ActiveState"] == "failed" else unit["ActiveState"],
            "start": unit["InvocationID"],
        }
        for unit in found
        if unit["InvocationID"]
    ]


def is_launcher(pid: object) -> bool:
    """Whether a launcher of ours has this number now."""
    try:
        return b"launch" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def tell(**event: object) -> None:
    print(json.dumps(event), flush=True)


class Engine:
    """One model on its way from started to answered."""

    def __init__(self, root: Path, name: str, digest: str, ended: list[int], keys: str | None) -> None:
        self.root, self.name, self.digest, self.ended, self.keys = root, name, digest, ended, keys
        self.state: str | None = None
        self.pids: list[int] = []
        self.is_old_alive = False
        self.problem: str | None = None
        self.answer: str | None = None

    def record(self) -> Any:
        """What the engine's launcher wrote last; empty when that is nothing legible."""
        try:
            record = json.loads((self.root / "run" / f"{self.name}.json").read_text())
            return record if {"unit_digest", "pid"} <= record.keys() else {}
        except (OSError, ValueError, AttributeError):
            return {}

    def look(self) -> str:
        """Return the state now: starting, loading, or ready."""
        record = self.record()
        if record.get("unit_digest") != self.digest or record["pid"] in self.ended:
            self.is_old_alive = is_launcher(record.get("pid"))
            return "starting"
        self.is_old_alive = False
        if record["pid"] not in self.pids:
            self.pids.append(record["pid"])
        status, _ = call(UnixConnection(self.root / "run" / f"{self.name}.sock", 5), "GET", "/health")
        return "ready" if status == 200 else "loading"

    def step(self, gateway: str, clock: Clock, *, is_routed: bool) -> None:
        state = self.look()
        if state != self.state:
            self.state = state
            tell(model=self.name, state=state, after_s=clock.after_s)
            clock.note(self.name, state)
        if self.is_old_alive:
            clock.wait_for_an_end()
        if len(self.pids) > ENDS_ALLOWED:
            self.problem = f"the engine ended {ENDS_ALLOWED} times while starting"
        elif state == "ready" and is_routed:
            self.ask(gateway, clock)

    def give_up(self) -> None:
        if self.answer is None and self.problem is None:
            self.problem = "the engine kept ending while starting"

    def ask(self, gateway: str, clock: Clock) -> None:
        status, body = call(
            http.client.HTTPConnection(gateway, timeout=ANSWER_TIMEOUT_S),
            "POST",
            "/v1/chat/completions",
            {**QUESTION, "model": self.name},
            first_key(self.keys),
        )
        if status in (0, 502, 503):  # the gateway is restarting, or has seen the engine go
            return
        self.problem = problem_of(status, body)
        if self.problem is None:
            self.answer = words_of(body)
            tell(model=self.name, state="answered", after_s=clock.after_s)
            clock.note(self.name, "answered")


def gateway_states(wanted: dict[str, Any]) -> dict[str, str] | None:
    """What the gateway sees of each model; None until the release's own code and configuration answer."""
    status, body = call(http.client.HTTPConnection(wanted["gateway"], timeout=5), "GET", "/stats")
    try:
        stats = json.loads(body)
        is_same = all(stats[key] == wanted[key] for key in ("config_digest", "unit_digest"))
        if status != 200 or not is_same or stats["pid"] in wanted["ended"]:
            return None
        return {name: model["state"] for name, model in stats["models"].items()}
    except (ValueError, KeyError, TypeError):
        return None


def wait(wanted: dict[str, Any], runner: Runner) -> dict[str, Engine]:
    """Poll until the gateway is the release's and every engine answered, or one cannot."""
    root, ended = Path(wanted["root"]), wanted["ended"]
    keys = wanted.get("keys")
    engines = {name: Engine(root, name, digest, ended, keys) for name, digest in wanted["engines"].items()}
    clock = Clock(wanted["timeout_s"])
    while not clock.is_over:
        states = gateway_states(wanted)
        for name, engine in engines.items():
            if engine.answer is None and engine.problem is None:
                engine.step(wanted["gateway"], clock, is_routed=(states or {}).get(name) == "ready")
        if states is not None and all(engine.answer is not None for engine in engines.values()):
            break
        lost = runner.hopeless()
        for name in lost & engines.keys():
            engines[name].give_up()
        if "gateway" in lost or any(engine.problem for engine in engines.values()):
            break
        time.sleep(POLL_S)
    return engines


def problems_of(wanted: dict[str, Any], engines: dict[str, Engine], runner: Runner) -> dict[str, str]:
    """Say what is missing at the end, nothing if nothing is."""
    after = f"after {wanted['timeout_s']:g} s"
    problems = {name: engine.problem for name, engine in engines.items() if engine.problem}
    if problems or all(engine.answer is not None for engine in engines.values()):
        return problems
    if "gateway" in runner.hopeless():
        return {"gateway": "it kept ending while starting"}
    if gateway_states(wanted) is None:
        return {"gateway": f"it does not serve the release's code and configuration {after}"}
    return {name: f"still {engine.state} {after}" for name, engine in engines.items() if engine.answer is None}


def main() -> None:
    wanted = json.loads(sys.argv[1])
    runner = Runner(Path(wanted["root"]), wanted["runner"])
    engines = wait(wanted, runner)
    problems = problems_of(wanted, engines, runner)
    tell(result={name: engine.answer for name, engine in engines.items()}, problems=problems)
    sys.exit(1 if problems else 0)
