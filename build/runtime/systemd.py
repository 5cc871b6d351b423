"""Drive systemd, which keeps the processes of a host running. What each step does: agent/systemd.py."""

from collections.abc import Sequence

from agent.protocol import RunnerOrder, RunnerStep
from build.remote.command import Command
from build.remote.target import USER, Target
from build.runtime.diff import ProcessDiff

# Longer than the longest drain that models.yaml allows, twice: a gateway and the one that stood in for it.
STOP_TIMEOUT_S = 700.0
TELL_TIMEOUT_S = 2 * STOP_TIMEOUT_S
OWN_LOG = "systemd"
"""What `fab logs` calls the log of the runner itself."""


def change_commands(target: Target, diff: ProcessDiff) -> list[Command]:
    """Put the release's units in place, then tell systemd what came and went.

    The gateway goes first: it must not send a request to an engine that is about to leave.
    """
    if not diff.is_runner_up:
        return [start_command(target)]
    gateway: Sequence[RunnerStep] = {
        "keep": [],
        "start": [RunnerStep("start", ("gateway",))],
        "reload": [RunnerStep("reload")],
        "restart": [RunnerStep("restart", ("gateway",))],
    }[diff.gateway]
    unloads = [RunnerStep("stop", diff.unload)] if diff.unload else []
    coming = [RunnerStep("start", diff.start)] if diff.start else []
    steps = [RunnerStep("install"), *keys(target), *gateway, *unloads, RunnerStep("leave"), *coming]
    return [tell(target, steps, "tell systemd what changed")]


def start_command(target: Target) -> Command:
    """Start everything, one engine after another, now and at every boot."""
    return tell(target, [RunnerStep("install"), *keys(target), RunnerStep("start")], "start engines and gateway")


def keys(target: Target) -> Sequence[RunnerStep]:
    """Bring the gateway's keys, where clients must send one; a running gateway takes them over by itself."""
    return [RunnerStep("keys")] if target.keys else []


def keys_commands(target: Target) -> list[Command]:
    """What a deployment does that changes nothing else: the keys may be others."""
    return [tell(target, keys(target), "bring the keys of the gateway")] if target.keys else []


def restart_command(target: Target, name: str) -> Command:
    """Restart one engine, or hand the gateway over; a job of systemd's own."""
    return tell(target, [RunnerStep("restart", (name,))], f"restart {name}")


def unload_command(target: Target, name: str) -> Command:
    """End one engine on demand and wait for it."""
    return tell(target, [RunnerStep("stop", (name,))], f"unload {name}")


def stop_command(target: Target) -> Command:
    """End every process; returns when they are gone. They start again at the next boot or deployment."""
    return tell(target, [RunnerStep("shutdown")], "stop every process")


def log_command(target: Target, name: str, *, lines: int, follow: bool, timeout_s: float) -> Command:
    """Read a process's log, systemd's own words about it among its own."""
    units = {"gateway": ["gateway.service", "gateway-handover.service", "gateway.socket"], OWN_LOG: ["axion.target"]}
    chosen = [f"--unit={unit}" for unit in units.get(name, [f"vllm@{name}.service"])]
    # The services write to a journal of their own, systemd to the system's: "+" reads both.
    words = ("--namespace=+axion", "--no-pager", "--output=short-iso", f"--lines={lines}", "--quiet")
    return Command(
        argv=("journalctl", *words, *chosen, *(("--follow",) if follow else ())),
        what=f"read {name}'s log",
        timeout_s=timeout_s,
    )


def tell(target: Target, steps: Sequence[RunnerStep], what: str) -> Command:
    """Have systemd do things in order."""
    order = RunnerOrder(root=target.root, steps=tuple(steps), user=target.user or USER)
    return target.agent.command("systemd", order.to_json(), what=what, timeout_s=TELL_TIMEOUT_S)
