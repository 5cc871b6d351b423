"""Drive the process runner of a host: supervisord on the local target, systemd on a host of its own."""

from collections.abc import Iterable
from typing import Protocol

from build.remote.command import Command
from build.remote.target import Target
from build.runtime import supervisord, systemd
from build.runtime.diff import ProcessDiff

LOG_TIMEOUT_S = 60.0


class Runner(Protocol):
    """What both modules have to offer."""

    OWN_LOG: str

    def change_commands(self, target: Target, diff: ProcessDiff) -> list[Command]: ...
    def restart_command(self, target: Target, name: str) -> Command: ...
    def unload_command(self, target: Target, name: str) -> Command: ...
    def stop_command(self, target: Target) -> Command: ...
    def log_command(self, target: Target, name: str, *, lines: int, follow: bool, timeout_s: float) -> Command: ...


SYSTEMD: Runner = systemd
SUPERVISOR: Runner = supervisord


def change_commands(target: Target, diff: ProcessDiff) -> list[Command]:
    """Start the runner, or tell it what came and went."""
    return _of(target).change_commands(target, diff)


def restart_command(target: Target, name: str) -> Command:
    """Restart one process; the runner carries it out by itself."""
    return _of(target).restart_command(target, name)


def unload_command(target: Target, name: str) -> Command:
    """End one engine on demand and wait for it; the gateway has it started when it is asked for."""
    return _of(target).unload_command(target, name)


def stop_command(target: Target) -> Command:
    """End every process; returns when they are gone."""
    return _of(target).stop_command(target)


def sweep_commands(target: Target) -> list[Command]:
    """Kill what engines left behind whose launcher and runner were both killed. systemd's cgroups leave nothing."""
    return [supervisord.sweep_command(target)] if target.runner == "supervisor" else []


def log_command(
    target: Target, name: str, *, lines: int, follow: bool = False, timeout_s: float = LOG_TIMEOUT_S
) -> Command:
    """Read the log of an engine, of the gateway, or of the runner."""
    return _of(target).log_command(target, name, lines=lines, follow=follow, timeout_s=timeout_s)


def log_names(target: Target, engines: Iterable[str]) -> list[str]:
    """Name every log that a host has."""
    return [*engines, "gateway", _of(target).OWN_LOG]


def _of(target: Target) -> Runner:
    return SYSTEMD if target.runner == "systemd" else SUPERVISOR
