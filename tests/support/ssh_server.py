"""A real sshd on loopback, with keys of its own, for one test after another."""

import getpass
import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from build.remote.ssh.connection import Route
from build.remote.ssh.host_keys import KnownKeys, keys_in_file
from tests.support.processes import tree
from tests.support.share import eventually
from tests.support.web import free_port

CONFIG = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
MaxSessions 20
LogLevel VERBOSE
"""


class SshServer:
    """sshd as a child of the test, which this user may log in to with `user_key`."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.user, self.identity = getpass.getuser(), folder / "user_key"
        self.known_hosts = folder / "known_hosts"
        self.settings: tuple[str, ...] = ()
        """Lines of sshd_config that count before the usual ones, from the next start on."""
        self._process: subprocess.Popen[bytes] | None = None
        make_key(self.identity)
        self.change_host_key()
        self.remember()

    def change_host_key(self) -> None:
        """Make another host key; the server takes it at its next start."""
        make_key(self.folder / "host_key")

    @property
    def public_key(self) -> str:
        """Type and base64 of the present host key."""
        return " ".join((self.folder / "host_key.pub").read_text().split()[:2])

    def remember(self) -> None:
        """Write the present host key to the known hosts."""
        self.known_hosts.write_text(f"[127.0.0.1]:{self.port} {self.public_key}\n")

    def start(self) -> None:
        program = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin:/usr/local/sbin")
        if program is None:
            pytest.fail("sshd: not found, got none. Install it: `apt-get install openssh-server`.")
        if os.geteuid() == 0:
            Path("/run/sshd").mkdir(exist_ok=True)
        config = self.folder / "sshd_config"
        config.write_text("\n".join((*self.settings, CONFIG.format(port=self.port, folder=self.folder))))
        with (self.folder / "sshd.log").open("ab") as log:
            self._process = subprocess.Popen(
                [program, "-f", str(config), "-D", "-e"], stderr=log, start_new_session=True
            )
        process = self._process
        eventually(lambda: self.answers() or process.poll() is not None, "sshd answers", 10)
        assert process.poll() is None, self.log

    def answers(self) -> bool:
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
                return connection.recv(4) == b"SSH-"
        except OSError:
            return False

    @contextmanager
    def also(self, key: Path) -> Iterator[None]:
        """Let one more key in for the length of a block."""
        keys = self.folder / "user_key.pub"
        usual = keys.read_text()
        keys.write_text(f"{usual}{key.with_name(f'{key.name}.pub').read_text()}")
        try:
            yield
        finally:
            keys.write_text(usual)

    def restart(self, *settings: str) -> None:
        """Start anew with these lines in sshd_config; the first of a keyword counts."""
        self.stop()
        self.settings = settings
        self.start()

    def login_shell(self, text: str, shell: str = "/bin/sh") -> None:
        """Let every login run `text` and then what it was to run, as a shell with a start file does."""
        program = self.folder / "login"
        program.write_text(f'#!/bin/bash\n{text}\n{shell} -c "$SSH_ORIGINAL_COMMAND"\n')
        program.chmod(0o755)
        self.restart(f"ForceCommand {program}")

    def stop(self) -> None:
        """End the server and everybody's session."""
        if self._process is None:
            return
        self.kill_sessions()
        self._process.kill()
        self._process.wait(10)
        self._process = None

    def kill_sessions(self) -> int:
        """End every connection as a crash would, without a farewell. How many processes that were."""
        assert self._process is not None, "it runs"
        sessions = [each for each in tree(self._process.pid)[1:] if "sshd" in each.command]
        return sum(signalled(each.pid, signal.SIGKILL) for each in sessions)

    def freeze_sessions(self, number: int = signal.SIGSTOP) -> None:
        """Let every connection fall silent, as a network that is gone does."""
        assert self._process is not None, "it runs"
        for each in tree(self._process.pid)[1:]:
            signalled(each.pid, number)

    @property
    def log(self) -> str:
        return (self.folder / "sshd.log").read_text(errors="replace")

    def route(self, **changes: object) -> Route:
        """The right way to this server, unless a change makes it a wrong one."""
        source, step = str(self.known_hosts), f"Correct {self.known_hosts}."
        known = KnownKeys(
            keys=keys_in_file(self.known_hosts, f"[127.0.0.1]:{self.port}"), source=source, if_changed=step
        )
        given = {
            "name": "main",
            "address": "127.0.0.1",
            "port": self.port,
            "user": self.user,
            "identity_file": self.identity,
            "known": known,
        }
        return Route(**{**given, **changes})  # type: ignore[arg-type] # tests bend one field at a time


def make_key(path: Path) -> None:
    path.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True, timeout=10)


def signalled(pid: int, number: int) -> bool:
    """Signal a process. Whether it was still there."""
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@contextmanager
def ssh_server(folder: Path) -> Iterator[SshServer]:
    """A running server for the length of a block."""
    server = SshServer(folder)
    server.start()
    try:
        yield server
    finally:
        server.stop()
