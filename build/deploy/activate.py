"""Make a host run a release: switch, restart what changed, wait until every model answers, else go back.

The order keeps a killed deployment harmless. `current` switches in one rename; each restart is one signal, after which
the runner itself starts the engine with whatever `current` says; only a release whose models all answered becomes
`confirmed`. So whenever this stops, every engine runs the old release or the new one, and the next run, which compares
what runs with what should, does the rest.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from agent.message import MessageError
from agent.protocol import AttemptMark, ReadyEvent, ReadyOrder, ReadyOutcome
from build.deploy.diff import Desired, Diff
from build.deploy.facts import Facts
from build.deploy.upload import confirm_command, switch_command
from build.errors import DeployError, UnnotedError
from build.progress import Phase
from build.remote.command import Command, Result
from build.remote.executor import check
from build.remote.host import Host
from build.remote.target import Target
from build.runtime import runner
from build.runtime.attempt import begin, why
from deployment.quantities import READY_TIMEOUT_S
from deployment.render.release import OWN_KEY_FILE

READY_ENDS_S = 1000.0
"""For old engines that finish their requests first, and for the last answer."""
READY_STEPS = 4
"""Times that a model may take that long: to be started, to load, to be ready, to answer (agent/wait_ready.py)."""


def activate(host: Host, desired: Desired, diff: Diff, *, timeout_s: float = READY_TIMEOUT_S) -> Mapping[str, str]:
    """Carry out a change and return each model's first words. Raises DeployError when a model does not answer.

    Engines restart one after another, each only when the one before answers: one model at most is away at a time.
    """
    mark = begin(host.target, host.executor)
    if diff.is_switch:
        check(host.executor, switch_command(host.target, desired.release))
    _processes(host, diff)
    for name in diff.restart:
        check(host.executor, runner.restart_command(host.target, name))
        wait_ready(host, desired, [name], timeout_s=timeout_s, mark=mark)
    asked = [*desired.always, *diff.prove]
    answers = wait_ready(host, desired, asked, timeout_s=timeout_s, mark=mark)
    with bookkeeping(host, desired.release):
        check(host.executor, confirm_command(host.target, desired.release))
    return answers


@contextmanager
def bookkeeping(host: Host, release: str) -> Iterator[None]:
    """Write down something about a release that serves. Raises UnnotedError where that fails, whatever the reason."""
    try:
        yield
    except DeployError as error:
        said = f"{host.target.name}: {release} serves, its models all answered, but not all of that could be noted"
        step = "Correct the cause, then run the same command again"
        raise UnnotedError(f"{said}: see below. {step}.", *error.problems) from None


def _processes(host: Host, diff: Diff) -> None:
    """Bring the runner up, or tell it what came and went; then the gateway, so that no request meets a gap."""
    with host.reporter.phase("Tell the process runner"):
        for command in runner.change_commands(host.target, diff):
            check(host.executor, command)


def restart_and_wait(host: Host, desired: Desired, name: str, before: Facts) -> None:
    """Restart one process as it is, and wait until what it serves answers again."""
    names, mark = desired.always if name == "gateway" else [name], begin(host.target, host.executor)
    if name in desired.on_demand:  # its start is the gateway's, which knows what there is memory for
        check(host.executor, runner.unload_command(host.target, name))
    else:
        check(host.executor, runner.restart_command(host.target, name))
    wait_ready(host, desired, names, timeout_s=READY_TIMEOUT_S, ended=_pids(before, name), mark=mark)


def _pids(facts: Facts, name: str) -> list[int]:
    """The processes under one name that a restart ends."""
    supervised = (facts.runner or {}).get(name)
    launched = facts.engines.get(name)
    return [process.pid for process in (supervised, launched) if process is not None]


def wait_ready(
    host: Host,
    desired: Desired,
    names: Iterable[str],
    *,
    timeout_s: float,
    ended: Sequence[int] = (),
    mark: AttemptMark | None = None,
) -> Mapping[str, str]:
    """Wait until models answer a prompt through the gateway; DeployError carries each one's problem and log.

    Processes in `ended` do not count: they are on their way out. Nor does what they wrote before the `mark`.
    """
    chosen = {name: desired.engines[name] for name in names}
    command = wait_ready_command(host.target, desired, chosen, timeout_s=timeout_s, ended=ended)
    with host.reporter.phase(f"Wait for {', '.join(chosen) or 'the gateway'} to answer") as phase:
        result = host.executor.run(command, lambda line: _show(phase, line))
    outcome = _outcome(result)
    if outcome.problems:
        problems = outcome.problems.items()
        raise DeployError(*(_problem(host, name, text, desired.release, mark) for name, text in problems))
    return {name: answer for name, answer in outcome.answers.items() if answer is not None}


def wait_ready_command(
    target: Target, desired: Desired, engines: Mapping[str, str], *, timeout_s: float, ended: Sequence[int] = ()
) -> Command:
    """Watch from the host itself: nothing has to reach the engines from outside."""
    order = ReadyOrder(
        root=target.root,
        runner=target.runner,
        gateway=desired.address,
        config_digest=desired.gateway_config_digest,
        unit_digest=desired.gateway_unit,
        engines=engines,
        ended=tuple(ended),
        timeout_s=timeout_s,
        keys=OWN_KEY_FILE if target.keys else None,
        on_demand=tuple(name for name in engines if name in desired.on_demand),
    )
    return target.agent.command(
        "wait-ready",
        order.to_json(),
        what="wait for the models to answer",
        timeout_s=READY_STEPS * timeout_s * max(1, len(engines)) + READY_ENDS_S,
    )


def _show(phase: Phase, line: str) -> None:
    try:
        event = ReadyEvent.from_json(line)
    except MessageError:
        return
    phase.part(event.model, f"{event.state} after {event.after_s} s", is_done=event.state == "answered")


def _outcome(result: Result) -> ReadyOutcome:
    try:
        return ReadyOutcome.from_json(result.stdout.strip().rpartition("\n")[2])
    except MessageError:
        tail = result.stderr.strip()[-500:]
        raise DeployError(f"wait-ready: no answer from the host: {tail!r}. Run `fab doctor`.") from None


def _problem(host: Host, name: str, text: str, release: str, mark: AttemptMark | None) -> str:
    reason, words = why(host.target, host.executor, name, mark, release)
    lines = "".join(f"\n    {line}" for line in words)
    text = f"{text}: {reason}" if reason else text
    return f"{name}: does not answer, got: {text}. Correct the cause; `fab logs {name}` has all of it:{lines}"
