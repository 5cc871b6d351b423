"""Wait until every model of a release answers a real prompt; print what happens, a line for each event.

Models load one after another: the time is that of each, not of all. Exit status 0 when all answered.

A model on demand is asked through the gateway, which loads it, when all that always run have answered: one after
another, for they may not fit beside each other.

An engine counts only when its launcher says that it runs the digest asked for, and the gateway likewise: during a
restart the old one still answers. Processes that the order calls ended do not count, whatever they say.
"""

import sys
import time
from collections.abc import Mapping
from pathlib import Path

from agent import gateway
from agent.answer import QUESTION, problem_of, words_of
from agent.clock import Clock
from agent.message import Message
from agent.processes import runner_state
from agent.protocol import ReadyEvent, ReadyOrder, ReadyOutcome, RunnerKind, RunningEngine, State
from agent.secrets import PLAIN_KEYS
from agent.unix_http import TcpConnection, UnixConnection, call

POLL_S = 0.5
ANSWER_TIMEOUT_S = 300
# A launcher that was seen to end this often after we began waiting will not come up by itself.
ENDS_ALLOWED = 2


def own_key(file: str | None) -> str | None:
    """The host's own key; None where the gateway asks for none, or has none yet.

    An earlier release's keys are beside it as long as that release, rolled back to, is the one that asks for them.
    """
    for path in (Path(file).with_name(PLAIN_KEYS), Path(file)) if file else ():
        try:
            return path.read_text().split()[0]
        except (OSError, ValueError, IndexError):
            continue
    return None


class Runner:
    """What supervisord or systemd tells of processes that keep ending.

    An engine that ends within milliseconds is never seen running: only its runner knows that it was ever there.
    """

    def __init__(self, root: Path, runner: RunnerKind) -> None:
        self.root, self.runner = root, runner
        self.starts: dict[str, set[str]] = {}

    def hopeless(self) -> set[str]:
        """Names of processes that it gave up on, or started again and again since we began to look."""
        processes = runner_state(self.root, self.runner) or {}
        for name, process in processes.items():
            if process.start:
                self.starts.setdefault(name, set()).add(process.start)
        again = {name for name, starts in self.starts.items() if len(starts) > ENDS_ALLOWED + 1}
        return again | {name for name, process in processes.items() if process.state == "FATAL"}


def is_launcher(pid: int) -> bool:
    """Whether a launcher of ours has this number now."""
    try:
        return b"launch" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def tell(message: Message) -> None:
    print(message.to_json(), flush=True)


class Engine:
    """One model on its way from started to answered."""

    def __init__(self, order: ReadyOrder, name: str, clock: Clock) -> None:
        self.order, self.name, self.clock = order, name, clock
        self.run = Path(order.root) / "run"
        self.state: State | None = None
        self.pids: list[int] = []
        self.is_old_alive = False
        self.problem: str | None = None
        self.answer: str | None = None
        self.is_on_demand = name in order.on_demand

    def look(self) -> State:
        """Return the state now: starting, loading, or ready."""
        record = RunningEngine.of_file(self.run / f"{self.name}.json")
        if record is None or record.unit_digest != self.order.engines[self.name] or record.pid in self.order.ended:
            self.is_old_alive = record is not None and is_launcher(record.pid)
            return "starting"
        self.is_old_alive = False
        if record.pid not in self.pids:
            self.pids.append(record.pid)
        status, _ = call(UnixConnection(self.run / f"{self.name}.sock", 5), "GET", "/health")
        return "ready" if status == 200 else "loading"

    def reach(self, state: State) -> None:
        """Tell of a state and note it."""
        tell(ReadyEvent(model=self.name, state=state, after_s=self.clock.after_s))
        self.clock.note(self.name, state)

    def step(self, *, is_routed: bool) -> None:
        if self.is_on_demand:
            if is_routed:
                if self.state is None:
                    self.state = "loading"
                    self.reach("loading")
                self.ask()
            return
        state = self.look()
        if state != self.state:
            self.state = state
            self.reach(state)
        if self.is_old_alive:
            self.clock.wait_for_an_end()
        if len(self.pids) > ENDS_ALLOWED:
            self.problem = f"the engine ended {ENDS_ALLOWED} times while starting"
        elif state == "ready" and is_routed:
            self.ask()

    def give_up(self) -> None:
        if self.answer is None and self.problem is None:
            self.problem = "the engine kept ending while starting"

    def ask(self) -> None:
        status, body = call(
            TcpConnection(self.order.gateway, ANSWER_TIMEOUT_S),
            "POST",
            "/v1/chat/completions",
            {**QUESTION, "model": self.name},
            own_key(self.order.keys),
        )
        if status == 503 and self.is_on_demand and b'"model_start_failed"' in body:
            self.problem = "the engine ended while it was loading, or took too long"
            return
        if status in (0, 502, 503):  # the gateway is restarting, or has seen the engine go
            return
        self.problem = problem_of(status, body)
        if self.problem is None and self.is_on_demand and self.look() == "starting":
            return  # one of another release has answered
        if self.problem is None:
            self.answer = words_of(body)
            self.reach("answered")


def gateway_states(order: ReadyOrder) -> Mapping[str, str] | None:
    """What the gateway sees of each model; None until the release's own code and configuration answer."""
    stats = gateway.ask(order.gateway)
    if stats is None or stats.pid in order.ended:
        return None
    if (stats.config_digest, stats.unit_digest) != (order.config_digest, order.unit_digest):
        return None
    return {name: model.state for name, model in stats.models.items()}


def wait(order: ReadyOrder, runner: Runner) -> dict[str, Engine]:
    """Poll until the gateway is the release's and every engine answered, or one cannot."""
    clock = Clock(order.timeout_s)
    engines = {name: Engine(order, name, clock) for name in order.engines}
    while not clock.is_over:
        states = gateway_states(order)
        for name, engine in engines.items():
            if engine.answer is None and engine.problem is None:
                is_ready = (states or {}).get(name) == "ready"
                engine.step(is_routed=is_next(name, engines, states) if engine.is_on_demand else is_ready)
        if states is not None and all(engine.answer is not None for engine in engines.values()):
            break
        lost = runner.hopeless()
        for name in lost & engines.keys() - set(order.on_demand):  # of those the gateway tells
            engines[name].give_up()
        if "gateway" in lost or any(engine.problem for engine in engines.values()):
            break
        time.sleep(POLL_S)
    return engines


def is_next(name: str, engines: dict[str, Engine], states: Mapping[str, str] | None) -> bool:
    """Whether a model on demand may be asked: all that always run have answered, and so have those before it."""
    before = [each for other, each in engines.items() if other != name and not each.is_on_demand]
    return states is not None and name in states and all(each.answer is not None for each in before)


def problems_of(order: ReadyOrder, engines: dict[str, Engine], runner: Runner) -> dict[str, str]:
    """Say what is missing at the end, nothing if nothing is."""
    after = f"after {order.timeout_s:g} s"
    problems = {name: engine.problem for name, engine in engines.items() if engine.problem}
    if problems or all(engine.answer is not None for engine in engines.values()):
        return problems
    if "gateway" in runner.hopeless():
        return {"gateway": "it kept ending while starting"}
    if gateway_states(order) is None:
        return {"gateway": f"it does not serve the release's code and configuration {after}"}
    return {name: f"still {engine.state} {after}" for name, engine in engines.items() if engine.answer is None}


def main() -> None:
    order = ReadyOrder.from_json(sys.argv[1])
    runner = Runner(Path(order.root), order.runner)
    engines = wait(order, runner)
    problems = problems_of(order, engines, runner)
    tell(ReadyOutcome(answers={name: engine.answer for name, engine in engines.items()}, problems=problems))
    sys.exit(1 if problems else 0)
