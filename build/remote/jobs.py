"""Work that takes minutes to an hour: on a host under systemd it survives the task that began it, and its connection.

There it is a transient unit, `axion-work-<name>`; whoever asks for the same work again follows the one that runs, or
takes the results of the one that ended well. On a local target the steps simply run.
"""

import base64
import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from build.errors import ConnectionLostError, DeployError
from build.progress import Phase, progress_of
from build.remote.command import Command, Result
from build.remote.executor import Executor, OnLine, check
from build.remote.host import Host
from build.remote.target import Target

# Files and folders are made in passing.
QUIET = frozenset({"rm", "mkdir", "dd", "mv", "ln"})
BEGIN_S = 60.0
RECONNECTIONS = 6
"""In a row, without a line in between; an executor itself tries several times to connect."""
TAIL_LINES = 15
WAIT_S, LOOK_S = 1800.0, 2.0
Listen = Callable[[Phase], OnLine]


class StepFailedError(DeployError):
    """A step that did not succeed; `result` is how it ended."""

    def __init__(self, what: str, result: Result) -> None:
        tail = "\n    ".join((result.stderr or result.stdout).strip().splitlines()[-TAIL_LINES:])
        super().__init__(f"{what}: failed, got exit status {result.status}. Read its last lines:\n    {tail}")
        self.result = result


@dataclass(frozen=True, slots=True, kw_only=True)
class FromSecretManager:
    """A credential that the host reads itself, as its service account."""

    secret: str
    """projects/<project>/secrets/<id>"""


@dataclass(frozen=True, slots=True, kw_only=True)
class FromCaller:
    """A credential that this task knows; it travels over stdin and is kept in memory only."""

    value: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Steps in order, each only when the one before succeeded."""

    name: str
    what: str
    steps: tuple[Command, ...]
    timeout_s: float
    key: str = ""
    """What makes it the same work again. Give it where steps depend on the moment, as on free memory."""
    credentials: Mapping[str, FromSecretManager | FromCaller] = field(default_factory=lambda: MappingProxyType({}))
    """Files below $CREDENTIALS_DIRECTORY, under systemd only."""

    @property
    def bound_s(self) -> float:
        """How long it may take in all: no less than its steps may take, which come one after another."""
        return max(self.timeout_s, sum(step.timeout_s for step in self.steps) + BEGIN_S)

    @property
    def identity(self) -> str:
        return self.key or hashlib.sha256(json.dumps(self.as_data()).encode()).hexdigest()[:16]

    def as_data(self) -> list[dict[str, Any]]:
        return [
            {
                "argv": list(step.argv),
                "what": step.what,
                "is_quiet": is_quiet(step),
                "cwd": step.cwd,
                "env": dict(step.env),
                "stdin": None if step.stdin is None else base64.b64encode(step.stdin).decode(),
                "timeout_s": step.timeout_s,
            }
            for step in self.steps
        ]


def unit_of(name: str) -> str:
    return f"axion-work-{name}.service"


def directory_of(target: Target, name: str) -> str:
    """Where it keeps its steps, log and result: root's own, unlike state/, part of which belongs to engines."""
    return f"{target.root}/work/{name}"


def is_quiet(step: Command) -> bool:
    return step.argv[0] in QUIET


def look_command(target: Target, name: str) -> Command:
    """Ask whether it runs, or ran to its end."""
    return _order(target, name, "look", f"look for {name} at work", 60.0)


def follow_command(target: Target, job: Job, *, offset: int, timeout_s: float) -> Command:
    """Print what is told of it from a place in its log on; the last line is how it ended."""
    return _order(target, job.name, "follow", job.what, timeout_s, key=job.identity, offset=offset)


def start_command(target: Target, job: Job) -> Command:
    """Begin it anew. Its steps and the agent that does them lie on the host: it needs nobody from then on."""
    sources = {
        name: {"secret": source.secret} if isinstance(source, FromSecretManager) else {"value": source.value}
        for name, source in job.credentials.items()
    }
    document = {"key": job.identity, "steps": job.as_data(), "credentials": sources}
    order = _order(target, job.name, "start", f"begin: {job.what}", 300.0, timeout_s=job.bound_s)
    return replace(order, stdin=json.dumps(document).encode())


def forget_command(target: Target, name: str) -> Command:
    return _order(target, name, "forget", "put the finished work away", 60.0)


def _order(target: Target, name: str, verb: str, what: str, bound_s: float, **more: Any) -> Command:
    order = {"do": verb, "dir": directory_of(target, name), "unit": unit_of(name), **more}
    return target.agent.command("job", json.dumps(order), what=what, timeout_s=bound_s)


def run_job(host: Host, job: Job, listen: Listen = progress_of) -> tuple[Result, ...]:
    """Do the work, or go on with it, and return each step's result. Raises DeployError naming the step that failed."""
    if host.target.runner == "supervisor":
        return tuple(_run_here(host, step, listen) for step in job.steps)
    found = _look(host.target, host.executor, job.name)
    is_same = found.get("key") == job.identity
    if found["state"] == "running" and is_same:
        host.reporter.say(f"{_capital(job.what)}: runs on {host.target.name} already, following it")
    elif not (found.get("ok") and is_same):
        if found["state"] == "running":
            host.reporter.say(f"Ending other work of this kind first: {unit_of(job.name)} on {host.target.name}")
        check(host.executor, start_command(host.target, job))
    return _Follower(host, job, listen).follow()


def is_underway(target: Target, executor: Executor, name: str, key: str) -> bool:
    """Whether this very work runs on the host, or ended well there and was not forgotten."""
    if target.runner == "supervisor":
        return False
    found = _look(target, executor, name)
    return found.get("key") == key and (found["state"] == "running" or bool(found.get("ok")))


def wait_for_job(host: Host, name: str, what: str) -> None:
    """Wait while work of that name runs, whatever it is: for what must not be ended half-way. Bounded by WAIT_S."""
    if host.target.runner == "supervisor" or not _is_running(host, name):
        return
    deadline = time.monotonic() + WAIT_S
    with host.reporter.phase(what):
        while _is_running(host, name):
            if time.monotonic() > deadline:
                raise DeployError(
                    f"{host.target.name}: {unit_of(name)} still runs after {WAIT_S:g} s. "
                    f"Read `journalctl -u {unit_of(name)}` there."
                )
            time.sleep(LOOK_S)


def forget_job(host: Host, name: str) -> None:
    """Let the next run do it again. To be called when its results were acted upon, be they good or bad."""
    if host.target.runner == "systemd":
        check(host.executor, forget_command(host.target, name))


def _is_running(host: Host, name: str) -> bool:
    return bool(_look(host.target, host.executor, name)["state"] == "running")


def _look(target: Target, executor: Executor, name: str) -> Any:
    return json.loads(check(executor, look_command(target, name)).stdout)


def _run_here(host: Host, step: Command, listen: Listen) -> Result:
    if is_quiet(step):
        return _succeeded(step.what, host.executor.run(step))
    with host.reporter.phase(_capital(step.what)) as phase:
        return _succeeded(step.what, host.executor.run(step, listen(phase)))


def _succeeded(what: str, result: Result) -> Result:
    if not result.succeeded:
        raise StepFailedError(what, result)
    return result


class _Follower:
    """Shows what the host tells of the work, and goes on where it was when the connection breaks."""

    def __init__(self, host: Host, job: Job, listen: Listen) -> None:
        self.host, self.job, self.listen = host, job, listen
        self.offset = self.failures = 0
        self.step = job.what
        self._phases = ExitStack()
        self._tell: OnLine | None = None

    def follow(self) -> tuple[Result, ...]:
        """Return the steps' results when they all succeeded."""
        deadline = time.monotonic() + self.job.bound_s + 600
        with self._phases:  # a failure passes through the phase that failed
            while True:
                rest_s = max(1.0, deadline - time.monotonic())
                command = follow_command(self.host.target, self.job, offset=self.offset, timeout_s=rest_s)
                try:
                    printed = check(self.host.executor, command, self._hear).stdout
                except ConnectionLostError as error:
                    self._wait_for_connection(error)
                else:
                    return self._results(json.loads(printed.rstrip().rpartition("\n")[2]))

    def _wait_for_connection(self, error: ConnectionLostError) -> None:
        self.failures += 1
        if self.failures > RECONNECTIONS:
            advice = f"{_capital(self.job.what)}: goes on there; the same command follows it again."
            raise ConnectionLostError(*error.problems, advice) from None
        self.host.reporter.say("The connection broke; the work goes on there. Connecting again", style="yellow")
        time.sleep(min(2.0**self.failures, 30.0))

    def _hear(self, line: str) -> None:
        try:
            event = json.loads(line)
        except ValueError:
            return  # a beat, or a line that the connection cut
        if not isinstance(event, dict) or event.keys() & {"results", "lost"}:
            return
        self.offset += len(line) + 1
        self.failures = 0
        if "step" in event:
            self._begin(event)
        elif "line" in event and self._tell is not None:
            self._tell(event["line"])

    def _begin(self, event: Mapping[str, Any]) -> None:
        self._phases.close()
        self.step, self._tell = event["what"], None
        if not event["is_quiet"]:
            self._tell = self.listen(self._phases.enter_context(self.host.reporter.phase(_capital(self.step))))

    def _results(self, told: Mapping[str, Any]) -> tuple[Result, ...]:
        unit = unit_of(self.job.name)
        if "lost" in told:
            raise DeployError(
                f"{self.host.target.name}: {unit} ended without a result, got {told['lost']}. Run the same command "
                f"again; `journalctl -u {unit}` there has the rest."
            )
        results = tuple(Result(**each) for each in told["results"])
        for result in results:
            _succeeded(self.step, result)  # the last one, if any: no step follows one that failed
        return results


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
