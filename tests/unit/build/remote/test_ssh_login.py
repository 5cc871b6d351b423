"""Logins that print, wait, refuse or do something else, over a real sshd: the answer is right, or its cause is told."""

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from build.errors import DeployError
from build.remote.command import Command
from build.remote.ssh.connection import HostConnection, connect
from build.remote.ssh.executor import SshExecutor
from tests.support.ssh_server import SshServer, ssh_server

SHELLS = [each for each in ("sh", "bash", "dash", "zsh", "fish", "tcsh", "busybox sh") if shutil.which(each.split()[0])]
NASTY = (
    "",
    " ",
    "$HOME",
    "`id`",
    "*",
    "'",
    '"',
    "\\",
    "\\n",
    "a\nb\n",
    "é",
    "\u0081\u0088",
    "!x",
    "#",
    "~",
    "%s",
    "-n",
)
ECHO = "import json, sys; sys.stdout.write(sys.stdin.read()); sys.stderr.write(json.dumps(sys.argv[1:])); sys.exit(3)"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


class Told(SshExecutor):
    """An executor, and what it told a person."""

    def __init__(self, server: SshServer, user: str | None = None, python: str = sys.executable) -> None:
        def way() -> HostConnection:
            connection = connect(server.route())
            if user is not None:  # whoever the tests run as, somebody else has to become root
                connection._set(user=user)
            return connection

        self.told: list[str] = []
        super().__init__(way, python=python, say=self.told.append)


def says(server: SshServer, executor: Told) -> str:
    """What a command fails with, before it runs."""
    with pytest.raises(DeployError) as caught:
        executor.run(Command(argv=("true",), what="look"))
    executor.close()
    return str(caught.value).removeprefix(f"main (127.0.0.1:{server.port}): ")


@pytest.mark.parametrize("shell", SHELLS)
def test_a_command_passes_through_any_login_shell_as_it_is(server: SshServer, shell: str) -> None:
    server.login_shell("", shell)
    executor = Told(server)
    given = Command(argv=(sys.executable, "-I", "-c", ECHO, *NASTY), what="echo", stdin="ü\nx".encode(), cwd="/usr")
    result = executor.run(given)
    executor.close()
    wanted = (
        '["", " ", "$HOME", "`id`", "*", "\'", "\\"", "\\\\", "\\\\n", "a\\nb\\n", "\\u00e9", "\\u0081\\u0088", "!x", '
        '"#", "~", "%s", "-n"]'
    )
    assert (result.status, result.stdout, result.stderr, executor.told) == (3, "ü\nx", wanted, [])


NOISE = {
    "a line": ("echo Welcome to a host.", "Welcome to a host"),
    "on stderr": ("echo Welcome >&2", "Welcome"),
    "without an end": ("printf Welcome", "Welcome"),
    "late": ("sleep 0.5; echo Welcome", "Welcome"),
    "like an answer": ("""echo '{"taken": true}'""", '{"taken": true}'),
    "binary": ("printf '\\000\\377\\033[1mWelcome'; head -c 100000 /dev/zero", "\ufffdWelcome"),
    "afterwards too": ("trap 'echo Goodbye; exit 7' EXIT; echo Welcome", "Welcome"),
    "all the time": ("echo Welcome; (for i in 1 2 3 4 5 6; do echo again; sleep 0.03; done) &", "Welcome"),
}


@pytest.mark.parametrize("noise", NOISE)
def test_what_a_login_shell_prints_is_no_answer_and_is_told_once(server: SshServer, noise: str) -> None:
    text, first = NOISE[noise]
    server.login_shell(text)
    executor = Told(server)
    code = "import time\nfor i in range(5): print(i, flush=True); time.sleep(0.03)"
    results = [executor.run(Command(argv=(sys.executable, "-c", code), what="count")) for _ in range(2)]
    session = executor.open(Command(argv=("cat",), what="talk"))
    session.send("one")
    assert session.receive(5) == "one"
    session.close()
    assert session.receive(5) is None
    executor.close()
    assert [(each.status, each.stdout, each.stderr) for each in results] == [(0, "0\n1\n2\n3\n4\n", "")] * 2
    assert executor.told == [
        f"main (127.0.0.1:{server.port}): the login shell of {server.user} prints before it runs a command, got "
        f"{first}. It is skipped; let its start files print in a terminal only."
    ]


@pytest.mark.parametrize(
    ("text", "got"),
    [
        ("exit 1", "exit status 1"),
        ("echo 'This account is not available.'; exit 1", "exit status 1, This account is not available"),
        ("echo bad >&2; exec false", "exit status 1, bad"),
        ("exec true", "exit status 0"),
        ("kill -9 $$", "its end by a signal"),
    ],
)  # fmt: skip
def test_a_login_shell_that_ends_by_itself_is_told(server: SshServer, text: str, got: str) -> None:
    server.login_shell(text)
    assert says(server, Told(server)) == (
        f"the login shell of {server.user} ends before it runs a command, got {got}. Look at its start files (such as "
        "~/.bashrc), and whether the account is locked or its key or sshd forces another command."
    )


@pytest.mark.parametrize(("text", "got"), [("read line", "nothing"), ("printf 'Continue? '; exec cat", "Continue?")])
def test_a_login_shell_that_waits_for_input_is_told(
    server: SshServer, text: str, got: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build.remote.ssh.wire.SHELL_TIMEOUT_S", 3.0)
    server.login_shell(text)
    assert says(server, Told(server)) == (
        f"the login shell of {server.user} never runs a command, got {got} within 30 s. Look in its start "
        "files (such as ~/.bashrc) for what waits for input or starts another program, and let it do so in a terminal "
        "only."
    )


def test_nothing_of_ours_is_lost_to_a_start_file_that_reads_for_a_while(server: SshServer) -> None:
    server.login_shell("read -t 0.3 line; echo got $line")
    executor = Told(server)
    assert executor.run(Command(argv=("cat",), what="echo", stdin=b"mine")).stdout == "mine"
    executor.close()


def sudo(server: SshServer, text: str) -> Told:
    """Give the host a sudo of ours."""
    folder = server.folder / "bin"
    folder.mkdir(exist_ok=True)
    (folder / "sudo").write_text(f"#!/bin/sh\n{text}\n")
    (folder / "sudo").chmod(0o755)
    server.login_shell(f"export LANG=de_DE.UTF-8 PATH={folder}:$PATH")
    return Told(server, user="deploy")


LET_IN = 'while [ "$1" != -- ]; do shift; done; shift; exec "$@"'


def test_a_warning_of_sudo_is_no_refusal(server: SshServer) -> None:
    words = "sudo: unable to resolve host main: Name or service not known"
    executor = sudo(server, f"echo '{words}' >&2; {LET_IN}")
    result = executor.run(Command(argv=("sh", "-c", "echo no >&2; umask; pwd; exit 1"), what="fail"))
    executor.close()
    assert (result.status, result.stdout, result.stderr) == (1, "0022\n/\n", "no\n")
    assert executor.told == [
        f"main (127.0.0.1:{server.port}): warned when deploy became root, got {words}. It is no refusal, and skipped."
    ]


GRANT = "Grant the account roles/compute.osAdminLogin, or, without OS Login, give the user NOPASSWD in sudoers."
REFUSALS = {
    "sudo: a password is required": GRANT,
    "sudo: unable to resolve host main\nsudo: a password is required": GRANT,
    "deploy is not in the sudoers file.\nThis incident has been reported to the administrator.": GRANT,
    "Sorry, user deploy is not allowed to execute '/bin/sh -c x' as root on main.": GRANT,
    "sudo: sorry, you must have a tty to run sudo": (
        "Let it do without a terminal: `Defaults:deploy !requiretty` in a file of /etc/sudoers.d."
    ),
    "sudo: Account expired, please contact your system administrator": (
        "Renew the account there: `chage -l deploy` shows when it ended."
    ),
    "sudo: account validation failure, is your account locked?": (
        "Renew the account there: `chage -l deploy` shows when it ended."
    ),
    "sudo: interactive authentication is required": GRANT,  # sudo-rs
    "sudo: I'm sorry deploy. I'm afraid I can't do that": GRANT,  # sudo-rs
    "doas: Operation not permitted": GRANT,
    "sudo: etwas in einer anderen Sprache": GRANT,
}


@pytest.mark.parametrize("words", REFUSALS)
def test_a_refusal_of_sudo_is_told_with_its_cure(server: SshServer, words: str) -> None:
    (server.folder / "words").write_text(f"{words}\n")
    executor = sudo(server, f"cat {server.folder}/words >&2; exit 1")
    cause = [each for each in words.splitlines() if "incident" not in each][-1].rstrip(".")
    end = "" if cause.endswith("?") else "."
    assert says(server, executor) == f"deploy cannot become root there: {cause}{end} {REFUSALS[words]}"


def test_sudo_is_told_to_speak_english_and_never_asks(server: SshServer) -> None:
    executor = sudo(server, 'echo "$LC_ALL $1 $2" >&2; exit 1')
    assert says(server, executor) == f"deploy cannot become root there: C -n --. {GRANT}"


def test_a_sudo_that_takes_its_time_is_told(server: SshServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build.remote.ssh.wire.SUDO_TIMEOUT_S", 3.0)
    assert says(server, sudo(server, "echo 'sudo: ldap: waiting' >&2; exec sleep 30")) == (
        "sudo does not finish within 90 s: sudo: ldap: waiting. Look what it waits for with "
        "`time sudo -n true`: a directory service, or a name that does not resolve."
    )


def test_a_host_without_sudo_is_told(server: SshServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("build.remote.ssh.login.BECOME", ("no-such-sudo", "no-such-doas"))
    server.login_shell("")
    said = says(server, Told(server, user="deploy"))
    assert said == f"deploy cannot become root there: neither no-such-sudo nor no-such-doas is there. {GRANT}"


def test_a_host_without_python_is_told(server: SshServer) -> None:
    server.login_shell("echo Welcome")
    assert says(server, Told(server, python="/no/python3")) == (
        "no Python that runs, got env: '/no/python3': No such file or directory. "
        "Install it: /no/python3, 3.11 or newer."
    )
