"""Which hosts a task is for, and in which order they are visited; and the tasks themselves over a real sshd."""

import json
import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from build.cli.hosts import Selection
from build.cli.inventory import stack_inventory, written_route
from build.cli.tasking import from_each, one_after_another
from build.cloud.pulumi_cli import Pulumi
from build.errors import DeployError
from build.progress import Reporter
from build.remote.command import Command, Result
from build.remote.executor import LocalExecutor, OnLine
from build.remote.host import Host
from build.remote.target import local_target
from deployment.errors import ConfigError
from deployment.stack.inventory import SshHost, parse_inventory
from tests.support.ssh_inventory import host_entry, inventory, write

REPOSITORY = Path(__file__).parents[4]


class PulumiSays:
    """A stand-in for the program, which answers one thing."""

    def __init__(self, status: int, stdout: str = "", stderr: str = "") -> None:
        self.result, self.asked = Result(status=status, stdout=stdout, stderr=stderr), ""

    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        self.asked = str(command)
        return self.result

    def open(self, command: Command) -> Any:
        raise AssertionError("nothing is held open")


class NoPulumi(PulumiSays):
    def run(self, command: Command, on_line: OnLine | None = None) -> Result:
        return LocalExecutor().run(replace(command, cwd=None, env={"PATH": "/nowhere"}))


def read(says: PulumiSays, folder: Path, capsys: pytest.CaptureFixture[str]) -> tuple[Any, str]:
    pulumi = Pulumi(executor=says, directory=folder, stack="dev")
    found = stack_inventory(pulumi, folder / "out" / "inventory" / "dev.json", Reporter())
    return found.as_data(), capsys.readouterr().err


DEV = inventory(main=host_entry())


def test_a_stacks_output_is_read_and_kept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    says = PulumiSays(0, json.dumps({"inventory": DEV, "gatewayApiKeys": "[secret]"}))
    assert read(says, tmp_path, capsys) == (DEV, "")
    assert says.asked == "pulumi stack output --json --stack dev --color=never"
    assert json.loads((tmp_path / "out" / "inventory" / "dev.json").read_text()) == DEV


@pytest.mark.parametrize(
    ("says", "reason"),
    [
        (
            NoPulumi(0),
            "read the stack's outputs: pulumi is not on PATH. Install it: https://www.pulumi.com/docs/install.",
        ),
        (
            PulumiSays(255, stderr="error: could not load the backend: dial tcp: connection refused\n"),
            "read the stack's outputs: Google did not answer, got could not load the backend",
        ),
    ],
)
def test_without_pulumi_or_its_backend_the_kept_one_is_used_and_said(
    says: PulumiSays, reason: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(DeployError):
        read(says, tmp_path, capsys)
    kept = tmp_path / "out" / "inventory" / "dev.json"
    kept.parent.mkdir(parents=True)
    write(kept, DEV)
    os.utime(kept, (1769860800, 1769860800))
    found, said = read(says, tmp_path, capsys)
    assert found == DEV
    assert said.startswith(reason)
    day = time.strftime("%Y-%m-%d %H:%M", time.localtime(1769860800))
    assert said.endswith(f"Using {kept}, read {day}: hosts may have changed since.\n")


def test_what_pulumi_says_of_the_stack_itself_is_not_hidden_by_a_kept_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = tmp_path / "out" / "inventory" / "dev.json"
    kept.parent.mkdir(parents=True)
    write(kept, DEV)
    with pytest.raises(DeployError, match="got no stack named 'dev' found"):
        read(PulumiSays(255, stderr="error: no stack named 'dev' found\n"), tmp_path, capsys)
    with pytest.raises(DeployError) as caught:
        read(PulumiSays(0, "{}"), tmp_path, capsys)
    assert str(caught.value) == (
        "dev: no hosts yet, got a stack without the output `inventory`. Run `pulumi up --stack dev`."
    )


def chosen(**words: str) -> list[str]:
    with Selection(**words).hosts() as hosts:
        return [host.target.name for host in hosts]


def test_a_file_names_hosts_in_its_order_and_one_can_be_chosen(tmp_path: Path) -> None:
    file = str(write(tmp_path / "i.json", inventory(b=host_entry(name="axion-b"), a=host_entry(name="axion-a"))))
    assert chosen(inventory=file) == ["axion-b", "axion-a"]
    assert chosen(inventory=file, host="a") == chosen(inventory=file, host="axion-a") == ["axion-a"]
    with pytest.raises(ConfigError, match=r"^--host: not in the inventory, got c\. Use one of: b, a\.$"):
        chosen(inventory=file, host="c")
    with pytest.raises(
        ConfigError, match=r"^--stack, --inventory: two sources of hosts, got dev and \S+i\.json\. Give"
    ):
        chosen(inventory=file, stack="dev")
    with pytest.raises(ConfigError, match=r"^--host: nowhere to look it up, got a\. Add --stack NAME or --inventory"):
        chosen(host="a")
    with pytest.raises(ConfigError, match=r"none\.json: cannot read the inventory: No such file or directory\. Write"):
        chosen(inventory=str(tmp_path / "none.json"))


def test_the_home_of_a_user_whom_nobody_knows_is_a_file_that_is_not_there() -> None:
    host = SshHost(
        kind="ssh",
        name="main",
        data_mount="/opt/axion",
        ssh_address="127.0.0.1",
        ssh_user="root",
        known_hosts="~nobody-here/known_hosts",
    )
    with pytest.raises(DeployError, match=r"^~nobody-here/known_hosts: cannot read the known hosts: No such file"):
        written_route(host)


def test_no_choice_is_this_computer() -> None:
    assert chosen() == ["this computer"]


def test_a_host_of_an_inventory_is_a_target_of_its_own(tmp_path: Path) -> None:
    file = str(write(tmp_path / "i.json", inventory(main=host_entry(data_mount="/data"))))
    with Selection(inventory=file).hosts() as (host,):
        target = host.target
    assert (target.root, target.runner, target.python, target.user) == ("/data", "systemd", "/usr/bin/python3", "axion")
    assert target.boot_log == (
        "gcloud compute instances get-serial-port-output axion-dev-main --project=a-project --zone=us-central1-a"
    )
    assert (target.hub_token_secret, target.is_here) == (None, False)


def test_a_written_inventory_keeps_its_own_fields_and_a_stacks_has_none_of_them(tmp_path: Path) -> None:
    with_address = {
        "schema": "axion.inventory/2",
        "stack": "lab",
        "hosts": {
            "main": {
                "kind": "ssh", "name": "lab", "data_mount": "/opt/axion", "ssh_address": "10.0.0.1", "ssh_user": "root",
                "known_hosts": "~/known", "ssh_port": 2222,
            }
        },
    }  # fmt: skip
    assert parse_inventory(json.dumps(with_address)).as_data() == with_address
    assert parse_inventory(json.dumps(DEV)).as_data() == DEV
    assert "project" not in parse_inventory(json.dumps(with_address)).dump()


def fakes(*names: str) -> list[Host]:
    return [
        Host(local_target(Path("/none") / name).__class__(name=name, root="/r", runner="systemd", python="p"),
             LocalExecutor(), Reporter())
        for name in names
    ]  # fmt: skip


def test_hosts_are_changed_in_order_and_the_first_failure_stops(capsys: pytest.CaptureFixture[str]) -> None:
    visited: list[str] = []

    def act(host: Host) -> None:
        visited.append(host.target.name)
        if host.target.name == "b":
            raise DeployError("b: does not answer: nothing. Look.")

    with pytest.raises(DeployError) as caught:
        one_after_another(fakes("a", "b", "c"), act)
    assert visited == ["a", "b"]
    assert caught.value.problems == (
        "b: does not answer: nothing. Look.",
        "Stopped at b: see the error above. Done before it: a; not begun: c. Correct it and run this again.",
    )
    assert capsys.readouterr().err == "a (1 of 3)\nb (2 of 3)\n"


def test_all_hosts_are_looked_at_and_one_that_fails_is_told_after() -> None:
    def ask(host: Host) -> str:
        if host.target.name == "a":
            raise DeployError("a: gone")
        return f"{host.target.name}!"

    answers = from_each(fakes("a", "b", "c"), ask)
    assert answers.found == {"b": "b!", "c": "c!"}
    with pytest.raises(DeployError, match="a: gone"):
        answers.check()
