"""The stand-in provider ends a disk as unkindly as the real one, and makes and reads disks of snapshots."""

from pathlib import Path

import pytest

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack
from tests.support.standing_stack import changes

PROGRAM = """
import pulumi
import pulumi_gcp as gcp

config = pulumi.Config()
network = gcp.compute.Network("network", name="axion-net", auto_create_subnetworks=False)
subnet = gcp.compute.Subnetwork(
    "subnet", name="axion-subnet", network=network.id, ip_cidr_range="10.1.0.0/24", region="us-central1"
)
data = gcp.compute.Disk(
    "data", name="axion-data", size=config.require_int("size"), type="hyperdisk-balanced",
    snapshot=config.get("snapshot"), create_snapshot_before_destroy=True,
)
initial = gcp.compute.InstanceBootDiskInitializeParamsArgs(
    image="ubuntu-os-cloud/ubuntu-2404-lts-arm64", size=20, type="hyperdisk-balanced"
)
host = gcp.compute.Instance(
    "host", name="axion-host", machine_type="c4a-standard-8", allow_stopping_for_update=True,
    boot_disk=gcp.compute.InstanceBootDiskArgs(initialize_params=initial),
    attached_disks=[gcp.compute.InstanceAttachedDiskArgs(source=data.self_link, device_name="data")],
    network_interfaces=[gcp.compute.InstanceNetworkInterfaceArgs(subnetwork=subnet.id, nic_type="GVNIC")],
)
"""
BASE = "projects/axion-test"
DISK = f"{BASE}/zones/us-central1-a/disks/axion-data"


@pytest.fixture
def stack(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> PulumiStack:
    return PulumiStack.create(tmp_path, pulumi_cli, cloud, PROGRAM).config("size", 50)


def snapshots(cloud: Cloud) -> list[str]:
    return [path for path in cloud.state.resources if "/snapshots/" in path]


def disks_of(cloud: Cloud) -> list[object]:
    return list(cloud.state.resources[f"{BASE}/zones/us-central1-a/instances/axion-host"]["disks"])


def test_a_smaller_disk_is_a_new_one_and_what_was_on_the_old_one_is_in_its_last_snapshot(
    stack: PulumiStack, cloud: Cloud
) -> None:
    stack.up()
    cloud.state.write(DISK, "weights")
    cloud.requests.clear()
    stack.config("size", 40)
    assert stack.plan()["data"] == "replace"
    stack.up()
    [snapshot] = snapshots(cloud)
    assert [one.partition(" ")[0] for one in changes(cloud)] == [
        *("snapshots.insert", "instances.detachDisk", "disks.delete", "disks.insert")
    ]
    assert (cloud.state.written(DISK), cloud.state.written(snapshot)) == ("", "weights")
    # The new disk has the old one's link, so nothing has changed for the instance: it runs without, until a refresh.
    assert [len(disks_of(cloud)), stack.plan()] == [1, {}]
    stack.refresh()
    stack.up()
    assert len(disks_of(cloud)) == 2

    # Made of that snapshot, which must be said for as long as the disk lives: left out, it is made anew once more.
    stack.config("snapshot", snapshot.rpartition("/")[2]).config("size", 50).up()
    assert cloud.state.written(DISK) == "weights"
    assert stack.resources()["data"]["outputs"]["snapshot"].endswith(snapshot)
    assert stack.plan() == {}
    stack.config("snapshot", f"{BASE}/global/snapshots/{snapshot.rpartition('/')[2]}")
    assert stack.plan() == {}
    stack.refresh()
    without = stack.settings_file.read_text().replace(f"axion:snapshot: {BASE}/global", "axion:other: global")
    stack.settings_file.write_text(without)
    assert stack.plan()["data"] == "replace"


HOST = """
import pulumi
import pulumi_gcp as gcp

config = pulumi.Config()
network = gcp.compute.Network("network", name="axion-net", auto_create_subnetworks=False)
subnet = gcp.compute.Subnetwork(
    "subnet", name="axion-subnet", network=network.id, ip_cidr_range="10.1.0.0/24", region="us-central1"
)
address = gcp.compute.Address("address", name="axion-address", region="us-central1", labels={"axion-stack": "dev"})
data = gcp.compute.Disk(
    "data", name="axion-data", size=100, type="hyperdisk-balanced",
    provisioned_iops=config.require_int("iops"), provisioned_throughput=config.require_int("throughput"),
)
initial = gcp.compute.InstanceBootDiskInitializeParamsArgs(
    image="ubuntu-os-cloud/ubuntu-2404-lts-arm64", size=20, type="hyperdisk-balanced"
)
local = [gcp.compute.InstanceScratchDiskArgs(interface="NVME", size=375) for _ in range(config.require_int("ssds"))]
host = gcp.compute.Instance(
    "host", name="axion-host", machine_type=config.require("machine"), allow_stopping_for_update=True,
    boot_disk=gcp.compute.InstanceBootDiskArgs(initialize_params=initial), scratch_disks=local or None,
    network_interfaces=[gcp.compute.InstanceNetworkInterfaceArgs(
        subnetwork=subnet.id, nic_type="GVNIC",
        access_configs=[gcp.compute.InstanceNetworkInterfaceAccessConfigArgs(nat_ip=address.address)],
    )],
)
pulumi.export("address", host.network_interfaces[0].access_configs[0].nat_ip)
"""


def test_local_ssds_are_named_or_the_host_is_replaced_and_the_provider_cannot_stop_it(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, HOST)
    stack.config("ssds", 2).config("machine", "c4a-standard-8-lssd").config("iops", 10_000).config("throughput", 1_000)
    stack.up()
    assert stack.outputs() == {"address": "203.0.113.10"}
    assert stack.plan() == {}
    stack.config("ssds", 0)
    assert stack.plan() == {"host": "replace"}

    stack.config("ssds", 2).config("machine", "c4a-standard-16-lssd")
    refused = stack.up(check=False)
    assert "VM has a Local SSD attached but an undefined value for `discard-local-ssd`" in refused.said

    # Both at once: the lower IOPS alone would not carry the throughput that is there.
    cloud.requests.clear()
    stack.config("machine", "c4a-standard-8-lssd").config("iops", 3_000).config("throughput", 140)
    assert stack.plan() == {"data": "update"}
    stack.up()
    [changed] = [one["path"] for one in cloud.requests if one["method"] == "compute.disks.update"]
    assert changed.endswith("/disks/axion-data?paths=provisionedIops&paths=provisionedThroughput")
    refused = stack.config("iops", 4_000).up(check=False)
    assert "it can be changed once in 4 hours" in refused.said
    stack.destroy()
    assert snapshots(cloud) == []


BOOT = """
import pulumi_gcp as gcp

gcp.compute.Disk(
    "boot", name="axion-boot", image="ubuntu-os-cloud/ubuntu-2404-lts-arm64", architecture="ARM64", size=20,
    type="hyperdisk-balanced",
)
"""


def test_an_imported_disk_that_says_its_architecture_is_made_anew(
    tmp_path: Path, pulumi_cli: Path, cloud: Cloud
) -> None:
    """The architecture forces replacement and is never read: an import cannot bring it (resource_compute_disk.go)."""
    stack = PulumiStack.create(tmp_path, pulumi_cli, cloud, BOOT)
    cloud.plant(method=r"compute\.disks\.insert", kind="drop")
    stack.up(check=False)
    boot = f"{BASE}/zones/us-central1-a/disks/axion-boot"
    words = ("import", "--yes", "--protect=false", "--generate-code=false", "gcp:compute/disk:Disk", "boot", boot)
    stack.run(*words)
    assert stack.plan() == {"boot": "replace"}
    stack.write(BOOT.replace('architecture="ARM64", ', ""))
    assert stack.plan() == {"boot": "update"}
