"""The first words with a host that is too old: one message with all of it, no traceback, and nothing is made there."""

import ast
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from build.cli.doctor import _rows_of
from build.cli.stop import _stop
from build.deploy.deploy import run_build_and_deploy
from build.deploy.doctor import host_checks
from build.deploy.prepare import prepare
from build.deploy.state import read_state
from build.errors import DeployError
from build.pins import PINS, load_pins
from build.progress import Reporter
from build.remote import minimum
from build.remote.agent import START, source
from build.remote.command import Command
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.lock import host_lock
from build.remote.minimum import checks_of, look_command, parse, problems_of
from build.remote.ssh.connection import HostConnection
from build.remote.ssh.executor import SshExecutor
from build.remote.target import Target
from deployment.stack.minimum import HostSystem
from tests.support.local_deployment import local_deployment

USE = "Use Ubuntu 24.04, or Debian 12 or newer."
# As the agent says it there, whatever it is given but the question for its version.
OLD = """\
#!/bin/sh
case "$*" in
*platform.python_version*) echo 3.9.2 ;;
*) echo "vLLM runs on Python 3.11 to 3.14, got 3.9.2. Use Ubuntu 24.04, or Debian 12 or newer." >&2; exit 1 ;;
esac
"""
DEBIAN_11 = """\
Welcome! You have new mail.
axion.system.distribution Debian GNU/Linux 11 (bullseye)
axion.system.interpreter /usr/bin/python3
axion.system.python 3.9.2
axion.system.systemd 247 (247.3-7+deb11u7)
axion.system.glibc 2.31
axion.system.cgroups cgroup2fs
"""


@pytest.fixture
def old(tmp_path: Path) -> Host:
    """A host whose Python is 3.9, as far as anybody asks."""
    python = tmp_path / "python3"
    python.write_text(OLD)
    python.chmod(0o755)
    target = Target(name="main", root=str(tmp_path / "root"), runner="systemd", python=str(python))
    return Host(target, LocalExecutor(), Reporter())


def models_file(tmp_path: Path) -> Path:
    with local_deployment(tmp_path / "models") as deployment:
        deployment.write()
        return deployment.file


TASKS: dict[str, Callable[[Host, Path], Any]] = {
    "plan": lambda host, file: prepare(file, host.target, host.executor),
    "build-and-deploy": run_build_and_deploy,
    "stop": lambda host, _: _stop(host),
}


@pytest.mark.parametrize("task", TASKS)
def test_every_task_says_all_of_it_and_makes_nothing_there(task: str, old: Host, tmp_path: Path) -> None:
    (tmp_path / "models").mkdir()
    file = models_file(tmp_path)
    with pytest.raises(DeployError) as caught:
        TASKS[task](old, file)
    assert caught.value.problems == (f"main: vLLM runs on Python 3.11 to 3.14, got 3.9.2. {USE}",)
    assert not (tmp_path / "root").exists()


def test_a_host_without_python_says_so_too(old: Host, tmp_path: Path) -> None:
    Path(old.target.python).unlink()
    with pytest.raises(DeployError) as caught:
        TASKS["stop"](old, tmp_path)
    (said,) = caught.value.problems
    assert said.startswith(f"main: no Python at {old.target.python}, got ")
    assert said.endswith(f". {USE}")


def test_units_ask_for_systemd_as_well(old: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(minimum, "REMOTE_PYTHON", old.target.python)
    monkeypatch.setattr(minimum, "LOOK", minimum.LOOK.replace("-d /run/systemd/system", "-d /nowhere"))
    with pytest.raises(DeployError) as caught:
        TASKS["stop"](old, tmp_path)
    assert caught.value.problems[:2] == (
        f"main: vLLM runs on Python 3.11 to 3.14, got 3.9.2. {USE}",
        f"main: systemd 249 or newer has to run there, got none. {USE}",
    )


def test_what_a_login_prints_before_is_no_answer() -> None:
    assert problems_of("main", DEBIAN_11) == [
        f"main: vLLM runs on Python 3.11 to 3.14, got 3.9.2. {USE}",
        f"main: systemd 249 or newer has to run there, got 247 (247.3-7+deb11u7). {USE}",
    ]
    assert [each.verdict for each in checks_of("main", DEBIAN_11)] == ["fail", "fail"]
    assert problems_of("main", "Welcome! You have new mail.\n") == []


def test_the_doctor_has_a_row_for_each(old: Host) -> None:
    rows = _rows_of(old)
    assert [(row.name, row.verdict) for row in rows] == [("connection", "fail")]
    assert "vLLM runs on Python 3.11 to 3.14, got 3.9.2" in rows[0].finding


@pytest.mark.parametrize("shell", ["sh", "dash", "bash"])
def test_the_question_is_plain_enough_for_every_shell(shell: str) -> None:
    _, *rest = look_command(sys.executable).argv
    answer = LocalExecutor().run(Command(argv=(shell, *rest), what="look"))
    assert answer.stderr == ""
    found = parse(answer.stdout)
    assert (found.python, found.interpreter) == (".".join(map(str, sys.version_info[:3])), sys.executable)
    assert found.glibc.startswith("2.")
    assert found.distribution


def test_a_sound_host_is_asked_nothing_more(tmp_path: Path) -> None:
    """What was wrong is told as it is where the system is not the reason."""

    class Once(LocalExecutor):
        def run(self, command: Command, on_line: Any = None) -> Any:
            asked.append(command.what)
            return super().run(command, on_line)

    asked: list[str] = []
    target = Target(name="main", root=str(tmp_path), runner="supervisor", python=sys.executable)
    rows = host_checks(read_state(Host(target, Once(), Reporter())), load_pins(PINS))
    assert asked == ["look at the host"]
    assert {row.name: row.verdict for row in rows}["Python"] == "pass"


@pytest.mark.parametrize("text", [source("guard.py"), START], ids=["guard", "start"])
def test_what_runs_before_anything_is_known_is_read_by_python_3_6(text: str) -> None:
    """The guard runs whatever may take long, and the start is the agent's: on Rocky 8 and SLES 15 by Python 3.6."""
    tree = ast.parse(text, feature_version=(3, 6))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            told = [each.annotation for each in (*node.args.args, *node.args.kwonlyargs)] + [node.returns]
            # Evaluated there; `dict[str, Any]` and `X | None` are none of its values.
            evaluated = [ast.unparse(each) for each in told if isinstance(each, ast.BinOp | ast.Subscript)]
            assert evaluated == [], f"{node.name}: quote {evaluated}"
    module = [node for node in tree.body if isinstance(node, ast.AnnAssign)]
    assert module == []


def test_a_system_that_says_nothing_is_unknown() -> None:
    assert parse("") == HostSystem()


def test_a_host_that_nobody_reaches_is_waited_for_once(tmp_path: Path) -> None:
    """What it lacks is asked only of one that was there: the same wait again would find the same."""
    tries: list[str] = []

    def connect() -> HostConnection:
        tries.append("connect")
        raise DeployError("main: no SSH server answers: Connection refused. Check that it runs.")

    target = Target(name="main", root=str(tmp_path), runner="systemd", python=sys.executable)
    for act in (read_state, lambda host: host_lock(host, "fab stop").__enter__()):
        tries.clear()
        with pytest.raises(DeployError, match=r"^main: no SSH server answers: Connection refused\."):
            act(Host(target, SshExecutor(connect), Reporter()))
        assert tries == ["connect"]
