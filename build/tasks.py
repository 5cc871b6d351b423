"""The tasks a person types. Each reads, decides, acts and tells; what it does is decided elsewhere.

Exit codes: 0 done or nothing to do, 1 a problem that the message explains, 130 interrupted.
"""

import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from fabric import task
from invoke.exceptions import Exit

from build import runner, show
from build.activation import GATE_TIMEOUT_S, Host, restart_and_gate
from build.change import Wanted
from build.command import Command
from build.deploy import deploy, earlier_release, switch_to
from build.doctor import host_checks
from build.errors import DeployError
from build.executor import LocalExecutor, check, deploy_lock
from build.facts import Facts, gather, probe_command
from build.pins import load_pins
from build.prepare import PINS, Prepared, prepare
from build.progress import Reporter, terminal
from build.target import REPOSITORY, local_target
from build.verify import verify as run_verify
from deployment.errors import ConfigError

Body = TypeVar("Body", bound=Callable[..., None])
FOLLOW_LIMIT_S = 24 * 3600.0


def problems_are_messages(body: Body) -> Body:
    """Turn problems of a person's making into lines on stderr and exit code 1."""

    @functools.wraps(body)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        try:
            body(*args, **kwargs)
        except (ConfigError, DeployError) as error:
            console = terminal(stderr=True)
            for problem in error.problems:
                console.print(problem, style="red", markup=False)
            raise Exit(code=1) from None
        except KeyboardInterrupt:
            print("Interrupted. What serves goes on serving; the same command finishes the job.", file=sys.stderr)
            raise Exit(code=130) from None

    return wrapped  # type: ignore[return-value] # functools.wraps keeps the signature that Fabric reads


def this_computer() -> Host:
    return Host(local_target(), LocalExecutor(), Reporter())


def models_path(models: str | None) -> Path:
    """The models file: --models, else AXION_MODELS, else models.yaml of the checkout."""
    return Path(models or os.environ.get("AXION_MODELS") or REPOSITORY / "models.yaml")


def look(host: Host) -> Facts:
    """What the host has and runs, whatever any models file says."""
    return gather(host.executor, probe_command(host.target.root, {}, [], python=host.target.python))


def current(host: Host) -> tuple[Facts, Wanted]:
    """What the host should run by its own current release."""
    facts = look(host)
    description = facts.release(facts.current)
    if facts.current is None or not description:
        raise DeployError(f"{host.target.name}: nothing is deployed, got no release. Run `fab build-and-deploy`.")
    return facts, Wanted.described(facts.current, description)


@task(help={"models": "models file (default: AXION_MODELS, else models.yaml)", "json": "print JSON"})
@problems_are_messages
def plan(_context: Any, models: str | None = None, json: bool = False) -> None:
    """Show what a deployment would change, and touch nothing."""
    host = this_computer()
    prepared = prepare(models_path(models), host.target, host.executor)
    if json:
        show.print_json(show.change_as_json(prepared))
        return
    console = show.stdout()
    console.print(show.sizes(prepared))
    for step in show.steps(prepared) or [_nothing(prepared)]:
        console.print(step, markup=False)
    console.print(f"{host.reporter.elapsed_s:.1f} s", style="dim")


@task(help={"models": "models file (default: AXION_MODELS, else models.yaml)", "timeout_s": "for the models to answer"})
@problems_are_messages
def build_and_deploy(_context: Any, models: str | None = None, timeout_s: float = GATE_TIMEOUT_S) -> None:
    """Make the host serve the models file: build, render, switch, restart what changed, wait for answers."""
    run_build_and_deploy(this_computer(), models_path(models), timeout_s)


def run_build_and_deploy(host: Host, models_file: Path, timeout_s: float = GATE_TIMEOUT_S) -> None:
    """Deploy under the lock; the same for the task and the demonstration."""
    with deploy_lock(Path(host.target.root), "fab build-and-deploy"):
        prepared = prepare(models_file, host.target, host.executor)
        if prepared.change.is_nothing:
            host.reporter.say(f"{_nothing(prepared)} {host.reporter.elapsed_s:.1f} s")
            return
        deploy(prepared, host, timeout_s=float(timeout_s))
    address = prepared.deployment.gateway.listen[0]
    host.reporter.say(
        f"{prepared.wanted.release} serves {', '.join(prepared.deployment.models)} at http://{address}/v1 "
        f"after {host.reporter.elapsed_s:.1f} s",
        style="bold green",
    )


@task(help={"json": "print JSON"})
@problems_are_messages
def status(_context: Any, json: bool = False) -> None:
    """Show every model: state, process, whether it runs the current release, requests."""
    facts, wanted = current(this_computer())
    rows = show.status_rows(facts)
    if json:
        show.print_json({"release": facts.current, "confirmed": facts.confirmed, "models": rows})
        return
    console = show.stdout()
    console.print(show.status_table(rows))
    proven = "all models answered" if facts.confirmed == facts.current else "not yet proven"
    console.print(f"release {facts.current} ({proven}), http://{wanted.address}/v1")


@task(positional=["name"], help={"lines": "how many", "follow": "go on until interrupted", "json": "print JSON"})
@problems_are_messages
def logs(_context: Any, name: str, lines: int = 100, follow: bool = False, json: bool = False) -> None:
    """Print the log of a model, of the gateway, or of the runner (supervisord)."""
    host = this_computer()
    path = Path(host.target.root) / "logs" / f"{Path(name).name}.log"
    if not path.is_file():
        known = ", ".join(sorted(each.stem for each in path.parent.glob("*.log"))) or "none"
        raise DeployError(f"logs: no log of that name, got {name}. Use one of: {known}.")
    argv = ("tail", "-n", str(int(lines)), *(("--follow=name", "--retry") if follow else ()), "--", str(path))
    command = Command(argv=argv, what=f"read {name}'s log", timeout_s=FOLLOW_LIMIT_S if follow else 60.0)
    if json:
        show.print_json({"log": name, "lines": check(host.executor, command).stdout.splitlines()})
        return
    host.executor.run(command, print)


@task(positional=["name"])
@problems_are_messages
def restart(_context: Any, name: str) -> None:
    """Restart one model (or the gateway) and wait until it answers; the others go on serving."""
    host = this_computer()
    with deploy_lock(Path(host.target.root), f"fab restart {name}"):
        facts, wanted = current(host)
        if name not in (*wanted.engines, "gateway"):
            raise DeployError(f"restart: not deployed, got {name}. Use one of: {', '.join(wanted.engines)}, gateway.")
        restart_and_gate(host, wanted, name, facts)
    host.reporter.say(f"{name} answers after {host.reporter.elapsed_s:.1f} s", style="bold green")


@task(help={"release": "its name (default: the release before the current one)"})
@problems_are_messages
def rollback(_context: Any, release: str | None = None) -> None:
    """Return to the release before the current one, or to the one named, and wait until its models answer."""
    host = this_computer()
    with deploy_lock(Path(host.target.root), "fab rollback"):
        chosen = release or earlier_release(look(host))
        if chosen is None:
            raise DeployError(f"rollback: no earlier release on {host.target.name}, got none. Run `fab releases`.")
        switch_to(host, chosen)
    host.reporter.say(f"{chosen} serves again after {host.reporter.elapsed_s:.1f} s", style="bold green")


@task(help={"json": "print JSON"})
@problems_are_messages
def releases(_context: Any, json: bool = False) -> None:
    """List the releases on the host, oldest first."""
    facts = look(this_computer())
    rows = [
        {"release": name, "current": name == facts.current, "confirmed": name == facts.confirmed}
        for name in facts.releases
    ]
    if json:
        show.print_json(rows)
        return
    for row in rows:
        marks = [word for word in ("current", "confirmed") if row[word]]
        print(row["release"], *marks)


@task
@problems_are_messages
def stop(_context: Any) -> None:
    """End every engine, the gateway and the process runner; nothing of them is left."""
    host = this_computer()
    with deploy_lock(Path(host.target.root), "fab stop"):
        facts = look(host)
        if facts.runner is None and not facts.engines:
            host.reporter.say("Nothing runs.")
            return
        if facts.runner is not None:
            with host.reporter.phase("Stop engines and gateway"):
                check(host.executor, runner.stop_command(host.target))
        check(host.executor, runner.sweep_command(host.target))
    host.reporter.say(f"Stopped after {host.reporter.elapsed_s:.1f} s. `fab build-and-deploy` starts it again.")


@task(help={"json": "print JSON"})
@problems_are_messages
def verify(_context: Any, json: bool = False) -> None:
    """Prove that files, environment and processes are what was deployed, and that every model answers."""
    host = this_computer()
    checks = list(run_verify(host, look(host), load_pins(PINS)))
    _report(checks, as_json=json)


@task(help={"stack": "look at this stack's cloud and `pulumi up` instead of at this computer", "json": "print JSON"})
@problems_are_messages
def doctor(_context: Any, stack: str | None = None, json: bool = False) -> None:
    """Look for what would stand in the way of a deployment, and say what to do about it."""
    from build.cloud.tasks import doctor_checks  # noqa: PLC0415 - which imports this module

    _report(doctor_checks(stack) if stack else host_checks(look(this_computer())), as_json=json)


def _report(checks: list[dict[str, str]], *, as_json: bool) -> None:
    if as_json:
        show.print_json(checks)
    else:
        show.stdout().print(show.checks_table(checks))
    if any(each["verdict"] == "fail" for each in checks):
        raise Exit(code=1)


def _nothing(prepared: Prepared) -> str:
    return f"Nothing to do: {prepared.wanted.release} is what {prepared.models_file.name} says, and it serves."
