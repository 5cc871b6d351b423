"""The prod example with the real CLI: mistakes, up, nothing to do, changes, drift, and what its state says."""

import json
from typing import Any

from tests.support.pulumi_stack import PulumiStack
from tests.support.standing_stack import changes, host_settings

Json = dict[str, Any]
ZONE = "projects/axion-test/zones/us-central1-a"
VM, DISK = f"{ZONE}/instances/axion-prod-main", f"{ZONE}/disks/axion-prod-data-main"
RULE = "projects/axion-test/global/firewalls/axion-prod-allow-iap-ssh"
NOT_REPLACED = "as it is currently marked for protection"
ALL_WRONG = {
    "gcp:project": "My Project",
    "axion:maxHourlyUsd": "cheap",
    "axion:gatewayApiKeys": "in-clear",
    "axion:hosts": {
        "Main": {"machineType": "c4a-standard-32"},
        "big": {"machineType": "c4a-standard-33", "bootDiskGib": 5},
        "disk": {"machineType": "c4a-standard-32", "bootDiskType": "pd-balanced", "dataDiskType": "hyperdisk-extreme"},
        "x86": {
            "machineType": "c4a-standard-32",
            "image": "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64",
            "publicIp": {"allowCidrs": []},
            "spott": True,
        },
    },
}
# name: (parent, what it depends on)
GRAPH = {
    "network-vpc": ("network", []),
    "network-subnet": ("network", ["network-vpc"]),
    "network-router": ("network", ["network-vpc"]),
    "network-nat": ("network", ["network-router", "network-subnet"]),
    "network-allow-iap-ssh": ("network", ["network-vpc"]),
    "secrets-gateway-api-keys": ("secrets", []),
    "models-snapshots": ("models", []),
    "models-data-main": ("models", []),
    "models-data-main-snapshots": ("models", ["models-data-main", "models-snapshots"]),
    "models-bucket": ("models", []),
    "identity-main-account": ("identity-main", []),
    "identity-main-stop-role": ("identity-main", ["identity-main-account"]),
    "identity-main-logs": ("identity-main", ["identity-main-account"]),
    "identity-main-metrics": ("identity-main", ["identity-main-account"]),
    "identity-main-reads-bucket": ("identity-main", ["identity-main-account", "models-bucket"]),
    "identity-main-reads-gateway-api-keys": (
        "identity-main", ["identity-main-account", "secrets-gateway-api-keys"],
    ),
    "host-main-boot": ("host-main", []),
    "host-main-instance": (
        "host-main",
        ["host-main-boot", "identity-main-account", "models-data-main", "network-nat", "network-subnet"],
    ),
    "host-main-stops-itself": ("host-main", ["host-main-instance", "identity-main-account", "identity-main-stop-role"]),
}  # fmt: skip
COMPONENTS = {"network", "secrets", "models", "identity-main", "host-main"}


def short(urn: str) -> str:
    return urn.rpartition("::")[2]


def inputs(stack: PulumiStack) -> dict[str, str]:
    """Every resource's inputs as they stand in the checkpoint, to the byte."""
    return {name: json.dumps(one.get("inputs", {})) for name, one in stack.resources().items()}


def test_every_mistake_in_the_configuration_is_told_at_once_and_the_cloud_is_asked_nothing(prod: PulumiStack) -> None:
    for key, value in ALL_WRONG.items():
        prod.config(key, value)
    ran = prod.up(check=False)
    assert ran.status != 0
    found = [line.strip() for line in ran.said.splitlines() if line.strip().startswith(("Pulumi.prod.yaml", "error: "))]
    for part in (
        "gcp:project: ",
        "axion:maxHourlyUsd: ",
        "axion:gatewayApiKeys: written in clear, got 8 characters.",
        "axion:hosts.Main: ",
        'axion:hosts.big.machineType: no such c4a machine in the lists of 2026-08-17, got "c4a-standard-33", ',
        "axion:hosts.big.bootDiskGib: ",
        "axion:hosts.disk.bootDiskType: c4a has no Persistent Disk, got pd-balanced.",
        "axion:hosts.disk.dataDiskType: needs 64 vCPUs, got hyperdisk-extreme on c4a-standard-32.",
        "axion:hosts.x86.image: not built for arm64, which Axion needs, got ",
        "axion:hosts.x86.publicIp.allowCidrs: ",
        "axion:hosts.x86.spott: ",
    ):
        assert len([line for line in found if part in line]) == 1, f"{part}\n{ran.said}"
    assert "Traceback" not in ran.said
    assert "in-clear" not in ran.said
    assert prod.cloud.requests == []


def test_a_second_up_changes_nothing_and_asks_for_the_same_to_the_byte(prod: PulumiStack) -> None:
    before = inputs(prod)
    assert "25 unchanged" in prod.up().stdout
    assert changes(prod.cloud) == []
    assert inputs(prod) == before


def test_a_change_of_what_is_served_touches_no_resource(prod: PulumiStack) -> None:
    models = prod.folder / "models.yaml"
    text = models.read_text()
    models.write_text(text.replace("the largest and slowest of the four", "the slowest"))
    assert models.read_text() != text
    assert "25 unchanged" in prod.up().stdout
    assert changes(prod.cloud) == []


def test_a_label_is_set_on_everything_that_takes_labels_and_nothing_is_replaced(prod: PulumiStack) -> None:
    prod.config("labels", {"team": "serving"})
    assert "~ 6 updated" in prod.up().stdout
    assert sorted(changes(prod.cloud)) == [
        "disks.setLabels axion-prod-boot-main",
        "disks.setLabels axion-prod-data-main",
        "instances.setLabels axion-prod-main",
        "resourcePolicies.patch axion-prod-snapshots",
        "secretmanager.projects.secrets.patch axion-prod-gateway-api-keys",
        "storage.buckets.patch axion-prod-axion-test",
    ]
    assert prod.cloud.state.resources[VM]["labels"] == {
        "axion-component": "host",
        "axion-stack": "prod",
        "goog-pulumi-provisioned": "true",
        "managed-by": "pulumi",
        "team": "serving",
    }


def test_a_larger_disk_and_machine_change_in_place_with_one_stop(prod: PulumiStack) -> None:
    prod.config("maxHourlyUsd", 3)
    host_settings(prod, dataDiskGib=300, machineType="c4a-standard-48")
    assert prod.plan() == {"models-data-main": "update", "host-main-instance": "update"}
    prod.up()
    assert changes(prod.cloud) == [
        "disks.resize axion-prod-data-main",
        "instances.stop axion-prod-main",
        "instances.setMachineType axion-prod-main",
        "instances.start axion-prod-main",
    ]
    vm = prod.cloud.state.resources[VM]
    assert (vm["machineType"].rpartition("/")[2], vm["status"]) == ("c4a-standard-48", "RUNNING")
    assert prod.cloud.state.resources[DISK]["sizeGb"] == "300"


def test_a_larger_boot_disk_grows_under_the_running_host(prod: PulumiStack) -> None:
    host_settings(prod, bootDiskGib=60)
    assert prod.plan() == {"host-main-boot": "update"}
    prod.up()
    assert changes(prod.cloud) == ["disks.resize axion-prod-boot-main"]


def test_what_can_only_be_made_anew_goes_first_and_its_data_disk_stays(prod: PulumiStack) -> None:
    host_settings(prod, bootDiskGib=40)
    disk_id = prod.cloud.state.resources[DISK]["id"]
    anew = ("host-main-boot", "host-main-instance", "host-main-stops-itself")
    assert prod.plan() == dict.fromkeys(anew, "replace")
    prod.up()
    assert changes(prod.cloud) == [
        "instances.setIamPolicy axion-prod-main",
        "instances.delete axion-prod-main",
        "disks.delete axion-prod-boot-main",
        "disks.insert axion-prod-boot-main",
        "instances.insert axion-prod-main",
        "instances.setIamPolicy axion-prod-main",
    ]
    assert prod.cloud.state.resources[DISK]["id"] == disk_id
    assert [user.rpartition("/")[2] for user in prod.cloud.state.resources[DISK]["users"]] == ["axion-prod-main"]


def test_a_smaller_data_disk_would_be_an_empty_one_and_is_refused(prod: PulumiStack) -> None:
    host_settings(prod, dataDiskGib=100)
    ran = prod.run("up", "--yes", "--stack", prod.name, check=False)
    assert ran.status != 0
    assert NOT_REPLACED in ran.said
    assert changes(prod.cloud) == []


def test_drift_is_found_and_repaired_and_a_grown_disk_is_never_shrunk(prod: PulumiStack) -> None:
    resources = prod.cloud.state.resources
    resources[RULE]["sourceRanges"] = ["0.0.0.0/0"]
    resources[DISK]["sizeGb"] = "250"
    found = prod.refresh("--diff").stdout
    assert "~ 2 updated" in found
    assert '"0.0.0.0/0"' in found
    prod.cloud.requests.clear()
    refused = prod.up(check=False)
    assert refused.status != 0
    assert NOT_REPLACED in refused.said
    host_settings(prod, dataDiskGib=250)
    prod.up()
    assert changes(prod.cloud) == ["firewalls.patch axion-prod-allow-iap-ssh"]
    assert resources[RULE]["sourceRanges"] == ["35.235.240.0/20"]
    assert resources[DISK]["sizeGb"] == "250"


def test_the_checkpoint_holds_parents_protection_dependencies_and_no_more_resources(prod: PulumiStack) -> None:
    resources = prod.resources()
    assert {"axion-prod", "default_10_2_0", *COMPONENTS, *GRAPH} == set(resources)
    graph = {
        name: (short(resources[name]["parent"]), sorted(short(urn) for urn in resources[name].get("dependencies", [])))
        for name in GRAPH
    }
    assert graph == GRAPH
    assert {name for name, one in resources.items() if one.get("protect")} == {"models-data-main", "models-bucket"}
    assert not [name for name, one in resources.items() if one.get("retainOnDelete")]
    assert {short(resources[name]["parent"]) for name in COMPONENTS} == {"axion-prod"}
    assert {resources[name]["type"].rpartition(":")[0] for name in COMPONENTS} == {"axion:infra"}
