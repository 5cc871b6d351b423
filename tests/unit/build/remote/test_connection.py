"""Connecting to a real sshd: the right key gets in, every wrong thing is refused in words, nothing waits for ever."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from build.errors import DeployError
from build.progress import Reporter
from build.remote.command import Command
from build.remote.ssh.connection import NotAllowed, NotYet, Route, connect, explain_tunnel, tunnel_argv
from build.remote.ssh.connector import Connector
from build.remote.ssh.executor import SshExecutor
from tests.support.ssh_server import SshServer, make_key, ssh_server

WHO = Command(argv=("id", "-un"), what="ask who we are")
RELAY = Path(__file__).parents[3] / "support" / "fakes" / "relay.py"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    with ssh_server(tmp_path) as running:
        yield running


def refused(route: Route, kind: type[DeployError] = DeployError) -> str:
    with pytest.raises(kind) as caught:
        connect(route)
    return str(caught.value)


def fingerprint(public: Path) -> str:
    """What ssh-keygen, not we, says of a key."""
    told = subprocess.run(["ssh-keygen", "-lf", str(public)], capture_output=True, text=True, check=True).stdout
    return f"ssh-ed25519 {told.split()[1]}"


def test_the_right_key_gets_in(server: SshServer) -> None:
    executor = SshExecutor(lambda: connect(server.route()))
    assert executor.run(WHO).stdout == f"{server.user}\n"
    executor.close()
    executor.close()


def test_a_changed_host_key_is_refused_before_anything_is_sent(server: SshServer) -> None:
    expected = fingerprint(server.folder / "host_key.pub")
    server.stop()
    server.change_host_key()
    server.start()
    assert refused(server.route()) == (
        f"main: not the host key that is expected, got {fingerprint(server.folder / 'host_key.pub')} where "
        f"{server.known_hosts} says {expected}. Nothing was sent to it: it may be another machine, or somebody in "
        f"between. Correct {server.known_hosts}."
    )
    assert "Accepted" not in server.log
    assert "Failed publickey" not in server.log


def test_an_unknown_host_is_refused(server: SshServer) -> None:
    server.known_hosts.write_text("# nobody\n")
    assert refused(server.route()) == (
        f"main: an unknown host key, got {fingerprint(server.folder / 'host_key.pub')} where {server.known_hosts} has "
        f"none for it. Correct {server.known_hosts}."
    )
    assert "Accepted" not in server.log


def test_a_login_that_the_host_does_not_take_says_whose(server: SshServer) -> None:
    said = refused(server.route(user="nobody-of-that-name", if_refused="Do this."), NotAllowed)
    assert said.startswith(f"main (127.0.0.1:{server.port}): does not let nobody-of-that-name in: ")
    assert said.endswith(". Do this.")
    make_key(server.folder / "other_key")
    assert "does not let" in refused(server.route(identity_file=server.folder / "other_key"), NotAllowed)


def test_nobody_at_the_port_is_said_at_once(server: SshServer) -> None:
    route = server.route()
    server.stop()
    began = time.monotonic()
    said = refused(route, NotYet)
    assert said.startswith(f"main (127.0.0.1:{server.port}): no SSH server answers: ")
    assert said.endswith("Check that it runs, and its address and port in the inventory.")
    assert time.monotonic() - began < 3


@pytest.mark.parametrize("first_words", [b"", b"SSH-2.0-silent\r\n"])
def test_a_server_that_says_nothing_more_is_given_up(
    server: SshServer, first_words: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build.remote.ssh.connection.CONNECT_TIMEOUT_S", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        route = server.route(port=silent.getsockname()[1])
        child = os.fork()
        if child == 0:
            connection, _ = silent.accept()
            connection.sendall(first_words)
            time.sleep(60)
        began = time.monotonic()
        try:
            assert "no SSH server answers" in refused(route, NotYet)
            assert time.monotonic() - began < 8
        finally:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)


def test_ssh_settings_of_the_user_lead_nowhere_else(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text("Host *\n  HostName 192.0.2.1\n  User somebody\n  ProxyCommand false\n")
    (tmp_path / ".fabric.yaml").write_text("gateway: nowhere\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    connect(server.route()).close()


def test_a_host_that_comes_up_meanwhile_is_waited_for(server: SshServer) -> None:
    server.stop()
    pauses: list[float] = []

    def pause(pause_s: float) -> None:
        pauses.append(pause_s)
        if len(pauses) == 2:
            server.start()

    connection = Connector(name="main", route=server.route).connect(Reporter(), pause=pause)
    assert pauses == [0.5, 0.75]
    connection.close()


def test_a_host_that_does_not_come_up_is_given_up_with_the_last_reason(server: SshServer) -> None:
    server.stop()
    with pytest.raises(DeployError, match=r"main \(127.*no SSH server answers: .*inventory\. \(For 0\.5 s\.\)$"):
        Connector(name="main", route=server.route, patience_s=0.5).connect(Reporter(), pause=lambda _: time.sleep(0.3))


def test_only_a_host_that_just_started_may_refuse_a_login_for_a_while(server: SshServer) -> None:
    """OS Login knows nobody until Google's agent has set it up."""
    routes = iter([server.route(user="nobody-of-that-name", is_fresh=True), server.route()])
    Connector(name="main", route=lambda: next(routes)).connect(Reporter(), pause=lambda _: None).close()
    with pytest.raises(NotAllowed):
        Connector(name="main", route=lambda: server.route(user="nobody-of-that-name")).connect(Reporter())


def through(server: SshServer, *words: str) -> Route:
    """A route through a program in the place of gcloud."""
    return server.route(tunnel=(sys.executable, str(RELAY), *words))


def test_a_connection_through_a_tunnel_carries_everything_and_ends_it(server: SshServer) -> None:
    connection = connect(through(server, str(server.port)))
    executor = SshExecutor(lambda: connection)
    echo = Command(argv=("cat",), what="echo", stdin=("x" * 99 + "\n").encode() * 50_000)
    assert executor.run(echo).stdout == ("x" * 99 + "\n") * 50_000
    assert not connection.relay.closed
    executor.close()
    assert connection.relay.closed


def test_a_tunnel_that_ends_says_why(server: SshServer) -> None:
    said = "ERROR: (gcloud.compute.start-iap-tunnel) Error while connecting [4033: 'not authorized']."
    assert refused(through(server, "--fail", said), NotAllowed) == (
        "main: Identity-Aware Proxy refuses the account: "
        f"{said.rstrip('.')}. Have an owner of the project grant roles/iap.tunnelResourceAccessor to "
        "`gcloud config get account`."
    )


@pytest.mark.parametrize(
    ("said", "kind", "expected"),
    [
        (
            "WARNING: x\nERROR: (gcloud.compute.start-iap-tunnel) Error while connecting [4003: 'failed to connect to "
            "backend'].\n",
            NotYet,
            "main: no way through Identity-Aware Proxy: ERROR: (gcloud.compute.start-iap-tunnel) Error while "
            "connecting [4003: 'failed to connect to backend']. Check that it runs, and its address and port in the "
            "inventory.",
        ),
        (
            "ERROR: (gcloud.compute.start-iap-tunnel) You do not currently have an active account selected.\n"
            "Please run:\n  $ gcloud auth login\n",
            DeployError,
            "main: not logged in: ERROR: (gcloud.compute.start-iap-tunnel) You do not currently have an active "
            "account selected. Run `gcloud auth login`.",
        ),
    ],
)
def test_what_gcloud_says_becomes_what_to_do(
    server: SshServer, said: str, kind: type[DeployError], expected: str
) -> None:
    problem = explain_tunnel(server.route(), said)
    assert (type(problem), str(problem)) == (kind, expected)


def test_without_gcloud_there_is_a_sentence(server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(replace(server.route(), tunnel=("gcloud", "x"))) == (
        "connect: gcloud is not on PATH. Install it: https://cloud.google.com/sdk/docs/install."
    )


def test_a_tunnel_whose_program_hangs_is_given_up(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build.remote.ssh.connection.TUNNEL_TIMEOUT_S", 1)
    began = time.monotonic()
    assert "no SSH server answers" in refused(server.route(tunnel=("sleep", "60")), NotYet)
    assert time.monotonic() - began < 8


def test_the_tunnel_is_asked_for_as_gcloud_documents_it() -> None:
    assert " ".join(tunnel_argv("axion-dev-main", port=22, project="a-project", zone="us-central1-a")) == (
        "gcloud compute start-iap-tunnel axion-dev-main 22 --listen-on-stdin --project=a-project "
        "--zone=us-central1-a --verbosity=warning"
    )
