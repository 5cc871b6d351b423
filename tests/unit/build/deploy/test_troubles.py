"""What is wrong with a host's units reaches whoever looks: `status`, `doctor` and `verify` tell it, each at once."""

import json
import socket
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent import units
from agent.protocol import Process
from build.check import Check, Verdict
from build.cli.output import print_json
from build.cli.status import _print_status, _status
from build.deploy.doctor import host_checks
from build.deploy.facts import Facts
from build.deploy.state import read_state
from build.deploy.verify import verify
from build.pins import PINS as FILE
from build.pins import load_pins
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import Target
from tests.support.fakes.systemctl import Systemctl
from tests.support.hosts import facts

PINS = load_pins(FILE)
TAKEN = "nobody is served, got 127.0.0.1:8080 in use by nginx (pid 712). Stop that program"
ACTIVE = {"LoadState": "loaded", "ActiveState": "active", "SubState": "running", "MainPID": "7", "Result": "success"}
ACTIVE |= {"UnitFileState": "static", "DropInPaths": "", "InvocationID": "i"}


class Silent:
    """A host that answers nothing to anything."""

    def run(self, command: Command, on_line: Any = None) -> Result:
        return Result(status=0, stdout="", stderr="")

    def open(self, command: Command) -> Any:
        raise AssertionError(f"nothing stays open here, got {command.what}")


@pytest.fixture
def taken() -> Iterator[str]:
    """An address at which another program listens."""
    with socket.create_server(("127.0.0.1", 0)) as thief:
        yield f"127.0.0.1:{thief.getsockname()[1]}"


def troubled(kind: str = "failed") -> Facts:
    return facts(troubles=[{"unit": "gateway.socket", "kind": kind, "what": TAKEN}])


@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("failed", "fail"), ("masked", "fail"), ("disabled", "fail"), ("edited", "fail"), ("extended", "warn")],
)
def test_doctor_and_verify_have_a_row_for_each_and_the_runner_does_not_pass_beside_it(
    kind: str, verdict: Verdict
) -> None:
    told = Check("gateway.socket", verdict, TAKEN)
    found = host_checks(troubled(kind), PINS)
    assert [each for each in found if each.verdict != "pass"] == [told]
    assert "process runner" not in [each.name for each in found]
    host = Host(Target(name="main", root="/opt/axion", runner="systemd", python="python3"), Silent(), Reporter())
    assert told in list(verify(host, troubled(kind), PINS))


def test_status_tells_it_in_words_and_to_programs(capsys: pytest.CaptureFixture[str]) -> None:
    _print_status(troubled())
    assert f"gateway.socket: {TAKEN}." in capsys.readouterr().out.splitlines()
    for look, told in ((troubled(), [{"unit": "gateway.socket", "kind": "failed", "what": TAKEN}]), (facts(), [])):
        print_json(_status(look))
        assert json.loads(capsys.readouterr().out)["troubles"] == told


def test_a_look_at_a_host_finds_the_address_that_was_taken(
    tmp_path: Path, taken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its units, its runner and its engines are all in order, as they were after a boot; only nobody is served."""
    systemctl = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    systemctl.show(
        {"Id": "axion.target", **ACTIVE},
        {"Id": "gateway.socket", **ACTIVE, "ActiveState": "failed", "Result": "resources", "Listen": f"{taken} (S)"},
        {"Id": "gateway.service", **ACTIVE, "ActiveState": "failed", "SubState": "failed", "MainPID": "0"},
        {"Id": "vllm@alpha.service", **ACTIVE},
    )
    target = Target(name="main", root=str(tmp_path), runner="systemd", python=sys.executable)
    found = read_state(Host(target, LocalExecutor(), Reporter())).troubles
    assert [(each.unit, each.kind) for each in found] == [("gateway.socket", "failed")]
    assert found[0].what.startswith(f"nobody is served, got {taken} in use by ")


def test_under_supervisord_a_gateway_that_keeps_ending_names_who_took_its_address(tmp_path: Path, taken: str) -> None:
    (tmp_path / "current").mkdir()
    host, _, port = taken.rpartition(":")
    (tmp_path / "current" / "gateway.json").write_text(json.dumps({"listen": [{"host": host, "port": int(port)}]}))
    for state in ("FATAL", "BACKOFF"):
        (told,) = units.troubles(tmp_path, "supervisor", {"gateway": Process(state, 0)})
        assert (told.unit, told.kind) == ("gateway", "failed")
        assert told.what.startswith(f"nobody is served, got {taken} in use by ")
        # supervisord gives up on it; systemd's socket is opened anew by itself.
        assert told.what.endswith("). Stop that program, then run `fab restart gateway`")
    assert units.troubles(tmp_path, "supervisor", {"gateway": Process("RUNNING", 7)}) == ()
