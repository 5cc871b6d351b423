"""The launcher against real processes: whatever is killed, nothing of an engine is left, and within seconds."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.engine_unit import EngineUnit, LaunchError
from agent.process_tree import read_process
from tests.support.fakes.host_root import REPOSITORY, add_release
from tests.support.launchers import BOUND_S, NAME, Host, started
from tests.support.share import eventually


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    made = Host(tmp_path / "a host")
    made.root.mkdir()
    yield made
    for launcher in made.started:
        launcher.kill()
    for pid in made.seen:  # what a failed test left would hold the pipe open
        if read_process(pid):
            os.kill(pid, signal.SIGKILL)
    for launcher in made.started:
        launcher.communicate(timeout=BOUND_S)


@pytest.mark.parametrize("in_own_session", ["", "TREE_SETSID=1\n"])
@pytest.mark.parametrize("victim", ["api", "keeper", "guard"])
def test_killing_one_process_ends_the_whole_tree(host: Host, victim: str, in_own_session: str) -> None:
    launcher, pids = started(host, in_own_session)
    os.kill(pids[victim], signal.SIGKILL)
    host.assert_nothing_left()
    assert launcher.wait(BOUND_S) == (-9 if victim == "guard" else 137)


def test_a_killed_worker_is_left_to_the_engine(host: Host) -> None:
    """vLLM notices by itself and exits (measured: 3.3 s); the launcher must not mistake it for the engine's end."""
    launcher, pids = started(host)
    os.kill(pids["worker"], signal.SIGKILL)
    time.sleep(0.2)
    assert launcher.poll() is None
    os.kill(pids["api"], signal.SIGKILL)
    host.assert_nothing_left()


def test_killing_the_runner_ends_the_tree(host: Host) -> None:
    runner, pids = started(host, wrap=("sh", "-c", '"$@" & wait', "sh"))
    assert runner.pid != pids["guard"]
    runner.kill()
    host.assert_nothing_left()
    assert not (host.root / "run" / f"{NAME}.json").exists()


def test_killing_the_guards_process_group_ends_the_tree(host: Host) -> None:
    """It is what supervisord does with killasgroup when its patience ends."""
    _, pids = started(host, wrap=("setsid",))
    os.killpg(os.getpgid(pids["guard"]), signal.SIGKILL)
    host.assert_nothing_left()


@pytest.mark.parametrize("in_own_session", ["", "TREE_SETSID=1\n"])
@pytest.mark.parametrize("by", ["sweep", "start"])
def test_what_survives_the_death_of_guard_and_keeper_is_swept(host: Host, by: str, in_own_session: str) -> None:
    launcher, pids = started(host, in_own_session)
    for pid in (pids["keeper"], pids["guard"]):  # stopped first, so that neither can act on the other's death
        os.kill(pid, signal.SIGSTOP)
    for pid in (pids["keeper"], pids["guard"]):
        os.kill(pid, signal.SIGKILL)
    launcher.wait(BOUND_S)
    eventually(lambda: read_process(pids["api"]) is None, "the engine itself goes with its keeper")
    left = [pids["core"], pids["worker"]]
    assert all(read_process(pid) for pid in left), "the stand-in no longer shows the case"
    for pid in left:
        environment = Path(f"/proc/{pid}/environ")
        eventually(lambda: environment.read_bytes().startswith(b"\0"), "it is as setproctitle leaves it")  # noqa: B023
        assert b"AXION_UNIT" not in environment.read_bytes()
    if by == "start":
        host.start()
        eventually(lambda: not any(read_process(pid) for pid in left), "the next start clears them away")
        assert host.tree()["core"] not in left
    else:
        output = host.sweep().stderr
        assert all(str(pid) in output for pid in left)
        host.assert_nothing_left()
        assert host.sweep().stderr == ""


def test_a_sweep_leaves_a_running_engine_alone(host: Host) -> None:
    _, pids = started(host)
    assert host.sweep().stderr == ""
    assert all(read_process(pid) for pid in pids.values())


@pytest.mark.parametrize(("recorded", "environment"), [({"boot_id": "another"}, {}), ({}, {"A": "stranger"})])
def test_a_stranger_with_the_number_of_our_session_is_spared(
    host: Host, recorded: dict[str, str], environment: dict[str, str]
) -> None:
    launcher, _ = started(host)
    path = host.root / "run" / f"{NAME}.json"
    saved = host.record()
    launcher.terminate()
    launcher.wait(BOUND_S)
    stranger = subprocess.Popen(["/bin/sleep", "60"], start_new_session=True, env=environment)
    try:
        seen = read_process(stranger.pid)
        assert seen is not None
        path.write_text(
            json.dumps(saved | {"session": stranger.pid, "session_start_ticks": seen.start_ticks} | recorded)
        )
        assert host.sweep().stderr == ""
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_sigterm_lets_the_engine_drain(host: Host) -> None:
    launcher, _ = started(host, "TREE_DRAIN_S=0.6\n")
    asked = time.monotonic()
    launcher.terminate()
    assert launcher.wait(BOUND_S) == 0
    assert time.monotonic() - asked > 0.5
    host.assert_nothing_left()
    assert sorted(path.name for path in (host.root / "run").iterdir()) == [
        "tiny.json.new",
        "tiny.lock",
        "tiny.stopping",
    ]


def test_a_second_sigterm_ends_the_drain(host: Host) -> None:
    launcher, _ = started(host, "TREE_DRAIN_S=60\n")
    launcher.terminate()
    time.sleep(0.3)
    assert launcher.poll() is None
    launcher.terminate()
    assert launcher.wait(BOUND_S) == 137
    host.assert_nothing_left()


def test_an_engine_that_ignores_sigterm_is_killed_at_the_deadline(host: Host) -> None:
    launcher, _ = started(host, "TREE_IGNORE_TERM=1\nAXION_STOP_TIMEOUT_S=0.4\n")
    launcher.terminate()
    assert launcher.wait(BOUND_S) == 137
    host.assert_nothing_left()


def test_a_keeper_that_hangs_does_not_hold_up_the_stop(host: Host) -> None:
    launcher, pids = started(host, "AXION_STOP_TIMEOUT_S=0.2\n")
    os.kill(pids["keeper"], signal.SIGSTOP)
    launcher.terminate()
    time.sleep(0.2)
    launcher.terminate()
    assert launcher.wait(BOUND_S) == 137
    host.assert_nothing_left()


def test_the_exit_code_of_the_engine_is_passed_on(host: Host) -> None:
    add_release(host.root, "r1", {NAME: "TREE_EXIT=3\n"})
    assert host.start().wait(BOUND_S) == 3


def test_the_record_names_the_release_that_runs_not_the_current_one(host: Host) -> None:
    launcher, _ = started(host)
    add_release(host.root, "r2", {NAME: ""})
    record = host.record()
    assert record["release"] == str(host.root / "releases" / "r1")
    assert record["unit_digest"] == "r1-tiny"
    assert record["pid"] == launcher.pid


def test_the_engine_gets_its_environment_and_nothing_meant_for_the_launcher(host: Host) -> None:
    add_release(host.root, "r1", {NAME: "# a comment\n\nA_PLAIN='quotes stay' = too\n"})
    host.start(NOTIFY_SOCKET="", SUPERVISOR_ENABLED="1")
    host.tree()
    told = json.loads((host.root / "state" / NAME / "pids.json").read_text())
    environment = told["environment"]
    assert environment["A_PLAIN"] == "'quotes stay' = too"
    assert environment["AXION_UNIT"] == f"{host.root}:{NAME}"
    assert environment["PATH"].startswith(f"{host.root}/builds/b1/venv/bin:")
    assert not {"PYTHONPATH", "NOTIFY_SOCKET", "SUPERVISOR_ENABLED"} & set(environment)
    assert told["umask"] == 0o077
    eventually((host.root / "run" / f"{NAME}.sock").exists, "the engine listens")


def has_lock_open(pid: int) -> bool:
    try:
        return any(link.readlink().suffix == ".lock" for link in Path(f"/proc/{pid}/fd").iterdir())
    except OSError:  # one was closed while we looked
        return False


def test_a_second_launcher_waits_and_gives_up(host: Host) -> None:
    launcher, _ = started(host)
    second = host.start()
    eventually(lambda: has_lock_open(second.pid), "it waits for the lock")
    assert second.poll() is None
    second.terminate()
    assert second.wait(BOUND_S) == 75
    assert launcher.poll() is None


def test_a_name_cannot_leave_the_directory(host: Host) -> None:
    with pytest.raises(LaunchError, match="not a served model's name"):
        EngineUnit.read(root=host.root, release=host.root, name="../x")


def test_the_launcher_imports_no_server(host: Host) -> None:
    code = "import sys, agent.launch; print(*(m for m in ('aiohttp', 'pydantic', 'asyncio') if m in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


def test_ready_reaches_systemd_from_a_real_engine(host: Host, tmp_path: Path) -> None:
    add_release(host.root, "r1", {NAME: ""})
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind("\0" + str(tmp_path / "notify"))
        systemd.settimeout(BOUND_S)
        host.start(NOTIFY_SOCKET=f"@{tmp_path}/notify")
        host.tree()
        messages = [systemd.recv(200)]
        while not messages[-1].startswith(b"READY=1"):
            messages.append(systemd.recv(200))
