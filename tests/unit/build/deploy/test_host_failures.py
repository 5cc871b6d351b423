"""What a person reads when a host, or the way to it, fails in the middle of a task."""

import subprocess
import sys
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from agent.protocol import RunnerOrder, RunnerStep
from build.deploy.activate import wait_ready
from build.deploy.deploy import go_back
from build.deploy.diff import Desired
from build.deploy.switch import switch_to
from build.engine.commands import write_file
from build.errors import ConnectionLostError, DeployError
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, check
from build.remote.host import Host
from build.remote.jobs import run_job
from build.remote.lock import host_lock
from build.remote.target import Target
from tests.support.agent import agent_file, run_agent
from tests.support.hosts import DESCRIPTION, RELEASE, facts
from tests.support.jobs import a_job, step
from tests.unit.build.remote.test_jobs import Breaking, slow

MAIN = Target(name="main", root="/opt/axion", runner="systemd", python="/usr/bin/python3")


class Answering:
    """An executor that gives every command the same answer."""

    def __init__(self, result: Result | DeployError) -> None:
        self.result = result

    def run(self, command: Command, on_line: Any = None) -> Result:
        if isinstance(self.result, DeployError):
            raise self.result
        return self.result

    def open(self, command: Command) -> Any:
        raise AssertionError(f"nothing stays open here, got {command.what}")


def a_host(result: Result | DeployError) -> Host:
    return Host(MAIN, Answering(result), Reporter())


def test_a_step_that_finds_the_disk_full_shows_the_systems_own_words() -> None:
    with pytest.raises(DeployError, match=r"^write full: failed with exit status 1\. Read") as caught:
        check(LocalExecutor(), write_file(PurePosixPath("/dev/full"), "text"))
    assert "No space left on device" in str(caught.value)


def test_a_lock_that_cannot_be_written_says_why(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file where the host's directory belongs")
    target = Target(name="main", root=str(tmp_path / "root"), runner="supervisor", python=sys.executable)
    held = host_lock(Host(target, LocalExecutor(), Reporter()), "fab stop")
    with pytest.raises(DeployError, match=r"^main: cannot be locked: \[Errno 17\] File exists: .*fab doctor"):
        held.__enter__()


def test_who_is_cut_off_for_good_learns_that_the_work_goes_on(
    systemd_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build.remote.jobs.time.sleep", lambda _seconds: None)
    monkeypatch.setattr("build.remote.jobs.RECONNECTIONS", 0)
    cut = Host(systemd_host.target, Breaking(9), systemd_host.reporter)
    with pytest.raises(ConnectionLostError) as caught:
        run_job(cut, a_job(slow(tmp_path, 1.0)))
    assert caught.value.problems == (
        "main: the connection broke",
        "Test it: it continues there. Run the same command again to follow it.",
    )
    run_job(systemd_host, a_job(step("pass")))  # which ends the other


def test_a_secret_on_a_machine_that_is_not_googles_is_a_sentence() -> None:
    code = "from agent.secrets import read_secret; read_secret('projects/p/secrets/s', metadata='http://127.0.0.1:9')"
    argv, root = [sys.executable, "-c", code], Path(__file__).parents[4]
    done = subprocess.run(argv, cwd=root, capture_output=True, text=True, check=False, timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("projects/p/secrets/s: the secret cannot be read from this host: ")
    assert done.stderr.endswith(". Is it a Google Cloud instance?\n")


def install(root: Path, path: Path) -> "subprocess.CompletedProcess[str]":
    order = RunnerOrder(root=str(root), user="axion-no-such", steps=(RunnerStep("install"),)).to_json()
    root.mkdir(exist_ok=True)
    ran: subprocess.CompletedProcess[str] = run_agent(
        agent_file(path), "systemd", order, env={"PATH": str(path)}, text=True
    )
    return ran


def test_a_release_without_its_description_is_not_installed(tmp_path: Path) -> None:
    done = install(tmp_path, tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("systemd: cannot be controlled: [Errno 2] No such file or directory: ")


def test_an_account_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "current").mkdir()
    (tmp_path / "current" / "release.json").write_text(DESCRIPTION.to_json())
    useradd = tmp_path / "useradd"
    useradd.write_text("#!/bin/sh\necho 'useradd: cannot lock /etc/passwd' >&2\nexit 1\n")
    useradd.chmod(0o755)
    done = install(tmp_path, tmp_path)
    assert done.returncode == 1
    assert done.stderr == (
        "useradd axion-no-such: failed: useradd: cannot lock /etc/passwd. Make that system account by hand.\n"
    )


def test_a_way_back_that_is_cut_is_told_together_with_the_failure() -> None:
    host = a_host(ConnectionLostError("main: the connection broke: its end."))
    said = go_back(host, facts(), failed="20260201T120000-bbbbbbbb")
    assert said == f"Returning to {RELEASE} failed as well: main: the connection broke: its end."


def test_a_release_whose_environment_was_removed_is_not_switched_to() -> None:
    answer = Result(status=0, stdout=facts(builds=[]).to_json(), stderr="")
    with pytest.raises(DeployError) as caught:
        switch_to(a_host(answer), RELEASE)
    assert str(caught.value) == (f"{RELEASE}: its engine environment is gone, got b1. Deploy the models file anew.")


def test_a_host_that_cannot_run_the_health_gate_is_not_taken_for_healthy() -> None:
    desired = Desired.described(RELEASE, DESCRIPTION)
    host = a_host(Result(status=137, stdout="", stderr="Killed\n"))
    with pytest.raises(DeployError, match=r"^wait-ready: no answer from the host: 'Killed'\. Run `fab doctor`\.$"):
        wait_ready(host, desired, ["alpha"], timeout_s=1.0)
