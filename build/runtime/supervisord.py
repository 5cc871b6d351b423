"""Drive supervisord, which keeps a local target's processes running."""

import sys
from collections.abc import Sequence
from pathlib import Path

from agent.protocol import RunnerOrder, RunnerStep
from build.remote.command import Command
from build.remote.target import Target
from build.runtime.diff import ProcessDiff

# Longer than the longest drain that models.yaml allows.
STOP_TIMEOUT_S = 700.0
OWN_LOG = "supervisord"
"""What `fab logs` calls the log of the runner itself."""
SUPERVISORD = Path(sys.executable).with_name("supervisord")


def change_commands(target: Target, diff: ProcessDiff) -> list[Command]:
    """Start the runner, or tell it what came and went.

    The gateway goes first: it must not send a request to an engine that is about to leave.
    """
    if not diff.is_runner_up:
        return [start_command(target)]
    gateway: Sequence[RunnerStep] = {
        "keep": [],
        "start": [RunnerStep("start", ("gateway",))],
        "reload": [RunnerStep("reload", ("gateway",))],
        "restart": [RunnerStep("terminate", ("gateway",))],
    }[diff.gateway]
    unloads = [RunnerStep("stop", (name,)) for name in diff.unload]
    starts = [RunnerStep("start", (name,)) for name in diff.start]
    return [tell(target, [*gateway, *unloads, RunnerStep("update"), *starts], "tell the process runner")]


def start_command(target: Target) -> Command:
    """Start supervisord, which starts everything in its configuration. Returns when it has become a daemon."""
    kept = (f"{name}={value}" for name, value in target.environment.items())
    return Command(
        argv=("env", "-i", *kept, str(SUPERVISORD), "-c", f"{target.current}/supervisord.conf"),
        what="start the process runner",
        cwd=target.root,
        timeout_s=60,
    )


def restart_command(target: Target, name: str) -> Command:
    """Restart one process: one signal, after which the runner starts it again by itself."""
    return tell(target, [RunnerStep("restart", (name,))], f"restart {name}")


def unload_command(target: Target, name: str) -> Command:
    """End one engine on demand and wait for it."""
    return tell(target, [RunnerStep("stop", (name,))], f"unload {name}")


def stop_command(target: Target) -> Command:
    """End every process and the runner; returns when they are gone."""
    return tell(target, [RunnerStep("shutdown")], "stop every process")


def sweep_command(target: Target) -> Command:
    """Kill what engines left behind whose launcher and runner were both killed."""
    what = "look for processes that lost their launcher"
    return target.agent.command("launch", "--sweep", "--root", target.root, what=what, timeout_s=120)


def log_command(target: Target, name: str, *, lines: int, follow: bool, timeout_s: float) -> Command:
    """Read a process's log."""
    argv = ("tail", "-n", str(lines), *(("--follow=name", "--retry") if follow else ()), "--", log_path(target, name))
    return Command(argv=argv, what=f"read {name}'s log", timeout_s=timeout_s)


def log_path(target: Target, name: str) -> str:
    """Name the file that supervisord writes a process's output to."""
    return f"{target.root}/logs/{name}.log"


def tell(target: Target, steps: Sequence[RunnerStep], what: str) -> Command:
    """Have the runner do things in order."""
    order = RunnerOrder(root=target.root, steps=tuple(steps))
    return target.agent.command("supervisord", order.to_json(), what=what, timeout_s=STOP_TIMEOUT_S + 30)
