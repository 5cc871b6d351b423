"""Run commands on another host: one channel a command, the same verbs as on this computer."""

import secrets
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import paramiko

from build.errors import DeployError, NoConnectionError
from build.remote.agent import Carriage, carrying
from build.remote.command import Command, Result
from build.remote.executor import OnLine
from build.remote.ssh.connection import CHANNEL_TIMEOUT_S, HostConnection
from build.remote.ssh.login import Login
from build.remote.ssh.pulse import Pulse, lost
from build.remote.ssh.session import Running, SshSession
from build.remote.ssh.wire import Wire

SESSION_LIMIT_S = 24 * 3600.0
CONNECTIONS_MAX = 4
"""The lock's, a command's, and one for each whose end sshd has not noticed yet."""


class SshExecutor:
    """Runs commands as root on a host. Connects when first used, and again after the connection was lost."""

    def __init__(
        self,
        connect: Callable[[], HostConnection],
        *,
        python: str = "/usr/bin/python3",
        say: Callable[[str], None] = lambda _text: None,
    ) -> None:
        """`say` gets what a person may want to know and what stops nothing."""
        self._connect, self._python, self._say = connect, python, say
        self._connections: list[tuple[HostConnection, Pulse]] = []
        self._connecting = threading.RLock()  # a lock's signs of life come from a thread of their own
        self._is_noise_told = False
        self._carriage = Carriage()

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        """Run to the end. Raises DeployError as on this computer; ConnectionLostError when the host is gone."""
        return self._carriage.run(lambda each: self._run(each, on_line), command)

    def _run(self, command: Command, on_line: OnLine | None) -> Result:
        wire, pulse, login, tag = self._start(command)
        running = Running(wire, command, pulse, on_line)
        try:
            running.feed(login.order(command, tag), command.stdin or b"")
            result = running.result()
        finally:
            wire.close()
            self._tell_noise(login, wire)
        if wire.has_ended_unsaid and result.status in (126, 127):
            raise DeployError(login.python_problem(wire.noise("root")))
        return result

    def open(self, command: Command) -> SshSession:
        """Start a command that stays. When the connection is lost, it ends on the host too."""
        limited = replace(carrying(command), timeout_s=SESSION_LIMIT_S)
        wire, pulse, login, tag = self._start(limited)
        return SshSession(wire, limited, pulse, login.order(limited, tag))

    def close(self) -> None:
        """End the connections. Idempotent; the next command opens another."""
        with self._connecting:
            for connection, _ in self._connections:
                connection.close()
            self._connections = []

    def _start(self, command: Command) -> tuple[Wire, Pulse, Login, str]:
        """Open a channel, and log in up to where the command can be sent."""
        connection, pulse, channel = self._channel(command)
        login = Login(user=connection.user, place=pulse.place, python=self._python)
        tag = f"axion-{secrets.token_hex(8)}"
        try:
            channel.exec_command(login.line(tag))
        except (paramiko.SSHException, OSError, EOFError) as error:
            connection.close()
            raise lost(pulse.place, command, str(error) or type(error).__name__) from None
        wire = Wire(channel, tag)
        try:
            wire.enter(login, pulse, command)
        except BaseException:
            wire.close()
            raise
        return wire, pulse, login, tag

    def _channel(self, command: Command) -> tuple[HostConnection, Pulse, Any]:
        """Open a channel on the first connection that takes one more: sshd bounds their number (MaxSessions)."""
        for index in range(CONNECTIONS_MAX):
            connection, pulse = self._connected(index)
            try:
                return connection, pulse, connection.transport.open_session(timeout=CHANNEL_TIMEOUT_S)
            except paramiko.ChannelException:
                continue
            except (paramiko.SSHException, OSError, EOFError) as error:
                connection.close()
                raise lost(pulse.place, command, str(error) or type(error).__name__) from None
        what = f"{pulse.place}: refuses every session on {CONNECTIONS_MAX} connections"
        raise DeployError(f"{what}. Raise MaxSessions of its sshd.")

    def _connected(self, index: int) -> tuple[HostConnection, Pulse]:
        with self._connecting:
            for each in [each for each in self._connections if not each[1].is_alive]:
                each[0].close()
                self._connections.remove(each)
            if index >= len(self._connections):
                try:
                    connection = self._connect()
                except DeployError as error:
                    raise NoConnectionError(*error.problems) from None
                self._connections.append((connection, Pulse(connection.transport, connection.route.place)))
                return self._connections[-1]
            return self._connections[index]

    def _tell_noise(self, login: Login, wire: Wire) -> None:
        said = None if self._is_noise_told else login.noise(wire.noise(""), wire.noise("shell"))
        if said is not None:
            self._is_noise_told = True
            self._say(said)
