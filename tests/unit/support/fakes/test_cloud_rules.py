"""What Google refuses beyond its schemas: disks, images, cards, zones, quotas, things in use, stale reads."""

from typing import Any

import pytest

from tests.support.cloud_calls import (
    ARM_IMAGE,
    X86_IMAGE,
    ZONE,
    booted,
    disk,
    done,
    get,
    instance,
    network,
    operation_error,
    post,
    refusal,
)
from tests.support.fakes.cloud import rules
from tests.support.fakes.cloud.server import Cloud

NONE = "us-central1-f"
VM = f"{ZONE}/instances/vm"


def boot_disk(image: str = ARM_IMAGE, kind: str = "hyperdisk-balanced", **more: Any) -> list[dict[str, Any]]:
    made = {"sourceImage": image, "diskType": f"zones/us-central1-a/diskTypes/{kind}", **more}
    return [{"boot": True, "autoDelete": True, "initializeParams": made}]


def boots(count: int, **more: Any) -> list[dict[str, Any]]:
    """Further disks, made with the instance."""
    made = {"diskType": "zones/us-central1-a/diskTypes/hyperdisk-balanced", **more}
    return [{"initializeParams": made} for _ in range(count)]


EXTREME = "projects/axion-test/zones/us-central1-a/disks/extreme"
REFUSED: dict[str, tuple[dict[str, Any], int, str]] = {
    "Persistent Disk on C4A": (
        {"disks": boot_disk(kind="pd-balanced")},
        400,
        "[pd-balanced, c4a-standard-8] features are not compatible for creating instance.",
    ),
    "Hyperdisk Extreme below 64 processors": (
        {"machine": "c4a-standard-32", "disks": [*boot_disk(), {"source": EXTREME}]},
        400,
        "[hyperdisk-extreme, c4a-standard-32] features are not compatible for creating instance.",
    ),
    "Hyperdisk Extreme on N4A": (
        {"machine": "n4a-standard-64", "disks": [*boot_disk(), {"source": EXTREME}]},
        400,
        "[hyperdisk-extreme, n4a-standard-64] features are not compatible for creating instance.",
    ),
    "Hyperdisk Extreme to boot from": (
        {"machine": "c4a-standard-64", "disks": boot_disk(kind="hyperdisk-extreme", diskSizeGb="64")},
        400,
        "Invalid value for field 'resource.disks.boot': 'True'. "
        "A hyperdisk-extreme disk cannot be used as a boot disk.",
    ),
    "a disk of another zone": (
        {"disks": [*boot_disk(), {"source": "projects/axion-test/zones/us-central1-b/disks/far"}]},
        400,
        "Invalid value for field 'resource.disks[1].source': 'https://www.googleapis.com/compute/v1/"
        "projects/axion-test/zones/us-central1-b/disks/far'. Disk must be in the same zone as the instance.",
    ),
    "17 disks on 8 processors": (
        {"disks": [*boot_disk(), *boots(16)]},
        400,
        "Cannot attach more than 16 disks to machine type c4a-standard-8.",
    ),
    "more than 257 TiB on 8 processors": (
        {"disks": [*boot_disk(), *boots(5, diskSizeGb="65536")]},
        400,
        "The disks of c4a-standard-8 may have 263168 GB together, got 327690 GB.",
    ),
    "an x86 image": (
        {"disks": boot_disk(X86_IMAGE)},
        400,
        "Requested boot disk architecture (X86_64) is not compatible with machine type architecture (ARM64).",
    ),
    "an image without gVNIC": (
        {"disks": boot_disk("projects/debian-cloud/global/images/family/old-arm64")},
        400,
        "c4a-standard-8 requires an image with the guest OS feature GVNIC.",
    ),
    "another card than gVNIC": (
        {"networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/sub", "nicType": "VIRTIO_NET"}]},
        400,
        "[VIRTIO_NET, c4a-standard-8] features are not compatible for creating instance.",
    ),
    "a custom C4A type": (
        {"machine": "c4a-custom-12-49152"},
        404,
        "The resource 'projects/axion-test/zones/us-central1-a/machineTypes/c4a-custom-12-49152' was not found",
    ),
    "local SSDs of one's own": (
        {"disks": [*boot_disk(), {"type": "SCRATCH", "initializeParams": {"diskType": "local-ssd"}}]},
        400,
        "Number of local SSDs for an instance of type c4a-standard-8 should be one of [0], while [1] is requested.",
    ),
    "Spot that restarts": (
        {"scheduling": {"provisioningModel": "SPOT", "automaticRestart": True}},
        400,
        "Invalid value for field 'resource.scheduling.automaticRestart': 'True'. "
        "Spot VMs cannot restart automatically.",
    ),
    "Spot that migrates": (
        {"scheduling": {"provisioningModel": "SPOT", "onHostMaintenance": "MIGRATE"}},
        400,
        "Invalid value for field 'resource.scheduling.onHostMaintenance': 'MIGRATE'. "
        "Spot VMs must terminate on host maintenance.",
    ),
    "a time limit without an action": (
        {"scheduling": {"maxRunDuration": {"seconds": "3600"}}},
        400,
        "Invalid value for field 'resource.scheduling.instanceTerminationAction': ''. "
        "It is required with a maximum run duration.",
    ),
}


@pytest.mark.parametrize("mistake", REFUSED)
def test_an_instance_that_google_refuses_is_refused_and_leaves_nothing(cloud: Cloud, mistake: str) -> None:
    network(cloud)
    extreme = disk("extreme", type="zones/us-central1-a/diskTypes/hyperdisk-extreme", sizeGb="64")
    done(cloud, "POST", f"{ZONE}/disks", extreme)
    done(cloud, "POST", f"{ZONE[:-1]}b/disks", disk("far", type="zones/us-central1-b/diskTypes/hyperdisk-balanced"))
    before = set(cloud.state.resources)
    changes, code, message = REFUSED[mistake]
    got = refusal(post(cloud, f"{ZONE}/instances", instance(**changes)))
    assert (got[0], got[2]) == (code, message)
    assert set(cloud.state.resources) == before


@pytest.mark.parametrize(
    ("machine", "kind", "size_gb"),
    [
        ("c4a-standard-64", "hyperdisk-extreme", 64),
        ("c4a-highmem-72-lssd", "hyperdisk-ml", 50),
        ("n4a-standard-2", "hyperdisk-balanced", 50),
        ("n4a-standard-2", "hyperdisk-ml", 50),
    ],
)
def test_an_instance_that_google_takes_is_taken(cloud: Cloud, machine: str, kind: str, size_gb: int) -> None:
    network(cloud)
    done(cloud, "POST", f"{ZONE}/disks", disk(type=f"zones/us-central1-a/diskTypes/{kind}", sizeGb=str(size_gb)))
    body = instance(machine=machine)
    body["disks"].append({"source": "projects/axion-test/zones/us-central1-a/disks/data", "deviceName": "data"})
    assert "error" not in done(cloud, "POST", f"{ZONE}/instances", body)


def test_a_zone_without_axion_says_that_it_has_no_such_machine(cloud: Cloud) -> None:
    path = f"projects/axion-test/zones/{NONE}/machineTypes/c4a-standard-32"
    answer = cloud.answer("GET", f"/compute/v1/{path}", {})
    assert refusal(answer) == (404, "notFound", f"The resource '{path}' was not found")


def test_shapes_are_googles() -> None:
    shapes = {name: (one.cpus, one.memory_gb, one.local_ssds) for name, one in rules.MACHINES.items()}
    assert shapes["c4a-standard-32"] == (32, 128, 0)
    assert shapes["c4a-highcpu-72"] == (72, 144, 0)
    assert shapes["c4a-highmem-64-lssd"] == (64, 512, 14)
    assert shapes["n4a-highmem-64"] == (64, 512, 0)
    assert "n4a-standard-72" not in shapes
    assert "c4a-standard-2-lssd" not in shapes


def test_a_quota_that_is_used_up_fails_the_operation_and_leaves_nothing(cloud: Cloud) -> None:
    network(cloud)
    cloud.state.settings.cpu_limits["us-central1"] = 8.0
    assert "error" not in done(cloud, "POST", f"{ZONE}/instances", instance("one"))
    ended = done(cloud, "POST", f"{ZONE}/instances", instance("two", machine="c4a-standard-32"))
    message = "Quota 'C4A_CPUS' exceeded.  Limit: 8.0 in region us-central1."
    assert operation_error(ended) == ("QUOTA_EXCEEDED", message)
    assert (ended["httpErrorStatusCode"], ended["httpErrorMessage"]) == (403, "FORBIDDEN")
    assert [path for path in cloud.state.resources if path.endswith("/two")] == []


def test_a_stopped_machine_frees_its_quota_and_may_find_none_later(cloud: Cloud) -> None:
    booted(cloud)
    cloud.state.settings.cpu_limits["us-central1"] = 8.0
    done(cloud, "POST", f"{VM}/stop")
    done(cloud, "POST", f"{ZONE}/instances", instance("other"))
    assert operation_error(done(cloud, "POST", f"{VM}/start"))[0] == "QUOTA_EXCEEDED"
    assert get(cloud, VM)["status"] == "TERMINATED"


def test_a_zone_out_of_stock_says_so(cloud: Cloud) -> None:
    network(cloud)
    cloud.state.settings.stockout_zones.add("us-central1-a")
    code, message = operation_error(done(cloud, "POST", f"{ZONE}/instances", instance()))
    assert code == "ZONE_RESOURCE_POOL_EXHAUSTED_WITH_DETAILS"
    assert "A c4a-standard-8 VM instance is currently unavailable in the us-central1-a zone." in message


def test_an_api_that_is_off_says_how_to_switch_it_on(cloud: Cloud) -> None:
    cloud.state.settings.services.remove("secretmanager.googleapis.com")
    status, answer = cloud.answer("GET", "/v1/projects/axion-test/secrets", {})
    assert refusal((status, answer))[:2] == (403, "accessNotConfigured")
    assert answer["error"]["details"][0]["reason"] == "SERVICE_DISABLED"
    assert answer["error"]["details"][0]["metadata"]["service"] == "secretmanager.googleapis.com"
    done(cloud, "POST", "/v1/projects/axion-test/services/secretmanager.googleapis.com:enable")
    assert get(cloud, "/v1/projects/axion-test/secrets")["secrets"] == []
