"""The real Pulumi CLI on the small cloud: preview, up, no change, update, replacement, drift, faults, import, end."""

import json
from pathlib import Path

import pytest

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

PROGRAM = """
import pulumi
import pulumi_gcp as gcp

config = pulumi.Config()
network = gcp.compute.Network("network", name=config.require("network"), auto_create_subnetworks=False)
subnet = gcp.compute.Subnetwork(
    "subnet", name="axion-dev-subnet", network=network.id, ip_cidr_range="10.1.0.0/24", region="us-central1"
)
ssh = gcp.compute.Firewall(
    "ssh", name="axion-dev-ssh", network=network.id, source_ranges=["35.235.240.0/20"],
    allows=[gcp.compute.FirewallAllowArgs(protocol="tcp", ports=["22"])],
)
data = gcp.compute.Disk(
    "data", name="axion-dev-data", size=config.require_int("size"), type="hyperdisk-balanced",
    labels={"axion-stack": "dev"},
)
initial = gcp.compute.InstanceBootDiskInitializeParamsArgs(
    image="ubuntu-os-cloud/ubuntu-2404-lts-arm64", size=20, type="hyperdisk-balanced"
)
host = gcp.compute.Instance(
    "host", name="axion-dev-host", machine_type=config.require("machine"), allow_stopping_for_update=True,
    boot_disk=gcp.compute.InstanceBootDiskArgs(initialize_params=initial),
    attached_disks=[gcp.compute.InstanceAttachedDiskArgs(source=data.self_link, device_name="data")],
    network_interfaces=[gcp.compute.InstanceNetworkInterfaceArgs(subnetwork=subnet.id, nic_type="GVNIC")],
    metadata={"enable-guest-attributes": "TRUE", "planted": config.get_secret("planted") or "nothing"},
    labels={"axion-stack": "dev"},
)
pulumi.export("address", host.network_interfaces[0].network_ip)
"""
TYPO = """
import pulumi
pulumi.CustomResource("gcp:compute/network:Network", "network", {"name": "n", "autoCreateSubnets": False})
"""
BASE = "projects/axion-test"
DISK, VM = f"{BASE}/zones/us-central1-a/disks/axion-dev-data", f"{BASE}/zones/us-central1-a/instances/axion-dev-host"
RULE = f"{BASE}/global/firewalls/axion-dev-ssh"


@pytest.fixture
def stack(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> PulumiStack:
    made = PulumiStack.create(tmp_path, pulumi_cli, cloud, PROGRAM)
    return made.config("network", "axion-dev-net").config("size", 50).config("machine", "c4a-standard-8")


def changes(cloud: Cloud) -> list[str]:
    """Methods of all requests that change something, in order."""
    reading = ("get", "list", "aggregatedList", "wait", "getFromFamily")
    return [one["method"] for one in cloud.requests if one["method"].rpartition(".")[2] not in reading]


def test_a_stack_from_its_first_preview_to_its_end(stack: PulumiStack, cloud: Cloud) -> None:
    assert set(stack.plan().values()) == {"create"}
    assert changes(cloud) == []
    stack.up()
    assert stack.outputs() == {"address": "10.1.0.2"}
    before = stack.resources()["host"]["inputs"]
    cloud.requests.clear()
    assert "6 unchanged" in stack.up().stdout
    assert changes(cloud) == []
    assert stack.resources()["host"]["inputs"] == before

    stack.config("size", 80).config("machine", "c4a-standard-16")
    assert stack.plan() == {"data": "update", "host": "update"}
    stack.up()
    methods = ("disks.resize", "instances.stop", "instances.setMachineType", "instances.start")
    assert changes(cloud) == [f"compute.{method}" for method in methods]
    assert cloud.state.resources[VM]["status"] == "RUNNING"

    cloud.state.resources[RULE]["sourceRanges"] = ["0.0.0.0/0"]
    cloud.state.resources[DISK]["sizeGb"] = "100"
    assert "~ 2 updated" in stack.refresh().stdout
    stack.config("size", 100)
    assert stack.plan() == {"ssh": "update"}
    stack.up()
    assert cloud.state.resources[RULE]["sourceRanges"] == ["35.235.240.0/20"]

    assert "- 6 deleted" in stack.destroy().stdout
    assert cloud.state.resources == {}


def test_a_renamed_network_is_made_anew_with_all_that_is_in_it(stack: PulumiStack, cloud: Cloud) -> None:
    stack.up()
    cloud.requests.clear()
    stack.config("network", "axion-dev-other").up()
    made = [one for one in changes(cloud) if one.rpartition(".")[2] in ("insert", "delete")]
    order = [one.removeprefix("compute.") for one in made]
    assert order.index("instances.delete") < order.index("subnetworks.delete") < order.index("subnetworks.insert")
    assert order.index("subnetworks.insert") < order.index("instances.insert")
    assert "disks.delete" not in order
    assert f"{BASE}/global/networks/axion-dev-net" not in cloud.state.resources


def test_an_input_that_google_does_not_have_stops_the_preview(stack: PulumiStack, cloud: Cloud) -> None:
    stack.write(TYPO)
    ran = stack.preview(check=False)
    assert ran.status != 0
    assert "unknown input, got False" in ran.said
    assert cloud.requests == []


def test_a_failed_create_is_reported_and_the_next_up_makes_up_for_it(stack: PulumiStack, cloud: Cloud) -> None:
    cloud.plant(method=r"compute\.instances\.insert", kind="quota")
    ran = stack.up(check=False)
    assert ran.status != 0
    assert "Error waiting for creat" in ran.said
    assert "Quota 'C4A_CPUS' exceeded.  Limit: 8.0 in region us-central1." in ran.said
    assert VM not in cloud.state.resources
    assert "host" not in stack.resources()
    assert stack.plan() == {"host": "create"}
    stack.up()
    assert cloud.state.resources[VM]["status"] == "RUNNING"


def test_an_answer_that_is_lost_shows_as_a_conflict_since_the_work_was_done(stack: PulumiStack, cloud: Cloud) -> None:
    """The real provider tries again when a connection breaks, and so learns that the disk exists by now."""
    cloud.plant(method=r"compute\.disks\.insert", kind="drop")
    ran = stack.up(check=False)
    assert f"googleapi: Error 409: The resource '{DISK}' already exists, alreadyExists" in ran.said
    assert "data" not in stack.resources()
    assert DISK in cloud.state.resources
    stack.run("import", "--yes", "--protect=false", "--generate-code=false", "gcp:compute/disk:Disk", "data", DISK)
    # An import cannot know which labels are ours: as with the real provider they are written once more.
    assert stack.plan() == {"data": "update", "host": "create"}
    cloud.requests.clear()
    stack.up()
    assert [one for one in changes(cloud) if ".disks." in one] == ["compute.disks.setLabels"]
    assert len([path for path in cloud.state.resources if path.endswith("/axion-dev-data")]) == 1


def test_a_resource_whose_first_reading_failed_is_kept_in_state(stack: PulumiStack, cloud: Cloud) -> None:
    cloud.plant(method=r"compute\.networks\.get", kind="permission")
    ran = stack.up(check=False)
    assert "Error reading Network after creation" in ran.said
    assert stack.resources()["network"]["initErrors"]
    stack.up()
    assert "initErrors" not in stack.resources()["network"]


def test_a_secret_is_in_the_checkpoint_encrypted_only(stack: PulumiStack, cloud: Cloud) -> None:
    stack.config("axion:planted", "pl4nted-value", is_secret=True)
    said = stack.up().said
    state = "".join(path.read_text() for path in (stack.folder.parent / "state").rglob("*.json"))
    assert "pl4nted-value" not in said + state + json.dumps(stack.outputs()) + stack.settings_file.read_text()
    items = cloud.state.resources[VM]["metadata"]["items"]
    assert {"key": "planted", "value": "pl4nted-value"} in items
