"""`fab start`: the real gcloud on the small cloud starts the instance, and a real sshd stands for what boots."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from build.cli.waking import wake
from build.errors import DeployError
from build.progress import Reporter
from build.remote.executor import LocalExecutor
from build.remote.host import Host
from build.remote.target import local_target
from deployment.stack.inventory import inventory_from
from tests.support.gcloud_on_cloud import fab, gcloud_environment, need_gcloud
from tests.support.google_host import RUNNING
from tests.support.local_deployment import local_deployment
from tests.support.pulumi_stack import PulumiStack
from tests.support.replayed_gcloud import ReplayedGcloud, says
from tests.support.ssh_inventory import host_entry, inventory, write
from tests.support.ssh_server import SshServer, ssh_server
from tests.support.standing_stack import host_settings

RELAY = Path(__file__).parents[3] / "support" / "fakes" / "relay.py"
GCLOUD = """#!/bin/sh
# All but the tunnel, OS Login and the keys that a boot publishes is the real gcloud's.
case "$*" in
*" start-iap-tunnel "*) exec {python} {relay} {port} ;;
*" describe-profile "*) echo '{profile}' ;;
*" get-guest-attributes "*) echo '{keys}' ;;
*) exec {real} "$@" ;;
esac
"""


@dataclass(frozen=True)
class Stopped:
    """The prod example with a public address, up on the small cloud; its inventory says how to log in."""

    stack: PulumiStack
    inventory: Path
    environment: dict[str, str]

    @property
    def instance(self) -> dict[str, Any]:
        resources = self.stack.cloud.state.resources
        return next(one for path, one in resources.items() if path.endswith("/instances/axion-prod-main"))

    @property
    def address(self) -> str | None:
        (config,) = self.instance["networkInterfaces"][0]["accessConfigs"]
        found: str | None = config.get("natIP")
        return found

    def stop(self) -> None:
        """What the host's own idle stop does."""
        words = ("compute", "instances", "stop", "axion-prod-main", "--zone=us-central1-a", "--quiet")
        environment = {**os.environ, **self.environment}
        subprocess.run(("gcloud", *words), env=environment, check=True, capture_output=True, timeout=60)
        assert self.instance["status"] == "TERMINATED"

    def fab(self, task: str) -> tuple[int, str]:
        named = ("--inventory", str(self.inventory), "--host", "main")
        ran = fab(task, *named, project=self.stack.folder, environment=self.environment)
        return ran.returncode, ran.stderr


@pytest.fixture
def server(tmp_path: Path) -> Iterator[SshServer]:
    (tmp_path / "sshd").mkdir()
    with ssh_server(tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def stopped(prod: PulumiStack, server: SshServer, tmp_path: Path) -> Stopped:
    need_gcloud()
    models = prod.folder / "models.yaml"
    models.write_text(models.read_text().replace("127.0.0.1:8082", "0.0.0.0:8443"))
    host_settings(prod, publicIp={"allowCidrs": ["203.0.113.0/28"]})
    prod.config("axion:gatewayApiKeys", "planted-key", is_secret=True)
    prod.up()
    read = prod.outputs()["inventory"]
    read["hosts"]["main"] |= {"identity_file": str(server.identity), "device_paths": None,
                              "data_mount": "/opt/axion-of-nobody"}  # fmt: skip
    type_, value = server.public_key.split()
    answers = {
        "python": shlex.quote(sys.executable), "relay": shlex.quote(str(RELAY)), "port": server.port,
        "profile": json.dumps({"posixAccounts": [{"username": server.user, "primary": True}]}),
        "keys": json.dumps([{"key": type_, "namespace": "hostkeys", "value": value}]),
        "real": shutil.which("gcloud"),
    }  # fmt: skip
    script = tmp_path / "bin" / "gcloud"
    script.parent.mkdir()
    script.write_text(GCLOUD.format(**answers))
    script.chmod(0o755)
    environment = {**prod.environment, **gcloud_environment(prod.cloud, tmp_path)}
    environment["PATH"] = os.pathsep.join((str(script.parent), environment["PATH"]))
    return Stopped(prod, write(tmp_path / "inventory.json", read), environment)


def test_a_stopped_host_is_started_by_the_command_that_a_task_names(stopped: Stopped) -> None:
    address = json.loads(stopped.inventory.read_text())["hosts"]["main"]["external_ip"]
    assert stopped.address == address
    stopped.stop()
    words = f"--inventory {stopped.inventory} --host main"
    assert stopped.fab("status") == (
        1, f"axion-prod-main: does not run: TERMINATED. Start it: `fab start {words}`.\n"
    )  # fmt: skip
    zones = stopped.stack.cloud.state.settings.stockout_zones
    zones.add("us-central1-a") if isinstance(zones, set) else zones.append("us-central1-a")
    status, said = stopped.fab("start")
    assert status == 1
    assert "axion-prod-main: us-central1-a has no c4a-standard-32 free at present, got " in said
    assert said.endswith(
        f"Run `fab start {words}` again later, or move it with its data: `fab move {words} --zone ANOTHER`.\n"
    )
    zones.clear()
    status, said = stopped.fab("start")
    assert status == 0, said
    assert "axion-prod-main: started, was TERMINATED\n" in said
    assert said.endswith(f"axion-prod-main runs; nothing is deployed. Run `fab build-and-deploy {words}`.\n")
    assert stopped.instance["status"] == "RUNNING"
    assert stopped.address == address, "the inventory would lead clients to nobody"
    status, said = stopped.fab("start")
    assert (status, said.splitlines()[0]) == (0, "axion-prod-main: already running")


@pytest.mark.parametrize(
    ("state", "verb"), [("TERMINATED", "start"), ("STOPPED", "start"), ("SUSPENDED", "resume"), ("STOPPING", None)]
)
def test_each_state_has_its_way_back(
    state: str, verb: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcloud = ReplayedGcloud.on_path(tmp_path / "bin", monkeypatch)
    gcloud.answers(says("instances describe", {**RUNNING, "status": state}))
    read = inventory_from(inventory(main=host_entry()))
    host = Host(local_target(tmp_path / "root"), LocalExecutor(), Reporter())
    words = "--stack dev --host main"
    if verb is None:
        with pytest.raises(DeployError, match=f"cannot be started yet: STOPPING. Run `fab start {words}` in a min"):
            wake(host, read.hosts["main"], words, read, 30)
    else:
        wake(host, read.hosts["main"], words, read, 30)
    asked = [call.split()[2] for call in gcloud.calls]
    assert asked == ["describe", *([verb] if verb else [])]


def test_a_host_that_was_started_is_waited_for_until_its_models_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The processes are this computer's: what boots has them start by itself."""
    with local_deployment(tmp_path) as deployed:
        deployed.write()
        deployed.deploy()
        own = {
            "kind": "ssh", "name": "own", "data_mount": "/opt/axion", "ssh_address": "127.0.0.1", "ssh_user": "root",
            "known_hosts": "/none",
        }  # fmt: skip
        read = inventory_from(inventory(main=own))
        host = Host(local_target(deployed.root), LocalExecutor(), Reporter())
        wake(host, read.hosts["main"], "--inventory i.json --host main", read, 60)
    assert "this computer serves again after" in capsys.readouterr().err


def test_nobody_is_started_by_accident() -> None:
    ran = fab("start", project=Path.cwd(), environment={})
    assert (ran.returncode, ran.stderr) == (
        1, "start: no host named. Add --stack NAME, and --host NAME for one of its hosts.\n"
    )  # fmt: skip
