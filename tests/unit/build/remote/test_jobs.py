"""Jobs on a host under systemd: each outlives who began it, is done once, and its results are taken once."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from build.errors import ConnectionLostError, DeployError
from build.progress import Phase, Reporter
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.jobs import StepFailedError, forget_job, is_underway, run_job, wait_for_job
from build.remote.target import Target
from tests.support.jobs import UNIT, a_job, step
from tests.support.share import eventually

REPOSITORY = Path(__file__).parents[4]


def begun(tmp_path: Path) -> int:
    return len((tmp_path / "begun").read_text().splitlines()) if (tmp_path / "begun").exists() else 0


def slow(tmp_path: Path, seconds: float = 3.0) -> Command:
    """Writes down that it began, then says twenty lines."""
    pause = seconds / 20
    return step(
        f"import time; open({str(tmp_path / 'begun')!r}, 'a').write('x\\n')\n"
        f"for n in range(20): print('line', n, flush=True); time.sleep({pause})"
    )


def collecting(lines: list[str]) -> Callable[[Phase], Callable[[str], None]]:
    return lambda _phase: lines.append


LINES = [f"line {n}" for n in range(20)]


def test_every_step_runs_in_order_and_tells_how_it_ended(systemd_host: Host, tmp_path: Path) -> None:
    heard: list[str] = []
    results = run_job(
        systemd_host,
        a_job(
            Command(argv=("mkdir", str(tmp_path / "made")), what="make a folder"),
            step("import sys; print(sys.stdin.read()); print('\\u00e9', file=sys.stderr)", stdin=b"given"),
            step("import os; print(os.getcwd(), os.environ['A'])", cwd=str(tmp_path), env={"A": "b"}),
        ),
        collecting(heard),
    )
    assert [(each.status, each.stdout, each.stderr) for each in results] == [
        (0, "", ""),
        (0, "given\n", "\u00e9\n"),
        (0, f"{tmp_path} b\n", ""),
    ]
    assert sorted(heard) == sorted(["given", "\u00e9", f"{tmp_path} b"])
    assert (tmp_path / "bin" / "run" / "awake").exists()


def test_a_job_that_ended_well_is_not_done_again_until_it_is_forgotten(systemd_host: Host, tmp_path: Path) -> None:
    job = a_job(slow(tmp_path, 0.0))
    for _ in range(2):
        assert run_job(systemd_host, job)[0].stdout.split("\n")[0] == "line 0"
    assert begun(tmp_path) == 1
    assert is_underway(systemd_host.target, systemd_host.executor, "test", job.identity)
    forget_job(systemd_host, "test")
    assert not is_underway(systemd_host.target, systemd_host.executor, "test", job.identity)
    run_job(systemd_host, job)
    assert begun(tmp_path) == 2


def test_other_steps_under_the_same_name_are_another_job(systemd_host: Host, tmp_path: Path) -> None:
    run_job(systemd_host, a_job(step("print('one')")))
    assert run_job(systemd_host, a_job(step("print('two')")))[0].stdout == "two\n"
    assert run_job(systemd_host, a_job(step("print('three')"), key="k"))[0].stdout == "three\n"
    assert run_job(systemd_host, a_job(step("print('four')"), key="k"))[0].stdout == "three\n", "the same by its key"


def test_a_job_that_must_not_be_ended_is_waited_for_whatever_its_steps(
    systemd_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = threading.Thread(target=run_job, args=(systemd_host, a_job(slow(tmp_path))))
    first.start()
    eventually(lambda: begun(tmp_path) == 1, "the first has begun", 20)
    with monkeypatch.context() as bent, pytest.raises(DeployError) as caught:
        bent.setattr("build.remote.jobs.WAIT_S", 0.0)
        wait_for_job(systemd_host, "test", "Wait for what runs")
    assert str(caught.value) == (
        "main: axion-work-test.service still runs after 0 s. Read `journalctl -u axion-work-test.service` there."
    )
    wait_for_job(systemd_host, "test", "Wait for what runs")
    assert not is_underway(systemd_host.target, systemd_host.executor, "test", "another")
    assert run_job(systemd_host, a_job(step("print('two')")))[0].stdout == "two\n"
    first.join(20)
    wait_for_job(systemd_host, "test", "Wait for nothing")


def test_a_step_that_fails_ends_the_job_and_is_tried_again_by_the_next_task(systemd_host: Host, tmp_path: Path) -> None:
    code = (
        f"import os, sys; print('x' * 9, file=sys.stderr); sys.exit(7 * (not os.path.exists({str(tmp_path / 'ok')!r})))"
    )
    failing = step(code)
    job = a_job(failing, slow(tmp_path, 0.0))
    with pytest.raises(StepFailedError) as caught:
        run_job(systemd_host, job)
    assert str(caught.value) == "do it: failed with exit status 7. Read its last lines:\n    xxxxxxxxx"
    assert (caught.value.result.status, begun(tmp_path)) == (7, 0)
    assert not is_underway(systemd_host.target, systemd_host.executor, "test", job.identity)
    (tmp_path / "ok").touch()
    assert len(run_job(systemd_host, job)) == 2


def test_a_step_beyond_its_bound_and_a_program_that_is_not_there_are_failures(systemd_host: Host) -> None:
    with pytest.raises(DeployError, match=r"do it: failed with exit status 124\..*\n    timed out after 0\.5 s"):
        run_job(systemd_host, a_job(step("import time; time.sleep(60)", timeout_s=0.5)))
    with pytest.raises(DeployError, match=r"look: failed with exit status 127\..*\n    cannot start: .*no-such"):
        run_job(systemd_host, a_job(Command(argv=("no-such-program",), what="look")))


TASK = """
import sys
from pathlib import Path
from build.deploy.activate import Host
from build.remote.executor import LocalExecutor
from build.progress import Reporter
from build.remote.target import Target
from build.remote.jobs import run_job
from tests.unit.build.remote.test_jobs import slow
from tests.support.share import eventually
from tests.support.jobs import a_job
root = Path(sys.argv[1])
host = Host(Target(name="main", root=sys.argv[1], runner="systemd", python=sys.executable), LocalExecutor(), Reporter())
run_job(host, a_job(slow(root)))
"""


def test_the_job_of_a_task_that_was_killed_goes_on_and_the_next_task_follows_it(
    systemd_host: Host, tmp_path: Path
) -> None:
    task = subprocess.Popen([sys.executable, "-c", TASK, str(tmp_path)], cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 20
    while begun(tmp_path) == 0:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    task.send_signal(signal.SIGKILL)
    task.wait(10)
    heard: list[str] = []
    results = run_job(systemd_host, a_job(slow(tmp_path)), collecting(heard))
    assert heard == LINES
    assert results[0].stdout.splitlines() == LINES
    assert begun(tmp_path) == 1


class Breaking:
    """An executor whose connection breaks while it follows, after a few lines each time."""

    def __init__(self, times: int) -> None:
        self.here, self.times = LocalExecutor(), times

    def run(self, command: Command, on_line: Any = None) -> Result:
        if '"do": "follow"' not in " ".join(command.argv) or self.times == 0:
            return self.here.run(command, on_line)
        self.times -= 1
        heard = 0

        def few(line: str) -> None:
            nonlocal heard
            heard += 1
            if heard > 4:
                raise ConnectionLostError("main: the connection broke")
            on_line(line)

        return self.here.run(command, few)

    def open(self, command: Command) -> Any:
        return self.here.open(command)


def test_a_broken_connection_misses_no_line_and_hears_none_twice(
    systemd_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("build.remote.jobs.time.sleep", lambda _seconds: None)
    heard: list[str] = []
    breaking = Host(systemd_host.target, Breaking(3), systemd_host.reporter)
    run_job(breaking, a_job(slow(tmp_path, 1.0)), collecting(heard))
    assert heard == LINES
    assert begun(tmp_path) == 1


def test_a_job_that_was_stopped_or_killed_says_so_and_is_done_again_by_the_next_task(
    systemd_host: Host, tmp_path: Path
) -> None:
    job = a_job(step("import os, signal; os.kill(os.getppid(), signal.SIGKILL)"))
    with pytest.raises(DeployError) as caught:
        run_job(systemd_host, job)
    assert str(caught.value) == (
        f"main: {UNIT} ended without a result: signal (status 9). Run the same command again; "
        f"`journalctl -u {UNIT}` there has the rest."
    )
    assert run_job(systemd_host, a_job(step("print('again')"), key=job.identity))[0].stdout == "again\n"


def test_another_job_that_runs_is_ended_first(systemd_host: Host, tmp_path: Path) -> None:
    task = subprocess.Popen([sys.executable, "-c", TASK, str(tmp_path)], cwd=REPOSITORY, stderr=subprocess.DEVNULL)
    while begun(tmp_path) == 0:
        time.sleep(0.05)
    task.kill()
    task.wait(10)
    assert run_job(systemd_host, a_job(step("print('other')")))[0].stdout == "other\n"


def older(directory: Path) -> None:
    """Leave a job there as versions did whose files named no schema."""
    (directory / "steps.json").write_text('{"key": "k", "steps": []}')
    result = '{"key": "k", "results": [{"status": 0, "stdout": "old", "stderr": ""}]}'
    (directory / "result.json").write_text(result)


def test_what_an_older_version_left_counts_for_nothing(systemd_host: Host, tmp_path: Path) -> None:
    run_job(systemd_host, a_job(step("print('one')"), key="k"))
    older(tmp_path / "work" / "test")
    assert not is_underway(systemd_host.target, systemd_host.executor, "test", "k")
    assert run_job(systemd_host, a_job(step("print('anew')"), key="k"))[0].stdout == "anew\n"


def test_a_job_that_an_older_version_began_is_waited_for_and_is_another_one(
    systemd_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def its_task() -> None:
        with suppress(DeployError):  # it hears at last that another took its place
            run_job(systemd_host, a_job(slow(tmp_path, 120.0), timeout_s=200.0, key="k"))

    first = threading.Thread(target=its_task)
    first.start()
    eventually(lambda: begun(tmp_path) == 1, "it has begun", 20)
    (tmp_path / "work" / "test" / "steps.json").write_text('{"key": "k", "steps": []}')
    with monkeypatch.context() as bent, pytest.raises(DeployError, match="still runs after 0 s"):
        bent.setattr("build.remote.jobs.WAIT_S", 0.0)
        wait_for_job(systemd_host, "test", "Wait for what runs")
    assert not is_underway(systemd_host.target, systemd_host.executor, "test", "k")
    assert run_job(systemd_host, a_job(step("print('two')"), key="k"))[0].stdout == "two\n"
    first.join(20)


def test_engines_that_serve_come_before_a_job(systemd_host: Host, tmp_path: Path) -> None:
    run_job(systemd_host, a_job(step("pass"), timeout_s=90.0))
    options = (tmp_path / "bin" / "units" / "axion-work-test.options").read_text().splitlines()
    assert {"--property=CPUWeight=20", "--property=OOMScoreAdjust=800", "--property=RuntimeMaxSec=90"} <= set(options)
    assert os.stat(tmp_path / "work" / "test").st_mode & 0o777 == 0o700  # noqa: PTH116


def test_on_this_computer_the_steps_simply_run(tmp_path: Path) -> None:
    target = Target(name="here", root=str(tmp_path), runner="supervisor", python=sys.executable)
    here = Host(target, LocalExecutor(), Reporter())
    heard: list[str] = []
    (result,) = run_job(here, a_job(step("print('x')")), collecting(heard))
    assert (result.stdout, heard, is_underway(here.target, here.executor, "test", "k")) == ("x\n", ["x"], False)
    with pytest.raises(StepFailedError, match="do it: failed with exit status 3"):
        run_job(here, a_job(step("raise SystemExit(3)")))
    forget_job(here, "test")
    assert list(tmp_path.iterdir()) == []
