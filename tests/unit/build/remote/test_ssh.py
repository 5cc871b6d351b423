"""Running commands on another host, over a real sshd: what goes in and out, and how the way there can fail."""

import hashlib
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from build.errors import ConnectionLostError, DeployError
from build.remote.command import Command
from build.remote.ssh.connection import connect
from build.remote.ssh.executor import SshExecutor
from tests.support.processes import read
from tests.support.share import eventually
from tests.support.ssh_server import SshServer, ssh_server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshServer]:
    with ssh_server(tmp_path_factory.mktemp("sshd")) as running:
        yield running


@pytest.fixture(scope="module")
def host(server: SshServer) -> Iterator[SshExecutor]:
    executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)
    yield executor
    executor.close()


def python(code: str, **given: Any) -> Command:
    arguments: dict[str, Any] = {"what": "run a test's code", "timeout_s": 20.0, **given}
    return Command(argv=(sys.executable, "-I", "-c", code), **arguments)


def test_status_and_both_outputs_come_back(host: SshExecutor) -> None:
    result = host.run(python("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"))
    assert (result.status, result.stdout, result.stderr, result.succeeded) == (3, "out\n", "err\n", False)


NASTY = ("", " ", "a b", "$HOME", "`id`", "$(id)", "*", ";ls", "'", '"', "\\", "a\nb", "-n", "é", "!x", "#", "~", "&&")


def test_arguments_environment_and_directory_reach_the_command_as_they_are(host: SshExecutor, tmp_path: Path) -> None:
    place = tmp_path / "it's 1% $HOME"
    place.mkdir()
    code = "import os, sys; print(sys.argv[1:]); print(os.environ['A']); print(os.getcwd())"
    argv = (sys.executable, "-I", "-c", code, *NASTY)
    said = host.run(Command(argv=argv, what="x", env={"A": "b 'c' $D"}, cwd=str(place))).stdout
    assert said == f"{list(NASTY)!r}\nb 'c' $D\n{place}\n"


def test_five_megabytes_go_in_and_come_out_exactly(host: SshExecutor) -> None:
    sent = bytes(range(256)) * 20_000
    code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    assert host.run(python(code, stdin=sent)).stdout.strip() == hashlib.sha256(sent).hexdigest()
    text = "".join(f"line {number}\n" for number in range(450_000))
    assert len(text) > 5_000_000
    assert host.run(python("[print('line', number) for number in range(450_000)]")).stdout == text


def test_two_full_pipes_do_not_block_each_other(host: SshExecutor) -> None:
    code = "import sys; [stream.write('x' * 79 + '\\n') for _ in range(5000) for stream in (sys.stdout, sys.stderr)]"
    result = host.run(python(code))
    assert len(result.stdout) == len(result.stderr) == 400_000


def test_without_input_a_command_sees_the_end_of_it(host: SshExecutor) -> None:
    assert host.run(python("import sys; print(repr(sys.stdin.read()))")).stdout == "''\n"


def test_a_command_that_reads_nothing_of_its_input_is_no_error(host: SshExecutor) -> None:
    assert host.run(python("pass", stdin=b"x" * 5_000_000)).status == 0


def test_output_that_is_not_text_and_a_last_line_without_end_are_no_error(host: SshExecutor) -> None:
    assert host.run(python("import sys; sys.stdout.buffer.write(b'a\\xffb')")).stdout == "a\ufffdb"


def test_each_line_is_seen_when_it_comes(host: SshExecutor) -> None:
    seen: list[tuple[str, float]] = []
    code = "import time; print('one', flush=True); time.sleep(0.6); print('two')"
    host.run(python(code), lambda line: seen.append((line, time.monotonic())))
    assert [line for line, _ in seen] == ["one", "two"]
    assert seen[1][1] - seen[0][1] > 0.4


def test_a_listener_that_fails_ends_the_wait_and_is_heard(host: SshExecutor) -> None:
    def fail(line: str) -> None:
        raise BrokenPipeError("nobody reads any more")

    began = time.monotonic()
    with pytest.raises(BrokenPipeError):
        host.run(python("import time; print('x', flush=True); time.sleep(30)"), fail)
    assert time.monotonic() - began < 10


def test_a_daemon_that_keeps_the_output_open_does_not_hold_the_command_up(host: SshExecutor) -> None:
    code = "import subprocess; print(subprocess.Popen(['sleep', '30'], start_new_session=True).pid, flush=True)"
    began = time.monotonic()
    pid = int(host.run(python(code)).stdout)
    assert time.monotonic() - began < 15
    assert read(pid) is not None
    os.kill(pid, signal.SIGKILL)


def test_a_program_that_does_not_exist_is_the_shells_status(host: SshExecutor) -> None:
    result = host.run(Command(argv=("no-such-program",), what="look"))
    assert result.status == 127
    assert "no-such-program" in result.stderr


SLEEPER = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"


def test_beyond_its_bound_a_command_ends_on_the_host_too(host: SshExecutor) -> None:
    pids: list[int] = []
    with pytest.raises(DeployError, match=r"^run a test's code: timed out after 1 s\. Look at the host main \("):
        host.run(python(SLEEPER, timeout_s=1), lambda line: pids.append(int(line)))
    eventually(lambda: read(pids[0]) is None, "it has ended")


def test_a_long_command_ends_when_its_connection_does(server: SshServer) -> None:
    pids: list[int] = []
    executor = SshExecutor(lambda: connect(server.route()), python=sys.executable)

    def cut(line: str) -> None:
        pids.append(int(line))
        server.kill_sessions()

    began = time.monotonic()
    with pytest.raises(ConnectionLostError) as caught:
        executor.run(python(SLEEPER, timeout_s=300), cut)
    assert time.monotonic() - began < 5
    assert str(caught.value) == (
        f"main (127.0.0.1:{server.port}): the connection broke while it was to run a test's "
        "code: its end by the other side. Models there keep serving. Run the same command again: it continues where "
        "this one stopped."
    )
    eventually(lambda: read(pids[0]) is None, "it has ended")
    assert executor.run(python("print(1)")).stdout == "1\n", "the next command connects again"
    executor.close()
