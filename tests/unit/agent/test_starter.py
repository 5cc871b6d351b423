"""The starter: what of the release may be started and stopped, over its socket, and how it puts that to systemd."""

import json
import os
import socket
import stat
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest

from agent.running import StarterAnswer, StarterOrder
from agent.starter import Systemd, answer, serve
from tests.support.fakes.host_root import REPOSITORY
from tests.support.fakes.systemctl import Systemctl
from tests.support.share import eventually

SIZES = {"alpha": None, "beta": 6, "gamma": 6, "delta": 4}


class Played:
    """A runner that does what it is told."""

    def __init__(self, **states: str) -> None:
        self.states = dict.fromkeys(SIZES, "STOPPED") | states
        self.asked: list[tuple[str, str]] = []

    def start(self, name: str) -> None:
        self.asked.append(("start", name))
        self.states[name] = "STARTING"

    def stop(self, name: str) -> None:
        self.asked.append(("stop", name))
        self.states[name] = "STOPPING"

    def look(self, names: Iterable[str]) -> dict[str, str]:
        return {name: self.states[name] for name in names}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    release(tmp_path, "one")
    return tmp_path


def release(root: Path, name: str, budget: int | None = 10) -> None:
    """A release whose gateway.json has more in it than the starter reads."""
    directory = root / "releases" / name
    directory.mkdir(parents=True)
    models: list[dict[str, Any]] = [
        {"name": model, "socket": "/x", "on_demand": size and {"memory_bytes": size, "idle_stop_s": 9.0}}
        for model, size in SIZES.items()
    ]
    memory = None if budget is None else {"budget_bytes": budget, "starter": "/y"}
    (directory / "gateway.json").write_text(json.dumps({"listen": [], "models": models, "memory": memory}))
    link = root / "next"
    link.symlink_to(directory)
    link.replace(root / "current")


@pytest.mark.parametrize(
    ("do", "name", "refusal"),
    [
        ("start", "beta", None),
        ("stop", "beta", None),
        ("start", "alpha", "no model of the release is on demand under this name"),
        ("stop", "alpha", "no model of the release is on demand under this name"),
        ("start", "gateway", "no model of the release is on demand under this name"),
        ("start", "../../sshd", "no model of the release is on demand under this name"),
        ("stop", "beta.service sshd", "no model of the release is on demand under this name"),
        ("start", "", "no model of the release is on demand under this name"),
    ],
)
def test_only_what_the_release_lists_as_on_demand_is_touched(
    root: Path, do: Any, name: str, refusal: str | None
) -> None:
    runner = Played()
    told = answer(StarterOrder(do=do, name=name), root / "current", runner)
    assert told.refusal == refusal
    assert runner.asked == ([] if refusal else [(do, name)])
    assert told.engines.keys() == {"beta", "gamma", "delta"}


@pytest.mark.parametrize("state", ["STARTING", "RUNNING", "STOPPING", "BACKOFF", "UNKNOWN"])
def test_nothing_is_started_beyond_the_memory_of_the_release(root: Path, state: str) -> None:
    runner = Played(beta=state)
    told = answer(StarterOrder(do="start", name="gamma"), root / "current", runner)
    assert told.refusal == "12 bytes would be taken of 10"
    assert runner.asked == []
    assert answer(StarterOrder(do="start", name="delta"), root / "current", runner).refusal is None
    assert answer(StarterOrder(do="start", name="beta"), root / "current", runner).refusal is None  # it has its own


def test_a_release_without_memory_for_models_on_demand_starts_none(root: Path) -> None:
    release(root, "two", budget=None)
    assert answer(StarterOrder(do="start", name="beta"), root / "current", Played()).refusal is not None


@pytest.fixture
def served(root: Path) -> Iterator[tuple[Path, Played]]:
    """A starter that listens, and its runner."""
    runner, path = Played(), root / "starter.sock"
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    thread = threading.Thread(target=serve, args=(listener, root, runner), daemon=True)
    thread.start()
    yield path, runner
    release(root, "last")
    with suppress(OSError):  # it may have seen that already
        say(path, b"", within_s=0.2)
    thread.join(5)
    assert not thread.is_alive()


def is_listening(path: Path) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as client:
        return client.connect_ex(str(path)) == 0


def say(path: Path, line: bytes, *, within_s: float = 5.0) -> bytes:
    with closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(within_s)
        client.connect(str(path))
        client.sendall(line)
        client.shutdown(socket.SHUT_WR)
        return client.makefile("rb").read()


def order(do: Any, name: str = "") -> bytes:
    return StarterOrder(do=do, name=name).to_json().encode() + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        b"", b"\n", b"{}\n", b"start beta\n", order("start", "beta")[:-1], b"x" * 10_000,
        order("look").replace(b"look", b"kill"), order("look").replace(b'"name"', b'"unit"'), b"\xff\xfe\n",
    ],
)  # fmt: skip
def test_whoever_says_anything_else_gets_no_answer_and_the_next_one_does(
    served: tuple[Path, Played], line: bytes
) -> None:
    path, runner = served
    with suppress(BrokenPipeError, ConnectionResetError):
        assert say(path, line) == b""
    assert runner.asked == []
    told = StarterAnswer.from_json(say(path, order("start", "beta")))
    assert (told.engines["beta"], told.refusal) == ("STARTING", None)


def test_it_ends_after_the_first_answer_for_another_release(root: Path) -> None:
    """Its socket is then its successor's: systemd's, or one that supervisord starts."""
    path = root / "s.sock"
    command = [sys.executable, "-m", "agent.starter", "--root", str(root), "--socket", str(path)]
    process = subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(REPOSITORY)}, stderr=subprocess.PIPE)
    try:
        eventually(lambda: is_listening(path), "it listens")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        say(path, order("look"))  # there is no supervisord: it says so, and goes on
        assert process.poll() is None
        release(root, "two")
        with suppress(OSError):  # it may have seen that already
            say(path, order("look"))
        assert process.wait(10) == 0
        assert b"Traceback" not in process.communicate()[1]
    finally:
        process.kill()
        process.wait()


@pytest.fixture
def systemctl(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemctl:
    stand_in = Systemctl(tmp_path / "systemctl")
    monkeypatch.setenv("PATH", f"{stand_in.directory}:{os.environ['PATH']}")
    return stand_in


def unit(name: str, active: str, sub: str = "x", job: str = "") -> dict[str, str]:
    return {"Id": f"vllm@{name}.service", "ActiveState": active, "SubState": sub, "Job": job}


def test_units_are_told_in_the_words_of_supervisord(systemctl: Systemctl) -> None:
    systemctl.show(
        unit("running", "active", "running"),
        unit("loading", "activating", "start"),
        unit("again", "activating", "auto-restart"),
        unit("ending", "deactivating"),
        unit("stopped", "inactive", "dead", "0"),
        unit("broken", "failed"),
        unit("queued", "inactive", "dead", "1234"),  # another engine loads first, as the order of the units says
        unit("leaving", "active", "running", "1234"),
        unit("given_up", "activating", "auto-restart", "1234"),
    )
    assert Systemd().look(["running"]) == {
        "running": "RUNNING", "loading": "STARTING", "again": "BACKOFF", "ending": "STOPPING", "stopped": "STOPPED",
        "broken": "FATAL", "queued": "STARTING", "leaving": "STOPPING", "given_up": "STOPPING",
    }  # fmt: skip


def test_systemd_is_asked_for_jobs_and_waited_for_in_none(systemctl: Systemctl) -> None:
    Systemd().start("beta")
    Systemd().stop("beta")
    assert systemctl.calls == [
        "reset-failed vllm@beta.service",
        "start --no-block vllm@beta.service",
        "stop --no-block vllm@beta.service",
    ]


def test_a_systemd_that_refuses_is_an_error_in_its_words(systemctl: Systemctl) -> None:
    systemctl.fail("start")
    with pytest.raises(OSError, match="systemctl start: exit status 1"):
        Systemd().start("beta")
