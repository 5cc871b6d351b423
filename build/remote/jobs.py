"""Jobs, which take minutes to an hour: under systemd they survive the task that began them, and its connection.

There a job is a transient unit, `axion-work-<name>`; whoever asks for the same job again follows the one that runs, or
takes the results of the one that ended well. On a local target the steps simply run.
"""

import base64
import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from agent.message import MessageError
from agent.protocol import (
    FromCaller,
    FromSecretManager,
    JobEnded,
    JobEvent,
    JobLost,
    JobOrder,
    JobStart,
    JobState,
    JobStep,
    JobSteps,
    LogLine,
    StepBegan,
)
from build.errors import ConnectionLostError, DeployError
from build.progress import Phase, progress_of
from build.remote.command import Command, Result
from build.remote.executor import Executor, OnLine, ask, check
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
        super().__init__(f"{what}: failed with exit status {result.status}. Read its last lines:\n    {tail}")
        self.result = result


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Steps in order, each only when the one before succeeded."""

    name: str
    what: str
    steps: tuple[Command, ...]
    timeout_s: float
    key: str = ""
    """What makes it the same job again. Give it where steps depend on the moment, as on free memory."""
    credentials: Mapping[str, FromSecretManager | FromCaller] = field(default_factory=lambda: MappingProxyType({}))
    """Files below $CREDENTIALS_DIRECTORY, under systemd only."""

    @property
    def bound_s(self) -> float:
        """How long it may take in all: no less than its steps may take, which come one after another."""
        return max(self.timeout_s, sum(step.timeout_s for step in self.steps) + BEGIN_S)

    @property
    def identity(self) -> str:
        return self.key or hashlib.sha256(JobSteps("", self._steps).to_json().encode()).hexdigest()[:16]

    @property
    def document(self) -> JobSteps:
        return JobSteps(self.identity, self._steps)

    @property
    def _steps(self) -> tuple[JobStep, ...]:
        return tuple(
            JobStep(
                argv=step.argv,
                what=step.what,
                is_quiet=is_quiet(step),
                cwd=step.cwd,
                env=step.env,
                stdin=None if step.stdin is None else base64.b64encode(step.stdin).decode(),
                timeout_s=step.timeout_s,
            )
            for step in self.steps
        )


def unit_of(name: str) -> str:
    """Its unit. Jobs were called work once: under another name none of an older version's would be found or ended."""
    return f"axion-work-{name}.service"


def directory_of(target: Target, name: str) -> str:
    """Where it keeps its steps, log and result: root's own, unlike state/, part of which belongs to engines."""
    return f"{target.root}/work/{name}"


def is_quiet(step: Command) -> bool:
    return step.argv[0] in QUIET


def look_command(target: Target, name: str) -> Command:
    """Ask whether it runs, or ran to its end."""
    return _command(target, _order(target, name, "look"), f"look for the job {name}")


def follow_command(target: Target, job: Job, *, offset: int, timeout_s: float) -> Command:
    """Print what is told of it from a place in its log on; the last line is how it ended."""
    order = replace(_order(target, job.name, "follow"), key=job.identity, offset=offset)
    return _command(target, order, job.what, timeout_s)


def start_command(target: Target, job: Job) -> Command:
    """Begin it anew. Its steps and the agent that does them lie on the host: it needs nobody from then on."""
    order = replace(_order(target, job.name, "start"), timeout_s=job.bound_s)
    document = JobStart(job.document, job.credentials)
    command = _command(target, order, f"begin: {job.what}", 300.0)
    return replace(command, stdin=document.to_json().encode())


def forget_command(target: Target, name: str) -> Command:
    return _command(target, _order(target, name, "forget"), "put the finished job away")


def _order(target: Target, name: str, verb: Literal["look", "start", "follow", "forget"]) -> JobOrder:
    return JobOrder(verb, directory_of(target, name), unit_of(name))


def _command(target: Target, order: JobOrder, what: str, bound_s: float = 60.0) -> Command:
    return target.agent.command("job", order.to_json(), what=what, timeout_s=bound_s)


def run_job(host: Host, job: Job, listen: Listen = progress_of) -> tuple[Result, ...]:
    """Do the job, or go on with it, and return each step's result. Raises DeployError naming the step that failed."""
    if host.target.runner == "supervisor":
        return tuple(_run_here(host, step, listen) for step in job.steps)
    found = _look(host.target, host.executor, job.name)
    is_same = found.key == job.identity
    if found.state == "running" and is_same:
        host.reporter.say(f"{_capital(job.what)}: runs on {host.target.name} already, following it")
    elif not (found.is_ok and is_same):
        if found.state == "running":
            host.reporter.say(f"Ending another job of this kind first: {unit_of(job.name)} on {host.target.name}")
        check(host.executor, start_command(host.target, job))
    return _Follower(host, job, listen).follow()


def is_underway(target: Target, executor: Executor, name: str, key: str) -> bool:
    """Whether this very job runs on the host, or ended well there and was not forgotten."""
    if target.runner == "supervisor":
        return False
    found = _look(target, executor, name)
    return found.key == key and (found.state == "running" or found.is_ok)


def wait_for_job(host: Host, name: str, what: str) -> None:
    """Wait while a job of that name runs, whatever it is: for what must not be ended half-way. Bounded by WAIT_S."""
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
    return _look(host.target, host.executor, name).state == "running"


def _look(target: Target, executor: Executor, name: str) -> JobState:
    return ask(executor, look_command(target, name), JobState)


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
    """Shows what the host tells of a job, and goes on where it was when the connection breaks."""

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
                    end = ask(self.host.executor, command, JobEvent, self._hear)
                except ConnectionLostError as error:
                    self._wait_for_connection(error)
                else:
                    return self._results(end.event)

    def _wait_for_connection(self, error: ConnectionLostError) -> None:
        self.failures += 1
        if self.failures > RECONNECTIONS:
            advice = f"{_capital(self.job.what)}: it continues there. Run the same command again to follow it."
            raise ConnectionLostError(*error.problems, advice) from None
        self.host.reporter.say("The connection broke; the job continues there. Connecting again", style="yellow")
        time.sleep(min(2.0**self.failures, 30.0))

    def _hear(self, line: str) -> None:
        try:
            event = JobEvent.from_json(line).event
        except MessageError:
            return  # a beat, or a line that the connection cut
        if isinstance(event, (JobEnded, JobLost)):
            return
        self.offset += len(line) + 1
        self.failures = 0
        if isinstance(event, StepBegan):
            self._begin(event)
        elif isinstance(event, LogLine) and self._tell is not None:
            self._tell(event.line)

    def _begin(self, step: StepBegan) -> None:
        self._phases.close()
        self.step, self._tell = step.what, None
        if not step.is_quiet:
            self._tell = self.listen(self._phases.enter_context(self.host.reporter.phase(_capital(self.step))))

    def _results(self, end: object) -> tuple[Result, ...]:
        if not isinstance(end, JobEnded):
            unit, why = unit_of(self.job.name), end.why if isinstance(end, JobLost) else "no word of its end"
            raise DeployError(
                f"{self.host.target.name}: {unit} ended without a result: {why}. Run the same command "
                f"again; `journalctl -u {unit}` there has the rest."
            )
        results = tuple(Result(status=each.status, stdout=each.stdout, stderr=each.stderr) for each in end.results)
        for result in results:
            _succeeded(self.step, result)  # the last one, if any: no step follows one that failed
        return results


def _capital(text: str) -> str:
    return text[0].upper() + text[1:]
