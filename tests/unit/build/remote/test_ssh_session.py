"""A command that stays, over a real sshd, and the sign that a host is gone."""

import signal
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from build.errors import ConnectionLostError, DeployError
from build.remote.command import Command
from build.remote.ssh.connection import connect
from build.remote.ssh.executor import SshExecutor
from build.remote.ssh.pulse import Pulse
from tests.support.ssh_server import SshServer, ssh_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture
def host(server: SshServer) -> Iterator[SshExecutor]:
    executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)
    yield executor
    executor.close()


def python(code: str) -> Command:
    return Command(argv=(sys.executable, "-I", "-c", code), what="run a test's code")


def ended(pulse: Pulse) -> bool:
    deadline = time.monotonic() + 10
    while pulse.is_alive and time.monotonic() < deadline:
        time.sleep(0.02)
    return not pulse.is_alive


def test_a_host_that_falls_silent_is_given_up(server: SshServer) -> None:
    """No packet says that a network is gone; TCP would wait for a quarter of an hour."""
    connection = connect(server.route())
    pulse = Pulse(connection.transport, "main", beat_s=0.1, silence_s=1.0)
    time.sleep(1.5)
    pulse.check(python("pass"))  # a host that answers is alive
    server.freeze_sessions()
    try:
        began = time.monotonic()
        assert ended(pulse)
        assert time.monotonic() - began < 4
        with pytest.raises(
            ConnectionLostError,
            match=r"main: the connection broke while it was to run a test's code: no answer for \d s\. ",
        ):
            pulse.check(python("pass"))
    finally:
        server.freeze_sessions(signal.SIGCONT)
        connection.close()


def test_a_session_talks_line_by_line_until_its_input_is_closed(host: SshExecutor) -> None:
    code = "import sys\nfor line in sys.stdin: print('heard', line.strip(), flush=True)\nprint('end')"
    session = host.open(python(code))
    session.send("one")
    assert session.receive(5) == "heard one"
    with pytest.raises(DeployError, match=r"no answer within 0\.2 s"):
        session.receive(0.2)
    session.send("two")
    assert session.receive(5) == "heard two"
    session.close()
    assert session.receive(5) == "end"
    assert session.receive(5) is None


def test_a_session_without_a_connection_says_so(server: SshServer) -> None:
    executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)
    session = executor.open(python("import time; time.sleep(60)"))
    threading.Timer(0.3, server.kill_sessions).start()
    with pytest.raises(ConnectionLostError):
        session.receive(10)
    with pytest.raises(ConnectionLostError):
        session.send("x")
    session.close()
    executor.close()


@pytest.mark.parametrize("sessions", [1, 2])
def test_a_host_that_allows_few_sessions_on_a_connection_gets_another_connection(
    server: SshServer, sessions: int
) -> None:
    """The lock's signs of life go on beside the commands of its task."""
    server.restart(f"MaxSessions {sessions}")
    executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)
    accepted = server.log.count("Accepted publickey")
    stays = executor.open(python("import sys\nfor line in sys.stdin: print('heard', line.strip(), flush=True)"))
    for number in range(6):
        assert executor.run(python(f"print({number})")).stdout == f"{number}\n"
        stays.send(str(number))
        assert stays.receive(5) == f"heard {number}"
    stays.close()
    executor.close()
    assert server.log.count("Accepted publickey") - accepted <= 3 - sessions + 1
    server.restart()


def test_a_host_that_allows_no_session_is_told(server: SshServer) -> None:
    server.restart("MaxSessions 0")
    executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)
    with pytest.raises(DeployError) as caught:
        executor.run(python("pass"))
    executor.close()
    assert str(caught.value) == (
        f"main (127.0.0.1:{server.port}): refuses every session on 4 connections. Raise MaxSessions of its sshd."
    )
    server.restart()
