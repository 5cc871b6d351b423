"""The components in another program, with the real CLI: Pulumi runs this checkout as a plug-in of that program."""

import shutil
import sysconfig
import venv
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import REPOSITORY, PulumiStack

Json = dict[str, Any]
PARTS = ("plugin", "infra", "agent", "deployment", "templates", "gateway")
# What a generated SDK does; generating one would install packages.
PROGRAM = """
import pulumi

class Network(pulumi.ComponentResource):
    subnetwork: pulumi.Output[str]
    def __init__(self, name, **inputs):
        super().__init__("axion:index:Network", name, {**inputs, "subnetwork": None}, None, remote=True)

class Host(pulumi.ComponentResource):
    instanceName: pulumi.Output[str]
    account: pulumi.Output[str]
    def __init__(self, name, **inputs):
        outputs = {"instanceName": None, "account": None}
        super().__init__("axion:index:Host", name, {**inputs, **outputs}, None, remote=True)

config = pulumi.Config()
network = Network("net", stack="theirs", project="axion-test", region="us-central1", gatewayPorts=["8080"],
                  gatewayCidrs=["10.0.0.0/8"])
host = Host("gpt", stack="theirs", host="main", project="axion-test", zone="us-central1-a",
            subnetwork=network.subnetwork, settings=config.require_object("host"), protect=False, labels={"team": "x"})
pulumi.export("account", host.account)
"""


@pytest.fixture
def theirs(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> PulumiStack:
    """Another program, beside a copy of this checkout that Pulumi may install nothing into."""
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, PROGRAM)
    ours = tmp_path / "axion"
    for part in PARTS:
        shutil.copytree(REPOSITORY / part, ours / part, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy2(REPOSITORY / "models.lock.json", ours)
    venv.create(ours / ".venv", with_pip=False)
    packages = ours / ".venv" / "lib" / f"python{sysconfig.get_python_version()}" / "site-packages"
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    (packages / "pip.py").write_text('raise SystemExit("nothing is installed in a test")\n')
    # A folder of the same name, which must not be mistaken for ours.
    (stack.folder / "infra").mkdir()
    (stack.folder / "infra" / "__init__.py").write_text('raise AssertionError("the other program\'s own")\n')
    file = stack.folder / "Pulumi.yaml"
    plugins = {"providers": [{"name": "axion", "path": "../axion/plugin"}]}
    file.write_text(yaml.safe_dump({**yaml.safe_load(file.read_text()), "plugins": plugins}))
    return stack


def test_another_program_makes_a_network_and_a_host_of_ours(theirs: PulumiStack, cloud: Cloud) -> None:
    theirs.config("host", {"machineType": "n2-standard-8"})
    refused = theirs.preview(check=False)
    assert 'settings machineType: not an Axion machine, got "n2-standard-8". Use one such as' in refused.said
    theirs.config("host", {"machineType": "c4a-standard-8", "dataDiskGib": 60, "spot": True})
    theirs.up()
    found = cloud.state.resources
    vm = found["projects/axion-test/zones/us-central1-a/instances/axion-theirs-main"]
    assert vm["scheduling"]["provisioningModel"] == "SPOT"
    assert vm["networkInterfaces"][0]["subnetwork"].endswith("/subnetworks/axion-theirs-subnet")
    assert (vm["labels"]["axion-stack"], vm["labels"]["team"]) == ("theirs", "x")
    assert found["projects/axion-test/global/firewalls/axion-theirs-allow-gateway"]["sourceRanges"] == ["10.0.0.0/8"]
    assert found["projects/axion-test/zones/us-central1-a/disks/axion-theirs-data-main"]["sizeGb"] == "60"
    assert theirs.outputs() == {"account": "axion-theirs-main@axion-test.iam.gserviceaccount.com"}
    assert theirs.plan() == {}
    theirs.destroy()
    left = {path.split("/")[-2] for path in found}
    assert left == {"roles"}
