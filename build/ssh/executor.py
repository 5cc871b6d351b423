"""Run commands on another host: one connection, one channel a command, the same verbs as on this computer."""

import shlex
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import paramiko

from build.command import Command, Result
from build.errors import DeployError
from build.executor import OnLine
from build.onhost import script
from build.ssh.connection import CHANNEL_TIMEOUT_S, HostConnection
from build.ssh.session import Pulse, Running, SshSession, lost

# Whoever takes over after a lost connection waits for this long; what may run longer must end by itself before.
GUARDED_FROM_S = 60.0
SESSION_LIMIT_S = 24 * 3600.0
SHELL_LINE_BYTES_MAX = 128 * 1024  # MAX_ARG_STRLEN of Linux: the shell gets the whole line as one argument


def command_line(command: Command, *, is_root: bool, python: str) -> str:
    """Build the one line that a host's shell gets: every word quoted, and a bound that holds without us. Pure."""
    argv = command.argv
    if command.cwd is not None or command.env:
        place = (f"--chdir={command.cwd}",) if command.cwd is not None else ()
        argv = ("env", *place, *(f"{name}={value}" for name, value in command.env.items()), *argv)
    if command.timeout_s > GUARDED_FROM_S:
        argv = (python, "-I", "-c", script("guard.py").decode(), f"{command.timeout_s:g}", *argv)
    else:
        argv = ("timeout", "--signal=KILL", f"{command.timeout_s:g}", *argv)
    return shlex.join(argv if is_root else ("sudo", "-n", "--", *argv))


class SshExecutor:
    """Runs commands as root on a host. Connects when first used, and again after the connection was lost."""

    def __init__(self, connect: Callable[[], HostConnection], *, python: str = "/usr/bin/python3") -> None:
        self._connect, self._python = connect, python
        self._connection: HostConnection | None = None
        self._pulse: Pulse | None = None
        self._connecting = threading.RLock()  # a lock's signs of life come from a thread of their own

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        """Run to the end. Raises DeployError as on this computer; ConnectionLostError when the host is gone."""
        channel, pulse, user = self._start(command)
        running = Running(channel, command, pulse, on_line)
        try:
            running.feed(command.stdin or b"")
            result = running.result()
        finally:
            running.close()
        problem = sudo_problem(result, pulse.place, user)
        if problem is not None:
            raise DeployError(problem)
        return result

    def open(self, command: Command) -> SshSession:
        """Start a command that stays. When the connection is lost, it ends on the host too."""
        channel, pulse, _ = self._start(replace(command, timeout_s=SESSION_LIMIT_S))
        return SshSession(channel, command, pulse)

    def close(self) -> None:
        """End the connection. Idempotent; the next command opens another."""
        with self._connecting:
            if self._connection is not None:
                self._connection.close()
            self._connection = self._pulse = None

    def _start(self, command: Command) -> tuple[Any, Pulse, str]:
        """Open a channel and start the command in it."""
        connection, pulse = self._connected()
        line = command_line(command, is_root=connection.user == "root", python=self._python)
        assert len(line.encode()) < SHELL_LINE_BYTES_MAX, f"{command.what}: what is long goes in by stdin"
        try:
            channel = connection.transport.open_session(timeout=CHANNEL_TIMEOUT_S)
            channel.exec_command(line)
        except (paramiko.SSHException, OSError, EOFError) as error:
            connection.close()
            raise lost(pulse.place, command, str(error) or type(error).__name__) from None
        return channel, pulse, connection.user

    def _connected(self) -> tuple[HostConnection, Pulse]:
        with self._connecting:
            connection, pulse = self._connection, self._pulse
            if connection is None or pulse is None or not pulse.is_alive:
                self.close()
                connection = self._connection = self._connect()
                pulse = self._pulse = Pulse(connection.transport, connection.route.place)
            return connection, pulse


def sudo_problem(result: Result, place: str, user: str) -> str | None:
    """Say that the user may not become root, where that is why a command failed."""
    line = result.stderr.strip().partition("\n")[0]
    is_missing = result.status == 127 and "sudo: " in line and "not found" in line
    if user == "root" or not (is_missing or (result.status == 1 and line.startswith("sudo: "))):
        return None
    step = "Grant the account roles/compute.osAdminLogin, or, without OS Login, give the user NOPASSWD in sudoers"
    return f"{place}: {user} cannot become root there, got {line.rstrip('.')}. {step}."
