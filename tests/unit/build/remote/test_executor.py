"""Running commands on this computer: what goes in and out, and that nothing outlives its bound or its task."""

import hashlib
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from build.errors import ConnectionLostError, DeployError
from build.remote import executor
from build.remote.command import Command
from build.remote.executor import LocalExecutor, check
from tests.support.processes import read
from tests.support.share import eventually

REPOSITORY = Path(__file__).parents[4]


def python(code: str, **given: Any) -> Command:
    arguments: dict[str, Any] = {"what": "run a test's code", "timeout_s": 20.0, **given}
    return Command(argv=(sys.executable, "-I", "-c", code), **arguments)


def run(code: str, **given: Any) -> Any:
    return LocalExecutor().run(python(code, **given))


def test_status_and_both_outputs_come_back() -> None:
    result = run("import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)")
    assert (result.status, result.stdout, result.stderr, result.succeeded) == (3, "out\n", "err\n", False)


def test_what_goes_in_is_what_the_command_reads() -> None:
    sent = bytes(range(256)) * 4000  # more than a pipe holds
    code = "import hashlib, sys; print(hashlib.sha256(sys.stdin.buffer.read()).hexdigest())"
    assert run(code, stdin=sent).stdout.strip() == hashlib.sha256(sent).hexdigest()


def test_without_input_a_command_sees_the_end_of_it() -> None:
    assert run("import sys; print(repr(sys.stdin.read()))").stdout == "''\n"


def test_a_command_that_reads_nothing_of_its_input_is_no_error() -> None:
    assert run("pass", stdin=b"x" * 1_000_000).status == 0


def test_the_environment_is_added_to_and_the_directory_is_taken(tmp_path: Path) -> None:
    code = "import os; print(os.environ['ADDED'], 'HOME' in os.environ or 'PATH' in os.environ, os.getcwd())"
    assert run(code, env={"ADDED": "yes"}, cwd=str(tmp_path)).stdout == f"yes True {tmp_path}\n"


def test_arguments_are_never_expanded() -> None:
    argv = (sys.executable, "-I", "-c", "import sys; print(sys.argv[1:])", "$HOME", "a b", "*", ";ls")
    assert LocalExecutor().run(Command(argv=argv, what="x")).stdout == "['$HOME', 'a b', '*', ';ls']\n"


def test_each_line_is_seen_when_it_comes() -> None:
    seen: list[tuple[str, float]] = []
    code = "import time; print('one', flush=True); time.sleep(0.6); print('two')"
    LocalExecutor().run(python(code), lambda line: seen.append((line, time.monotonic())))
    assert [line for line, _ in seen] == ["one", "two"]
    assert seen[1][1] - seen[0][1] > 0.4


def test_two_full_pipes_do_not_block_each_other() -> None:
    code = "import sys; [stream.write('x' * 79 + '\\n') for _ in range(5000) for stream in (sys.stdout, sys.stderr)]"
    result = run(code)
    assert len(result.stdout) == len(result.stderr) == 400_000


def test_output_that_is_not_text_is_no_error() -> None:
    assert run("import sys; sys.stdout.buffer.write(b'a\\xffb')").stdout == "a\ufffdb"


def test_a_listener_that_fails_ends_the_command_and_is_heard() -> None:
    """`fab logs --follow | head` closes our output; `tail` must not follow for another day."""

    def fail(line: str) -> None:
        raise BrokenPipeError("nobody reads any more")

    began = time.monotonic()
    with pytest.raises(BrokenPipeError):
        LocalExecutor().run(python("import time; print('x', flush=True); time.sleep(30)"), fail)
    assert time.monotonic() - began < 10


GRANDCHILD = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-I", "-c", "import time; time.sleep(60)"])
print(child.pid, flush=True)
time.sleep(60)
"""


def test_beyond_its_bound_a_command_ends_with_all_of_its_children() -> None:
    pids: list[int] = []
    began = time.monotonic()
    with pytest.raises(DeployError, match=r"run a test's code: timed out after 1.5 s\. Look at the host\."):
        LocalExecutor().run(python(GRANDCHILD, timeout_s=1.5), lambda line: pids.append(int(line)))
    assert time.monotonic() - began < 10
    assert len(pids) == 1
    eventually(lambda: read(pids[0]) is None, "it has ended")


def test_the_bound_holds_for_a_command_that_does_not_read_its_input() -> None:
    began = time.monotonic()
    with pytest.raises(DeployError, match=r"timed out after 0\.5 s"):
        run("import time; time.sleep(30)", stdin=b"x" * 1_000_000, timeout_s=0.5)
    assert time.monotonic() - began < 10


def test_a_program_that_does_not_exist_is_a_sentence() -> None:
    with pytest.raises(DeployError, match=r"^look: no-such-program is not on PATH\. Run `fab doctor`\.$"):
        LocalExecutor().run(Command(argv=("no-such-program",), what="look"))


PARENT = """
import sys
from build.remote.command import Command
from build.remote.executor import LocalExecutor
code = "import os, time; print(os.getpid(), flush=True); time.sleep(60)"
command = Command(argv=(sys.executable, "-I", "-c", code), what="sleep")
LocalExecutor().run(command, lambda line: print(line, flush=True))
"""


def test_a_command_dies_with_a_task_that_is_killed() -> None:
    """Or the next run would race with what this one left behind."""
    parent = subprocess.Popen([sys.executable, "-c", PARENT], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    try:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert read(pid) is not None
    finally:
        parent.kill()
        parent.wait(10)
        parent.stdout.close() if parent.stdout else None
    eventually(lambda: read(pid) is None, "it has ended")


def test_an_interrupt_at_the_terminal_reaches_only_the_task() -> None:
    code = "import os; print(os.getsid(0) == os.getpid(), os.getpgid(0) == os.getpid())"
    assert run(code).stdout == "True True\n"


def test_a_command_that_must_succeed_fails_with_the_end_of_what_it_said() -> None:
    code = "import sys; [print(f'line {n}', file=sys.stderr) for n in range(100)]; sys.exit(2)"
    with pytest.raises(DeployError) as caught:
        check(LocalExecutor(), python(code))
    (problem,) = caught.value.problems
    assert problem.startswith("run a test's code: failed with exit status 2. Read its last lines:\n    line 85\n")
    assert problem.endswith("\n    line 99")


def test_what_it_printed_stands_in_where_it_said_nothing_on_stderr() -> None:
    with pytest.raises(DeployError, match=r"last lines:\n    told on stdout$"):
        check(LocalExecutor(), python("import sys; print('told on stdout'); sys.exit(1)"))


TALKER = "import sys; [print(line.strip()[::-1], flush=True) for line in sys.stdin]; print('end')"


def test_a_command_that_stays_answers_line_by_line_until_its_input_is_closed() -> None:
    session = LocalExecutor().open(python(TALKER))
    session.send("abc")
    assert session.receive(10) == "cba"
    with pytest.raises(DeployError, match=r"^run a test's code: no answer within 0\.2 s\. Look at the host\.$"):
        session.receive(0.2)
    session.close()
    assert (session.receive(10), session.receive(10)) == ("end", None)


def test_what_is_sent_to_a_command_that_has_ended_is_a_lost_connection() -> None:
    session = LocalExecutor().open(python("pass"))
    assert session.receive(10) is None
    with pytest.raises(ConnectionLostError):
        for _ in range(100):
            session.send("x" * 1000)
            time.sleep(0.01)
    session.close()


def test_a_command_that_does_not_heed_the_end_of_its_input_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(executor, "CLOSE_TIMEOUT_S", 0.2)
    session = LocalExecutor().open(python("import os, time; print(os.getpid(), flush=True); time.sleep(60)"))
    pid = int(session.receive(10) or 0)
    session.close()
    assert read(pid) is None


def test_on_another_kernel_than_linux_nothing_of_linux_is_asked_for() -> None:
    """As on macOS: a C library without prctl. It cannot be run here; what it lacks can be taken away."""
    code = """
import ctypes, sys
sys.platform = "darwin"
ctypes.CDLL = lambda name: object()
from build.remote.command import Command
from build.remote.executor import LocalExecutor
print(LocalExecutor().run(Command(argv=("echo", "done"), what="say it", timeout_s=10)).stdout)
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("done\n\n", "")
