"""The keys of a gateway on their way to a host: with every deployment, to one user, and to the questions of `fab`."""

import getpass
import hashlib
import json
import stat
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent import secrets, systemd
from agent.protocol import RunnerOrder, RunnerStep
from build.deploy.activate import wait_ready_command
from build.deploy.diff import Desired, Diff
from build.runtime import runner
from build.runtime.systemd import keys_commands
from tests.support.fakes.gate_host import GateHost
from tests.support.fakes.systemctl import Systemctl
from tests.unit.agent.test_gate import Outcome
from tests.unit.build.runtime.test_systemd import NOTHING, VM

KEYED = replace(VM, keys="projects/p/secrets/keys")
WANTED = Desired(release="r", build="b", engines={}, gateway_unit="u", gateway_config_digest="g", address="127.0.0.1:1")


def verbs(diff: Diff) -> list[list[str]]:
    (command,) = runner.change_commands(KEYED, diff)
    return [[step.do, *step.names] for step in RunnerOrder.from_json(command.argv[-1]).steps]


def test_every_deployment_brings_the_keys_before_the_gateway_needs_them() -> None:
    assert verbs(NOTHING)[:2] == [["install"], ["keys"]]
    assert verbs(replace(NOTHING, gateway="restart"))[:3] == [["install"], ["keys"], ["restart", "gateway"]]
    assert verbs(replace(NOTHING, is_runner_up=False)) == [["install"], ["keys"], ["start"]]
    (command,) = keys_commands(KEYED)
    assert RunnerOrder.from_json(command.argv[-1]).steps == (RunnerStep("keys"),)
    assert keys_commands(VM) == []


def test_only_a_host_that_has_the_unit_is_told_to_start_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    systemctl = Systemctl(tmp_path / "bin")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(systemd, "UNITS", tmp_path)
    monkeypatch.setattr(systemd, "KEY_PROBLEMS", tmp_path / "problems")
    systemd.bring_keys()
    assert systemctl.calls == []
    (tmp_path / "gateway-keys.service").write_text("")
    systemd.bring_keys()
    assert systemctl.calls == ["restart gateway-keys.service"]
    systemctl.fail("restart")
    with pytest.raises(SystemExit, match=r"systemctl restart gateway-keys\.service: failed: exit status 1"):
        systemd.bring_keys()
    (tmp_path / "problems").write_text("keys: line 1: the key is missing.\nkeys: line 3: name is there twice.\n")
    with pytest.raises(SystemExit) as ended:
        systemd.bring_keys()
    assert ended.value.code == "keys: line 1: the key is missing.\nkeys: line 3: name is there twice."


def test_keys_of_a_secret_become_a_file_of_the_gateways_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "read_secret", {"projects/p/secrets/keys": "one\ntwo"}.__getitem__)
    file = tmp_path / "run" / "gateway-key-digests"
    secrets.install_keys("projects/p/secrets/keys", file, getpass.getuser())
    own = (file.with_name("gateway-own-key")).read_text().strip()
    assert file.read_text().splitlines() == [
        "sha256:7692c3ad3540bb803c020b3aee66cd8887123234ea0c6e7143c0add73ff431ed",  # printf %s one | sha256sum
        "sha256:3fc4ccfe745870e2c0d99f71f30ff0656c8dedd41cc1d7d3d376b0dbe685e2f3",
        f"sha256:{hashlib.sha256(own.encode()).hexdigest()} name=fab",
    ]
    assert {stat.S_IMODE(each.stat().st_mode) for each in file.parent.iterdir()} == {0o600}
    with pytest.raises(SystemExit, match="cannot be read for nobody-of-that-name"):
        secrets.install_keys("projects/p/secrets/keys", file, "nobody-of-that-name")
    assert sorted(path.name for path in file.parent.iterdir()) == ["gateway-key-digests", "gateway-own-key"]


def test_a_list_with_mistakes_leaves_the_one_of_before_and_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = {"keys": "first-0123456789abcdef name=a"}
    monkeypatch.setattr(secrets, "read_secret", said.__getitem__)
    file = tmp_path / "gateway-key-digests"
    secrets.install_keys("keys", file, getpass.getuser())
    before = file.read_text()
    for text, problem in {
        "planted-0123456789 limit=1\nname=b": "keys: line 1: word 2 is no setting. Use name=, models=, "
        "requests_per_minute=, tokens_per_day=.\nkeys: line 2: the key is missing. Put it first, and its settings "
        "behind it.",
        "# planted\n": "keys: holds no key. Give one key a line.",
    }.items():
        said["keys"] = text
        with pytest.raises(SystemExit) as ended:
            secrets.install_keys("keys", file, getpass.getuser())
        assert ended.value.code == problem
        assert file.read_text() == before
        assert (tmp_path / "gateway-key-digests.problems").read_text() == f"{problem}\n"
    said["keys"] = "second-0123456789abcdef"
    secrets.install_keys("keys", file, getpass.getuser())
    after = file.read_text()
    assert (after.splitlines()[-1], after == before) == (before.splitlines()[-1], False)  # the host's own key stays
    assert not (tmp_path / "gateway-key-digests.problems").exists()


def test_plain_keys_that_a_release_before_left_go_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(secrets, "read_secret", {"keys": "first-0123456789abcdef"}.__getitem__)
    (tmp_path / "gateway-keys").write_text("first-0123456789abcdef\n")
    secrets.install_keys("keys", tmp_path / "gateway-key-digests", getpass.getuser())
    assert not (tmp_path / "gateway-keys").exists()


@pytest.mark.parametrize(
    ("is_keyed", "is_rolled_back", "sent"),
    [(True, False, "Bearer own"), (True, True, "Bearer sk-1"), (False, True, None)],
)
def test_the_first_question_to_a_model_carries_a_key(
    tmp_path: Path, is_keyed: bool, is_rolled_back: bool, sent: str | None
) -> None:
    host = GateHost(tmp_path, "alpha")
    keys = tmp_path / "gateway-own-key"
    keys.write_text("own\n")
    if is_rolled_back:
        (tmp_path / "gateway-keys").write_text("\nsk-1\nsk-2\n")
    try:
        process: subprocess.Popen[str] = host.start_gate(keys=str(keys) if is_keyed else None)
        assert Outcome(process).status == 0
    finally:
        host.close()
    assert host.authorizations == [sent]


@pytest.mark.parametrize(("target", "file"), [(KEYED, "/run/axion/gateway-own-key"), (VM, None)])
def test_the_gate_is_told_where_keys_are_and_never_which(target: Any, file: str | None) -> None:
    argument = wait_ready_command(target, WANTED, {}, timeout_s=1).argv[-1]
    assert json.loads(argument)["keys"] == file
