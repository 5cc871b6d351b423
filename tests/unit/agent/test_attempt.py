"""Why a process does not run, told of this attempt alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import attempt
from agent.protocol import AttemptAnswer, AttemptMark, AttemptOrder, Process, ReadyOutcome
from build.deploy.activate import activate, restart_and_wait
from build.deploy.diff import Desired, decide
from build.errors import DeployError
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.host import Host
from build.remote.target import Target
from tests.support.fakes.systemctl import Systemctl
from tests.support.hosts import DESCRIPTION, RELEASE, facts

MARK = AttemptMark(boot="b1", monotonic_us=1000, before=("old",), sizes={"a": 10})
PYTHON = "/opt/axion/current/build/venv/bin/python"


def entry(message: str, at: int, start: str = "new", **fields: Any) -> dict[str, Any]:
    whole = {"MESSAGE": message, "__MONOTONIC_TIMESTAMP": str(at), "__REALTIME_TIMESTAMP": "0", "_BOOT_ID": "b1"}
    return {**whole, "INVOCATION_ID": start, "SYSLOG_IDENTIFIER": "python", "_PID": "7", **fields}


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    made = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    return made


def told(
    systemctl: Systemctl, *entries: dict[str, Any], last: str = "new", mark: AttemptMark | None = MARK
) -> AttemptAnswer:
    systemctl.show({"InvocationID": last})
    program = systemctl.directory / "journalctl"
    (systemctl.directory / "journal").write_text("".join(f"{json.dumps(each)}\n" for each in entries))
    program.write_text(f"#!/bin/sh\nexec cat {systemctl.directory}/journal\n")
    program.chmod(0o755)
    return attempt.of_systemd("a", mark)


def said(answer: AttemptAnswer) -> list[str]:
    return [line.partition("]: ")[2] for line in answer.lines]


def test_nothing_of_before_is_told_however_the_clock_was_set(systemctl: Systemctl) -> None:
    answer = told(
        systemctl,
        entry("an error of yesterday", 10, start="older", __REALTIME_TIMESTAMP="9000000000000000"),
        entry("an error of before the last boot", 5000, start="far", _BOOT_ID="b0"),
        entry("the end of what ran", 1500, start="old"),
        entry("an error of this attempt", 2000),
    )
    assert said(answer) == ["an error of this attempt"]


def test_all_starts_of_an_attempt_are_told(systemctl: Systemctl) -> None:
    answer = told(systemctl, entry("first", 1100, start="n1"), entry("second", 1200, start="n2"), last="n3")
    assert said(answer) == ["first", "second"]


def test_what_runs_on_from_before_is_told_whole(systemctl: Systemctl) -> None:
    answer = told(systemctl, entry("x", 10, start="older"), entry("loading", 900, start="old"), last="old")
    assert said(answer) == ["loading"]
    assert said(told(systemctl, entry("x", 10, start="older"), entry("y", 900), mark=None)) == ["y"]


@pytest.mark.parametrize(
    ("status", "step", "reason"),
    [
        ("203", "EXEC", "systemd cannot execute its program (status 203, EXEC"),
        ("200", "CHDIR", "systemd cannot enter its working directory (status 200, CHDIR"),
        ("226", "NAMESPACE", "systemd cannot show it the files that its unit names (status 226, NAMESPACE"),
    ],
)
def test_what_systemd_could_not_do_is_told_in_words(systemctl: Systemctl, status: str, step: str, reason: str) -> None:
    spawned = entry(f"a: Failed at step {step} spawning {PYTHON}: Permission denied", 1100, EXECUTABLE=PYTHON)
    ended = entry(f"Main process exited, code=exited, status={status}/{step}", 1200, EXIT_CODE="exited")
    answer = told(systemctl, spawned, {**ended, "EXIT_STATUS": status}, entry("Failed", 1300, UNIT_RESULT="exit-code"))
    assert answer.reason == f"{reason} {PYTHON}: Permission denied)"


def test_an_end_of_the_programs_own_has_no_words_of_systemd(systemctl: Systemctl) -> None:
    unmade = entry("status=203/EXEC", 1050, EXIT_CODE="exited", EXIT_STATUS="203")
    assert told(systemctl, unmade).reason == "systemd cannot execute its program (status 203)"
    assert told(systemctl, unmade, entry("x", 1100, EXIT_CODE="exited", EXIT_STATUS="1")).reason == ""
    assert told(systemctl, entry("x", 1100, UNIT_RESULT="oom-kill")).reason == (
        "the kernel ended it: no memory was left within its limit"
    )


def test_bytes_that_are_no_text_are_told_all_the_same(systemctl: Systemctl) -> None:
    assert said(told(systemctl, {**entry("", 1100), "MESSAGE": [104, 105, 255]})) == ["hi\ufffd"]


def test_of_supervisord_only_what_was_written_since_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    states = {"a": Process("FATAL", 0, refusal="can't find command '/x'")}
    monkeypatch.setattr(attempt, "supervisord_state", lambda _: states)
    (tmp_path / "logs").mkdir()
    log = tmp_path / "logs" / "a.log"
    log.write_text("KeyError: x")
    mark = attempt.begin(tmp_path)
    assert mark.sizes == {"a": 11}
    assert attempt.of_supervisord(tmp_path, "a", mark) == AttemptAnswer(
        reason="supervisord cannot start it: can't find command '/x'", lines=()
    )
    states["a"] = Process("BACKOFF", 0, refusal="Exited too quickly (process log may have details)")
    log.write_text("KeyError: xnew\nnewer\n")
    assert attempt.of_supervisord(tmp_path, "a", mark) == AttemptAnswer(reason="", lines=("new", "newer"))
    log.write_text("turned\n")  # a new file, shorter than the old one was
    assert attempt.of_supervisord(tmp_path, "a", mark).lines == ("turned",)


class Failing:
    """A host on which alpha does not come up, and which tells why of what was since a mark."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.told: list[AttemptOrder] = []

    def run(self, command: Command, on_line: Any = None) -> Result:
        self.asked.append(command.what)
        if command.what == "wait for the models to answer":
            return Result(
                status=1, stdout=ReadyOutcome(answers={}, problems={"alpha": "ended twice"}).to_json(), stderr=""
            )
        if command.what != "read what the processes wrote":
            return Result(status=0, stdout="", stderr="")
        order = AttemptOrder.from_json(command.argv[-1])
        if order.do == "begin":
            return Result(status=0, stdout=MARK.to_json(), stderr="")
        self.told.append(order)
        answer = AttemptAnswer("systemd cannot execute its program (status 203)", ("of this attempt",))
        return Result(status=0, stdout=answer.to_json(), stderr="")

    def open(self, command: Command) -> Any:
        raise AssertionError(f"nothing stays open here, got {command.what}")


WANTED = Desired.described(RELEASE, DESCRIPTION)
ATTEMPTS: dict[str, Callable[[Host], Any]] = {
    "deployment": lambda host: activate(host, WANTED, decide(WANTED, facts(engines={}))),
    "restart": lambda host: restart_and_wait(host, WANTED, "alpha", facts()),
}


@pytest.mark.parametrize("kind", ATTEMPTS)
def test_a_failure_is_told_by_what_was_since_its_own_attempt_began(kind: str) -> None:
    failing = Failing()
    target = Target(name="main", root="/opt/axion", runner="systemd", python="python3")
    with pytest.raises(DeployError) as caught:
        ATTEMPTS[kind](Host(target, failing, Reporter()))
    assert caught.value.problems == (
        "alpha: does not answer, got: ended twice: systemd cannot execute its program (status 203). Correct the cause; "
        "`fab logs alpha` has all of it:\n    of this attempt",
    )
    (order,) = failing.told
    assert (order.name, order.mark, order.runner) == ("alpha", MARK, "systemd")
    assert failing.asked[0] == "read what the processes wrote", "the mark is made before anything is touched"
