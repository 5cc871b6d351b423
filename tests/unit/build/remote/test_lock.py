"""The lock of a host and its audit log, on this computer: the same programs run on the other end of SSH."""

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from agent.protocol import LockAnswer, LockHolder, LockNote, LockOrder
from build.errors import ConnectionLostError, DeployError
from build.progress import Reporter
from build.remote import lock
from build.remote.command import Command
from build.remote.executor import LocalExecutor, Session
from build.remote.host import Host
from build.remote.lock import history, hold_command, host_lock, operator, unlock
from build.remote.target import Target
from tests.support.agent import agent_file
from tests.support.share import eventually

REPOSITORY = Path(__file__).parents[4]


def host_at(root: Path, executor: Any = None) -> Host:
    target = Target(name="main", root=str(root), runner="supervisor", python=sys.executable)
    return Host(target, executor or LocalExecutor(), Reporter())


@contextmanager
def another_task(root: Path) -> Iterator[Session]:
    """What somebody else's task in the middle of a change keeps open."""
    session = LocalExecutor().open(hold_command(host_at(root).target, "fab build-and-deploy"))
    assert session.receive(10) == LockAnswer("taken").to_json()
    yield session
    session.close()


TASK = """
import sys, time
from build.deploy.activate import Host
from build.remote.executor import LocalExecutor
from build.remote.lock import host_lock
from build.progress import Reporter
from build.remote.target import Target
target = Target(name="main", root=sys.argv[1], runner="supervisor", python=sys.executable)
with host_lock(Host(target, LocalExecutor(), Reporter()), "fab build-and-deploy") as held:
    held.note(release="20260131T120000-abcd")
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_change_at_a_time_and_the_other_is_told_whose_turn_it_is(tmp_path: Path) -> None:
    with another_task(tmp_path), pytest.raises(DeployError) as caught, host_lock(host_at(tmp_path), "fab stop"):
        pytest.fail("two hold the lock")
    said = str(caught.value)
    assert said.startswith(f"main: being changed by somebody else, got {operator()}, `fab build-and-deploy`, since 20")
    assert said.endswith(" s ago. Wait until it ends; `fab unlock --yes` ends it.")
    assert "fab stop" not in str(history(host_at(tmp_path)))


def test_the_lock_of_a_task_that_was_killed_is_free_at_once_and_its_change_is_in_the_log(tmp_path: Path) -> None:
    host = host_at(tmp_path)
    task = subprocess.Popen(
        [sys.executable, "-c", TASK, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    assert task.stdout is not None
    assert task.stdout.readline() == "held\n"
    task.kill()
    with host_lock(host, "fab rollback"):
        assert '"what": "fab rollback"' in (tmp_path / "state" / "deploy.lock").read_text()
    task.communicate(timeout=10)
    lines = [{key: getattr(line, key) for key in ("who", "what", "release", "outcome")} for line in history(host).lines]
    assert lines == [
        {
            "who": operator(),
            "what": "fab build-and-deploy",
            "release": "20260131T120000-abcd",
            "outcome": "the task was not heard of any more",
        },
        {"who": operator(), "what": "fab rollback", "release": None, "outcome": "done"},
    ]


def test_unlock_names_the_holder_and_ends_it_only_when_told_to(tmp_path: Path) -> None:
    host = host_at(tmp_path)
    assert unlock(host, is_really=True) is None
    with another_task(tmp_path) as task:
        held = unlock(host, is_really=False)
        assert held is not None
        assert (held.who, held.what) == (operator(), "fab build-and-deploy")
        task.send(LockNote().to_json())
        ended = unlock(host, is_really=True)
        assert ended is not None
        assert ended.pid == held.pid
        assert task.receive(10) == LockAnswer("unlocked").to_json()
        with host_lock(host, "fab stop"):
            pass
    outcomes = [(line.what, line.outcome) for line in history(host).lines]
    assert outcomes == [
        ("fab build-and-deploy", "ended by fab unlock"),
        ("fab unlock", "ended fab build-and-deploy"),
        ("fab stop", "done"),
    ]


@pytest.mark.parametrize(
    ("said", "what"),
    [
        (
            '{"schema": "axion.lock-holder/2", "who": "a@b", "what": "fab up", "since": "then", "pid": 1, "of": []}',
            "fab up",
        ),
        ("", "something unknown"),
        ('{"who": "a@b", "wh', "something unknown"),
    ],
    ids=["newer", "empty", "half"],
)
def test_unlock_ends_whoever_has_the_lock_whatever_its_file_says(tmp_path: Path, said: str, what: str) -> None:
    host = host_at(tmp_path)
    with another_task(tmp_path) as task:
        (tmp_path / "state" / "deploy.lock").write_text(said)
        held = unlock(host, is_really=True)
        assert (held and held.what) == what
        assert task.receive(10) == LockAnswer("unlocked").to_json()
    assert (history(host).lines[-1].what, history(host).lines[-1].outcome) == ("fab unlock", f"ended {what}")


def test_unlock_leaves_alone_who_waited_for_the_lock_and_took_it(tmp_path: Path) -> None:
    host, path = host_at(tmp_path), tmp_path / "state" / "deploy.lock"
    take = f"import fcntl, time; f = open({str(path)!r}); fcntl.flock(f, fcntl.LOCK_EX)"
    with another_task(tmp_path) as task:
        waiting = subprocess.Popen(
            [sys.executable, "-c", f"{take}; print(1, flush=True); time.sleep(60)"], stdout=subprocess.PIPE, text=True
        )
        eventually(lambda: f"-> FLOCK  ADVISORY  WRITE {waiting.pid} " in Path("/proc/locks").read_text(), "it waits")
        assert unlock(host, is_really=True) is not None
        assert task.receive(10) == LockAnswer("unlocked").to_json()
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "1\n"
        assert waiting.poll() is None
    waiting.kill()
    waiting.communicate(timeout=10)
    assert [line.what for line in history(host).lines] == ["fab build-and-deploy", "fab unlock"]


def test_a_failure_is_logged_with_its_first_line_and_what_changed_nothing_is_not_logged(tmp_path: Path) -> None:
    host = host_at(tmp_path)
    with pytest.raises(DeployError), host_lock(host, "fab restart alpha"):
        raise DeployError("alpha: does not answer: nothing.\nmore")
    with host_lock(host, "fab build-and-deploy") as held:
        held.note(is_change=False)
    with pytest.raises(KeyboardInterrupt), host_lock(host, "fab stop"):
        raise KeyboardInterrupt
    assert [(line.what, line.outcome) for line in history(host).lines] == [
        ("fab restart alpha", "failed: alpha: does not answer: nothing."),
        ("fab stop", "interrupted"),
    ]


class Cut:
    """An executor whose way to the host can be cut."""

    def __init__(self) -> None:
        self.here, self.opened, self.is_cut = LocalExecutor(), list[Any](), False

    def run(self, command: Command, on_line: Any = None) -> Any:
        return self.here.run(command, on_line)

    def open(self, command: Command) -> Session:
        if self.is_cut:
            raise ConnectionLostError("main: no way there")
        self.opened.append(self.here.open(command))
        return self.opened[-1]  # type: ignore[no-any-return]


def test_a_lock_that_was_lost_with_the_connection_is_taken_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    executor = Cut()
    host = host_at(tmp_path, executor)
    with host_lock(host, "fab build-and-deploy") as held:
        held.note(release="one")
        executor.opened[0].close()
        eventually(lambda: len(executor.opened) == 2, "it asks again")
        eventually(lambda: "fab build-and-deploy" in (tmp_path / "state" / "deploy.lock").read_text(), "it holds")
        time.sleep(0.3)
        with pytest.raises(DeployError, match="being changed by somebody else"):
            host_lock(host_at(tmp_path), "fab stop").__enter__()
    assert [(line.release, line.outcome) for line in history(host).lines] == [
        ("one", "the task was not heard of any more"),
        ("one", "done"),
    ]


def test_a_task_whose_lock_somebody_else_has_by_now_ends_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    executor = Cut()
    began = time.monotonic()
    with (
        pytest.raises(DeployError, match="being changed by somebody else"),
        host_lock(host_at(tmp_path, executor), "fab stop"),
    ):
        executor.is_cut = True
        executor.opened[0].close()
        with another_task(tmp_path):
            executor.is_cut = False
            time.sleep(30)
    assert time.monotonic() - began < 20


@pytest.mark.parametrize("interrupts", [signal.default_int_handler, signal.SIG_IGN], ids=["foreground", "background"])
def test_a_task_whose_lock_was_broken_ends_where_it_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, interrupts: Any
) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    usual = signal.signal(signal.SIGINT, interrupts)
    began = time.monotonic()
    with (
        pytest.raises(DeployError, match=r"^main: `fab unlock` ended this task, got fab stop\. Run it again\.$"),
        host_lock(host_at(tmp_path), "fab stop"),
    ):
        unlock(host_at(tmp_path), is_really=True)
        time.sleep(30)
    signal.signal(signal.SIGINT, usual)
    assert time.monotonic() - began < 15


def test_a_task_that_is_cut_off_for_good_ends_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "BEAT_S", 0.05)
    monkeypatch.setattr(lock, "TRIES", 2)
    executor = Cut()
    with (
        pytest.raises(ConnectionLostError, match="lost the lock with the connection, got 2 failed tries"),
        host_lock(host_at(tmp_path, executor), "fab stop"),
    ):
        executor.is_cut = True
        executor.opened[0].close()
        time.sleep(30)


def test_who_is_silent_for_too_long_loses_the_lock(tmp_path: Path) -> None:
    file = agent_file(tmp_path, {"lock.py": ("SILENCE_S = 60.0", "SILENCE_S = 0.3")})
    order = LockOrder("hold", str(tmp_path), "a@b", "fab stop").to_json()
    session = LocalExecutor().open(Command(argv=(sys.executable, "-I", str(file), "lock", order), what="hold"))
    assert session.receive(10) == LockAnswer("taken").to_json()
    assert session.receive(10) is None
    session.close()
    assert history(host_at(tmp_path)).lines[0].outcome == "the task was not heard of for 0.3 s"


def test_nothing_of_the_lock_outlives_its_block(tmp_path: Path) -> None:
    with host_lock(host_at(tmp_path), "fab stop"):
        pid = json.loads((tmp_path / "state" / "deploy.lock").read_text())["pid"]
        assert Path(f"/proc/{pid}").exists()
    assert not Path(f"/proc/{pid}").exists()


def test_who_holds_a_lock_is_told_in_a_sentence(tmp_path: Path) -> None:
    target = host_at(tmp_path).target
    assert lock.held_problem(target, LockHolder("a@b", "x", "then", 7, 3)) == (
        "main: being changed by somebody else, got a@b, `x`, since then, last heard of 3 s ago. "
        "Wait until it ends; `fab unlock --yes` ends it."
    )
    assert "got somebody unknown, `something unknown`, since ?, last" in lock.held_problem(target, LockHolder())
