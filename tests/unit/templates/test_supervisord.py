"""A real supervisord on the rendered file, with stand-in engines: what a deployment to this computer relies on."""

import json
import os
import signal
import subprocess
import sys
import time
import xmlrpc.client
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from supervisor.xmlrpc import SupervisorTransport

from agent.process_tree import read_process
from agent.protocol import RunnerOrder, RunnerStep
from tests.support.fakes.host_root import add_release
from tests.support.share import eventually
from tests.unit.templates.test_units import render


class Supervised:
    """A real supervisord on a rendered file, driven as a deployment drives it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.configuration = root / "supervisord.conf"
        self.seen: set[int] = set()

    @property
    def rpc(self) -> Any:
        """A new connection each time: after one failed call the transport refuses all further ones (4.3.0)."""
        transport = SupervisorTransport(None, None, f"unix://{self.root}/run/supervisor.sock")
        return xmlrpc.client.ServerProxy("http://localhost", transport=transport).supervisor

    def configure(self, *names: str) -> None:
        engines = [{"name": name, "stop_s": 20, "on_demand": False} for name in names]
        text = render(
            "supervisord.conf.j2",
            {
                "root": str(self.root),
                "python": sys.executable,
                "engines": engines,
                "gateway_stop_s": 10,
                "starter": "",
            },
        )
        # The real value would make this test wait two minutes for a state that says "it has not crashed yet".
        self.configuration.write_text(
            text.replace("startsecs = 120", "startsecs = 1").replace("startretries = 10", "startretries = 1")
        )

    def start(self) -> None:
        command = [sys.executable, "-m", "supervisor.supervisord", "-c", str(self.configuration)]
        subprocess.run(command, check=True, timeout=30, cwd="/")
        eventually(self.is_running, "supervisord answers")

    def is_running(self) -> bool:
        try:
            return bool(self.rpc.getState()["statename"] == "RUNNING")
        except (OSError, xmlrpc.client.Error):
            return False

    def states(self) -> dict[str, str]:
        return {info["name"]: info["statename"] for info in self.rpc.getAllProcessInfo()}

    def tree(self, name: str) -> set[int]:
        """Wait for an engine; return its processes, launcher included."""
        path = self.root / "state" / name / "pids.json"
        eventually(path.exists, f"{name} starts")
        told = json.loads(path.read_text())
        record = json.loads((self.root / "run" / f"{name}.json").read_text())
        pids = {told["api"], told["core"], told["worker"], record["pid"], record["session"]}
        self.seen |= pids
        assert all(read_process(pid) for pid in pids)
        return pids

    def order(self, do: Literal["start", "shutdown"], *names: str) -> None:
        """Have the agent tell supervisord."""
        order = RunnerOrder(root=str(self.root), steps=(RunnerStep(do, names),))
        subprocess.run([sys.executable, "-m", "agent", "supervisord", order.to_json()], check=True, timeout=60)

    def apply(self) -> None:
        """Do what `supervisorctl update` does."""
        [[added, changed, removed]] = self.rpc.reloadConfig()
        for name in [*removed, *changed]:
            self.rpc.stopProcessGroup(name)
            self.rpc.removeProcessGroup(name)
        for name in [*added, *changed]:
            self.rpc.addProcessGroup(name)


@pytest.fixture
def supervised(tmp_path: Path) -> Iterator[Supervised]:
    root = tmp_path / "it's 100% ours"
    root.mkdir()
    (root / "run").mkdir()
    made = Supervised(root)
    yield made
    pidfile = root / "run" / "supervisord.pid"
    if pidfile.exists():  # only after a failure
        os.kill(int(pidfile.read_text()), signal.SIGTERM)
        eventually(lambda: not pidfile.exists(), "supervisord ends", bound_s=40)


def test_supervisord_keeps_restarts_adds_removes_and_ends(supervised: Supervised) -> None:
    add_release(supervised.root, "r1", {"one": "", "two": "", "broken": "TREE_EXIT=3\n"})
    supervised.configure("one", "two", "broken")
    assert not supervised.is_running()
    supervised.start()
    one, two = supervised.tree("one"), supervised.tree("two")
    eventually(lambda: supervised.states()["one"] == "RUNNING", "one counts as started")

    # A new release reaches an engine by SIGTERM for its launcher, and no other engine notices.
    add_release(supervised.root, "r2", {"one": "", "two": "", "three": "", "broken": "TREE_EXIT=3\n"})
    (supervised.root / "state" / "one" / "pids.json").unlink()
    supervised.rpc.signalProcess("one", "TERM")
    again = supervised.tree("one")
    assert not one & again
    assert supervised.tree("two") == two
    assert json.loads((supervised.root / "run" / "one.json").read_text())["unit_digest"] == "r2-one"
    assert json.loads((supervised.root / "run" / "two.json").read_text())["unit_digest"] == "r1-two"

    supervised.configure("one", "three", "broken")
    supervised.apply()
    supervised.tree("three")
    eventually(lambda: not any(read_process(pid) for pid in two), "two is removed")
    assert supervised.tree("one") == again
    assert set(supervised.states()) == {"gateway", "one", "three", "broken"}

    eventually(lambda: supervised.states()["broken"] == "FATAL", "a crash loop ends")
    eventually(lambda: supervised.states()["gateway"] == "RUNNING", "the gateway counts as started")
    # shutdown() alone stops one program after the other; four draining engines would take four times as long.
    supervised.rpc.stopProcess("gateway")
    supervised.rpc.stopAllProcesses()
    supervised.rpc.shutdown()
    eventually(lambda: not (supervised.root / "run" / "supervisord.pid").exists(), "supervisord ends")
    eventually(lambda: not any(read_process(pid) for pid in supervised.seen), "nothing is left")
    # Locks are not unlinked, nor is what tells the gateway that an engine was told to end; a record leaves its room.
    left = sorted(path.name for path in (supervised.root / "run").iterdir() if path.suffix != ".lock")
    assert left == [
        *("broken.json.new", "one.json.new", "one.stopping", "three.json.new", "three.stopping"),
        *("two.json.new", "two.stopping"),
    ]


def test_a_start_replaces_what_was_started_before_a_switch_and_nothing_else(supervised: Supervised) -> None:
    add_release(supervised.root, "r1", {"one": ""})
    supervised.configure("one")
    supervised.start()
    before = supervised.tree("one")
    (supervised.root / "state" / "one" / "pids.json").unlink()
    add_release(supervised.root, "r2", {"one": ""})
    supervised.order("start", "one")
    after = supervised.tree("one")
    assert not before & after
    assert json.loads((supervised.root / "run" / "one.json").read_text())["unit_digest"] == "r2-one"
    supervised.order("start", "one")
    time.sleep(1)
    assert supervised.tree("one") == after
    supervised.order("shutdown")
    eventually(lambda: not any(read_process(pid) for pid in supervised.seen), "nothing is left")


def test_a_killed_supervisord_leaves_nothing_and_can_start_again(supervised: Supervised) -> None:
    add_release(supervised.root, "r1", {"one": ""})
    supervised.configure("one")
    supervised.start()
    before = supervised.tree("one") | {supervised.rpc.getProcessInfo("gateway")["pid"]}
    (supervised.root / "state" / "one" / "pids.json").unlink()
    os.kill(int((supervised.root / "run" / "supervisord.pid").read_text()), signal.SIGKILL)
    supervised.start()
    after = supervised.tree("one")
    eventually(lambda: not any(read_process(pid) for pid in before), "the engines of the killed one end")
    supervised.rpc.shutdown()
    eventually(lambda: not any(read_process(pid) for pid in after), "nothing is left")
