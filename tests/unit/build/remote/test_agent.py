"""The agent's way to a host: with the command that needs it at first, and then it is there, whole."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from agent.__main__ import VERBS
from agent.protocol import LockAnswer, LockNote, LockOrder
from build.deploy.upload import upload_command
from build.remote.agent import archive, archive_name
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, OnLine, check
from build.remote.room import look_command
from build.remote.target import Target
from tests.support.agent import agent_file, run_agent

REPOSITORY = Path(__file__).parents[4]


class Counting(LocalExecutor):
    """How many bytes went to each start of a command."""

    def __init__(self) -> None:
        self.sent: list[int] = []

    def _run(self, command: Command, on_line: OnLine | None) -> Result:
        self.sent.append(len(command.stdin or b""))
        return super()._run(command, on_line)


def here(root: Path) -> Target:
    return Target(name="here", root=str(root), runner="supervisor", python=sys.executable)


def upload(root: Path, name: str = "r1") -> None:
    check(LocalExecutor(), upload_command(here(root), name, [], "b"))


def test_the_same_sources_are_the_same_archive_wherever_it_is_made() -> None:
    code = "from build.remote.agent import archive_name; print(archive_name())"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == archive_name()


def test_a_look_at_a_host_that_has_no_agent_brings_it_and_leaves_nothing(tmp_path: Path) -> None:
    executor, root = Counting(), tmp_path / "axion"
    for _ in range(2):
        assert json.loads(check(executor, look_command(here(root))).stdout)
    assert executor.sent == [0, len(archive()), len(archive())], "asked without at first, and then known"
    assert list(tmp_path.iterdir()) == []


def test_a_release_leaves_the_agent_there_and_later_commands_bring_nothing(tmp_path: Path) -> None:
    upload(tmp_path)
    assert (tmp_path / "agent" / archive_name()).read_bytes() == archive()
    executor = Counting()
    check(executor, look_command(here(tmp_path)))
    assert executor.sent == [0]


@pytest.mark.parametrize("content", [b"", b"\0" * 4096, archive()[: len(archive()) // 2]])
def test_an_archive_that_is_not_whole_counts_as_none_and_the_next_release_mends_it(
    tmp_path: Path, content: bytes
) -> None:
    """Else no command would ever run there again."""
    upload(tmp_path)
    place = tmp_path / "agent" / archive_name()
    place.write_bytes(content)
    executor = Counting()
    assert json.loads(check(executor, look_command(here(tmp_path))).stdout)
    assert executor.sent == [0, len(archive())]
    upload(tmp_path, "r2")
    assert place.read_bytes() == archive()


def test_archives_of_older_checkouts_go_but_for_the_ones_used_last(tmp_path: Path) -> None:
    upload(tmp_path)
    for number in range(5):
        (tmp_path / "agent" / f"{number:016x}.pyz").write_bytes(b"older")
    upload(tmp_path, "r2")
    left = {path.name for path in (tmp_path / "agent").iterdir()}
    assert len(left) == 3
    assert archive_name() in left


def test_what_is_sent_to_a_session_comes_after_the_archive(tmp_path: Path) -> None:
    order = LockOrder("hold", str(tmp_path), "a@b", "fab stop").to_json()
    session = LocalExecutor().open(here(tmp_path).agent.command("lock", order, what="hold"))
    assert session.receive(10) == LockAnswer("taken").to_json()
    session.send(LockNote(outcome="well").to_json())
    session.close()
    assert '"outcome": "well"' in (tmp_path / "logs" / "audit.jsonl").read_text()


@pytest.mark.parametrize("verb", sorted(set(VERBS) - {"requirements"}))
def test_each_verb_has_a_program(verb: str) -> None:
    """That of `requirements` needs a build's tools to be imported."""
    assert callable(importlib.import_module(f"agent.{VERBS[verb]}").main)


def test_a_verb_that_nobody_knows_is_a_sentence(tmp_path: Path) -> None:
    done = run_agent(agent_file(tmp_path), "frobnicate", text=True)
    assert done.returncode == 1
    assert done.stderr.startswith("frobnicate: no such verb. Use one of apt-offers, attempt, ")
