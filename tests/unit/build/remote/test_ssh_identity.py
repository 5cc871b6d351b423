"""The key of a login: what is wrong with it is told at the first try, and no other key is offered in its place."""

import base64
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.errors import DeployError
from build.progress import Reporter
from build.remote.ssh.connection import NotAllowed, NotYet, connect
from build.remote.ssh.connector import Connector
from build.remote.ssh.identity import load_key
from tests.support.ssh_agent import SECRET, agent
from tests.support.ssh_server import SshServer, make_key, ssh_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys and without an agent."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    return tmp_path


def keygen(path: Path, *options: str) -> Path:
    subprocess.run(["ssh-keygen", "-q", *options, "-f", str(path)], check=True, timeout=20)
    return path


def problem(path: Path) -> str:
    with pytest.raises(DeployError) as caught:
        load_key(path)
    return str(caught.value).replace(str(path), "KEY")


FILES = {
    b"": "no private key. Make one with `ssh-keygen`, or correct identity_file.",
    b"garbage\n\xff": "no private key. Make one with `ssh-keygen`, or correct identity_file.",
    b"-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n": (
        "no private key. Make one with `ssh-keygen`, or correct identity_file."
    ),
    b"ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me@here\n": (
        "a public key. Name the private one, whose file ends without `.pub`."
    ),
    b"PuTTY-User-Key-File-3: ssh-ed25519\nEncryption: none\n": (
        "PuTTY's format. Convert it: `puttygen KEY -O private-openssh -o NEW`, and name NEW."
    ),
    b"-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjEAAAAABG5vbm\n-----END OPENSSH PRIVATE KEY-----\n": (
        "a damaged private key. Copy it anew, all of its lines."
    ),
}


@pytest.mark.parametrize("data", FILES)
def test_a_file_that_is_no_private_key_says_what_it_is(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "key").write_bytes(data)
    assert problem(tmp_path / "key") == f"KEY: no key to log in with, got {FILES[data]}"


def test_no_file_at_all_says_so(tmp_path: Path) -> None:
    assert problem(tmp_path / "key") == ("KEY: no such key file. Correct identity_file in the inventory.")
    assert problem(tmp_path) == (
        "KEY: no key to log in with, got a directory. Name the private key itself: correct identity_file in the "
        "inventory."
    )
    os.mkfifo(tmp_path / "fifo")
    assert "got no regular file. " in problem(tmp_path / "fifo")


@pytest.mark.parametrize("mode", [0o000, 0o600])
def test_a_key_that_may_not_be_read_says_so(tmp_path: Path, mode: int) -> None:
    """Root may read everything: somebody else tries it."""
    key = keygen(tmp_path / "key", "-t", "ed25519", "-N", "")
    key.chmod(mode)
    if os.geteuid() != 0 and mode:
        pytest.skip("only root gives a file away")
    tmp_path.chmod(0o755)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            if os.geteuid() == 0:
                for parent in (tmp_path, *tmp_path.parents[:2]):
                    parent.chmod(0o755)
                os.setuid(65534)
            os.write(writer, problem(key).encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    with os.fdopen(reader) as said:
        assert said.read() == (
            "KEY: no key to log in with, got no right to read it. Own it: `ls -l KEY` shows whose it is."
        )


@pytest.mark.parametrize("kind", ["ed25519", "ecdsa", "rsa -b 2048", "ecdsa -m PEM"])
def test_every_usual_kind_of_key_logs_in(server: SshServer, tmp_path: Path, kind: str) -> None:
    key = keygen(tmp_path / "key", "-N", "", "-t", *kind.split())
    with server.also(key):
        connect(server.route(identity_file=key)).close()


def test_a_key_with_line_ends_of_windows_logs_in(server: SshServer, tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(server.identity.read_bytes().replace(b"\n", b"\r\n"))
    connect(server.route(identity_file=tmp_path / "key")).close()


def test_a_key_of_a_hardware_token_says_which_kinds_do(tmp_path: Path) -> None:
    """Made of another key's file, whose first words name its kind; the kind alone is read."""
    body = keygen(tmp_path / "key", "-t", "ed25519", "-N", "").read_text().splitlines()
    data = base64.b64decode("".join(body[1:-1])).replace(
        b"\0\0\0\x0bssh-ed25519", b"\0\0\0\x1ask-ssh-ed25519@openssh.com"
    )
    at = data.index(b"\0\0\0\x1ask-ssh") - 4  # the length of the public half, which has grown by 15 bytes
    grown = (int.from_bytes(data[at : at + 4], "big") + 15).to_bytes(4, "big")
    body[1:-1] = [base64.b64encode(data[:at] + grown + data[at + 4 :]).decode()]
    (tmp_path / "key").write_text("\n".join(body) + "\n")
    assert problem(tmp_path / "key") == (
        "KEY: no key to log in with, got a key of another kind. Make an ed25519, ECDSA or RSA key: `ssh-keygen`."
    )


def test_another_format_says_how_to_convert_it(tmp_path: Path) -> None:
    key = keygen(tmp_path / "key", "-t", "ecdsa", "-m", "PKCS8", "-N", "")
    assert problem(key) == (
        "KEY: no key to log in with, got another format. Convert a copy of it: `ssh-keygen -p -f KEY`."
    )


@pytest.mark.parametrize("form", [(), ("-m", "PEM"), ("-m", "PKCS8")])
def test_a_locked_key_logs_in_through_an_agent_that_holds_it(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    key = keygen(tmp_path / "key", "-t", "ecdsa", "-N", SECRET, *form)
    locked = (
        "KEY: the key is locked by a passphrase: none of that kind from an agent. "
        "Unlock it for an agent: `ssh-add KEY`."
    )
    assert problem(key) == locked
    with agent(tmp_path, monkeypatch, count=5):
        assert problem(key) == locked
    with server.also(key), agent(tmp_path, monkeypatch, key, count=9):
        connect(server.route(identity_file=key)).close()


def test_nine_keys_of_an_agent_do_not_come_before_the_named_one(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with agent(tmp_path, monkeypatch, count=9):
        connect(server.route()).close()
        with pytest.raises(NotAllowed) as caught:
            Connector(name="main", route=lambda: server.route(identity_file=None)).connect(Reporter())
        assert str(caught.value) == (
            f"main (127.0.0.1:{server.port}): was offered more keys than it looks at: Too many authentication "
            f"failures. Name the one that lets {server.user} in: identity_file in the inventory; then no other key of "
            "an agent is offered."
        )
        make_key(tmp_path / "stranger")
        failed = server.log.count("Failed publickey")
        with pytest.raises(NotAllowed, match="does not let"):
            connect(server.route(identity_file=tmp_path / "stranger"))
        assert server.log.count("Failed publickey") - failed <= 1, "no other key was offered"


def test_a_key_that_nobody_named_leaves_the_agents_a_chance(
    server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """gcloud's own key is there on most computers, whichever was registered."""
    usual = keygen(tmp_path / "google", "-t", "ed25519", "-N", "")
    with agent(tmp_path, monkeypatch, server.identity):
        connect(server.route(identity_file=usual, has_other_keys=True)).close()
        usual.write_text("garbage")
        connect(server.route(identity_file=usual, has_other_keys=True)).close()
        with pytest.raises(DeployError, match="got no private key"):
            connect(server.route(identity_file=usual))


def test_a_server_with_too_many_logins_is_tried_again_and_told_by_its_word(server: SshServer) -> None:
    server.restart("MaxStartups 1", "LoginGraceTime 60")
    waiting = socket.create_connection(("127.0.0.1", server.port))
    while waiting.recv(4) != b"SSH-":  # sshd has not noticed yet that the fixture's look at it is over
        waiting = socket.create_connection(("127.0.0.1", server.port))
    wanted = (
        f"main (127.0.0.1:{server.port}): hangs up on whoever connects: Exceeded MaxStartups. Its sshd has too "
        "many that are logging in (MaxStartups), or keeps this address out, or it is no SSH server."
    )
    with pytest.raises(NotYet) as caught:
        connect(server.route())
    assert str(caught.value) == wanted
    with pytest.raises(DeployError) as given_up:
        Connector(name="main", route=server.route, patience_s=1.0).connect(Reporter())
    assert str(given_up.value) == f"{wanted} (For 1 s.)"

    def pause(_pause_s: float) -> None:
        waiting.close()
        time.sleep(0.3)

    Connector(name="main", route=server.route).connect(Reporter(), pause=pause).close()
    server.restart()


@pytest.mark.parametrize(
    ("said", "got"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "HTTP/1.1 400 Bad Request"),
        (b"Not allowed at this time\r\n", "Not allowed at this time"),
        (b"", "Connection reset by peer"),
    ],
)
def test_what_is_no_ssh_server_or_keeps_us_out_is_told_by_its_word(server: SshServer, said: bytes, got: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:

        def answer() -> None:
            connection, _ = other.accept()
            connection.sendall(said)
            time.sleep(0.2)
            connection.close()  # unread input makes it a reset

        threading.Thread(target=answer, daemon=True).start()
        with pytest.raises(NotYet, match=f"hangs up on whoever connects: .*{got}"):
            connect(server.route(port=other.getsockname()[1]))
