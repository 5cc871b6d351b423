"""Disks and snapshots of the small cloud: what is on them, what may be made, and how often they may change."""

from typing import Any

import pytest

from tests.support.cloud_calls import (
    ARM_IMAGE,
    COMPUTE,
    X86_IMAGE,
    ZONE,
    booted,
    disk,
    done,
    get,
    operation_error,
    post,
    refusal,
)
from tests.support.fakes.cloud.server import Cloud

Json = dict[str, Any]
BASE = "projects/axion-test"
DATA = f"{BASE}/zones/us-central1-a/disks/data"
SNAPSHOTS = f"{COMPUTE}/global/snapshots"
OTHER = f"{COMPUTE}/zones/us-central1-b"
HOUR_S = 3600.0


def kind(name: str) -> str:
    return f"zones/us-central1-a/diskTypes/{name}"


def snapshot(name: str = "snap", **more: Any) -> Json:
    return {"name": name, "sourceDisk": DATA, **more}


def test_what_is_on_a_disk_is_in_its_snapshots_and_on_their_disks_and_ends_with_it(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    assert cloud.state.written(DATA) == ""
    cloud.state.write(DATA, "weights")
    done(cloud, "POST", SNAPSHOTS, snapshot())
    cloud.state.write(DATA, "newer weights")
    done(cloud, "POST", f"{ZONE}/disks/data/createSnapshot", {"name": "later"})
    for name, taken in (("moved", "snap"), ("moved-later", "later")):
        body = disk(name, type="zones/us-central1-b/diskTypes/hyperdisk-balanced")
        done(cloud, "POST", f"{OTHER}/disks", {**body, "sourceSnapshot": f"global/snapshots/{taken}"})
    moved = f"{BASE}/zones/us-central1-b/disks/moved"
    assert (cloud.state.written(moved), cloud.state.written(f"{moved}-later")) == ("weights", "newer weights")
    shown = get(cloud, f"{OTHER}/disks/moved")
    source = get(cloud, f"{SNAPSHOTS}/snap")
    assert (shown["sourceSnapshot"], shown["sourceSnapshotId"]) == (source["selfLink"], source["id"])

    done(cloud, "DELETE", f"{ZONE}/disks/data")
    done(cloud, "POST", f"{ZONE}/disks", disk())
    assert cloud.state.written(DATA) == ""
    assert cloud.state.written(f"{BASE}/global/snapshots/snap") == "weights"
    done(cloud, "DELETE", f"{SNAPSHOTS}/snap")
    assert sorted(cloud.state.contents.values()) == ["newer weights", "newer weights", "weights"]


def test_a_snapshot_shows_its_disk_its_size_its_own_labels_and_where_it_is_stored(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk(labels={"of": "the-disk"}, sourceImage=ARM_IMAGE))
    done(cloud, "POST", SNAPSHOTS, snapshot(labels={"axion-stack": "dev"}))
    shown = get(cloud, f"{SNAPSHOTS}/snap")
    wanted = ("status", "diskSizeGb", "labels", "storageLocations", "architecture", "sourceDisk")
    assert [shown[key] for key in wanted] == [
        *("READY", "50", {"axion-stack": "dev"}, ["us"], "ARM64"),
        f"https://www.googleapis.com/compute/v1/{DATA}",
    ]
    assert shown["sourceDiskId"] == get(cloud, f"{ZONE}/disks/data")["id"]
    done(cloud, "POST", SNAPSHOTS, snapshot("near", storageLocations=["us-central1"]))
    assert get(cloud, f"{SNAPSHOTS}/near")["storageLocations"] == ["us-central1"]


def test_a_snapshot_that_is_still_being_made_gives_no_disk(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    cloud.state.settings.operation_delay_s = 60.0
    post(cloud, SNAPSHOTS, snapshot())
    assert get(cloud, f"{SNAPSHOTS}/snap")["status"] == "CREATING"
    body = disk("new", sourceSnapshot="global/snapshots/snap")
    message = f"The resource '{BASE}/global/snapshots/snap' is not ready"
    assert refusal(post(cloud, f"{ZONE}/disks", body)) == (400, "resourceNotReady", message)


def test_attaching_and_detaching_is_remembered(cloud: Cloud) -> None:
    booted(cloud)
    shown = get(cloud, f"{ZONE}/disks/data")
    assert shown["lastAttachTimestamp"] and "lastDetachTimestamp" not in shown
    done(cloud, "POST", f"{ZONE}/instances/vm/detachDisk?deviceName=data")
    detached = get(cloud, f"{ZONE}/disks/data")
    assert (detached["users"], detached["lastDetachTimestamp"] >= shown["lastAttachTimestamp"]) == ([], True)


READ_ONLY = "A hyperdisk-ml disk of an image or snapshot must be created in read-only mode (READ_ONLY_MANY)."
UNMADE: dict[str, tuple[Json, str]] = {
    "smaller than its snapshot": (
        disk("new", sizeGb="40", sourceSnapshot="global/snapshots/snap"),
        "Invalid value for field 'resource.diskSizeGb': '40'. "
        "Requested disk size cannot be smaller than the snapshot size (50 GB)",
    ),
    "of no such snapshot": (
        disk("new", sourceSnapshot="global/snapshots/other"),
        f"The resource '{BASE}/global/snapshots/other' was not found",
    ),
    "of two sources": (
        disk("new", sourceSnapshot="global/snapshots/snap", sourceImage=X86_IMAGE),
        "At most one source may be given for a disk, got sourceImage, sourceSnapshot.",
    ),
    "ML of a snapshot, writable": (
        disk("new", type=kind("hyperdisk-ml"), sourceSnapshot="global/snapshots/snap"),
        f"Invalid value for field 'resource.accessMode': 'READ_WRITE_SINGLE'. {READ_ONLY}",
    ),
    "in two zones at once": (
        disk("new", type=kind("hyperdisk-balanced-high-availability")),
        "Invalid value for field 'resource.type': 'hyperdisk-balanced-high-availability'. "
        "It is in two zones of a region at once (regionDisks with two replicaZones), never in one.",
    ),
    "of less than 4 GiB": (
        disk("new", sizeGb="2"),
        "Disk size: '2 GB' is not supported for hyperdisk-balanced; it must be between 4 GB and 65536 GB.",
    ),
    "a Persistent Disk with IOPS": (
        disk("new", type="pd-ssd", provisionedIops="3000"),
        "Provisioned IOPS cannot be specified with disk type pd-ssd.",
    ),
    "Hyperdisk Throughput with IOPS": (
        disk("new", type=kind("hyperdisk-throughput"), sizeGb="2048", provisionedIops="3000"),
        "Provisioned IOPS cannot be specified with disk type hyperdisk-throughput.",
    ),
    "Hyperdisk Extreme with throughput": (
        disk("new", type=kind("hyperdisk-extreme"), sizeGb="64", provisionedThroughput="400"),
        "Provisioned throughput cannot be specified with disk type hyperdisk-extreme.",
    ),
}


@pytest.mark.parametrize("mistake", UNMADE)
def test_a_disk_that_google_would_not_make_is_refused(cloud: Cloud, mistake: str) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    done(cloud, "POST", SNAPSHOTS, snapshot())
    body, message = UNMADE[mistake]
    assert refusal(post(cloud, f"{ZONE}/disks", body))[2] == message
    assert f"{BASE}/zones/us-central1-a/disks/new" not in cloud.state.resources


# The numbers are Google's examples: "About Hyperdisk Throughput", "About Hyperdisk ML", "About Hyperdisk Balanced".
@pytest.mark.parametrize(
    ("name", "size_gb", "what", "limits", "iops"),
    [
        ("hyperdisk-throughput", 2_048, "throughput", (20, 180), None),
        ("hyperdisk-throughput", 5_120, "throughput", (25, 450), None),
        ("hyperdisk-throughput", 27_648, "throughput", (135, 2_400), None),
        ("hyperdisk-throughput", 32_768, "throughput", (160, 2_400), None),
        ("hyperdisk-ml", 4, "throughput", (400, 6_400), None),
        ("hyperdisk-ml", 100, "throughput", (400, 160_000), None),
        ("hyperdisk-ml", 64_000, "throughput", (7_680, 2_097_152), None),
        ("hyperdisk-balanced", 4, "IOPS", (2_000, 2_000), None),
        ("hyperdisk-balanced", 5, "IOPS", (2_500, 2_500), None),
        ("hyperdisk-balanced", 50, "IOPS", (3_000, 25_000), None),
        ("hyperdisk-balanced", 320, "IOPS", (3_000, 160_000), None),
        ("hyperdisk-balanced", 50, "throughput", (140, 750), None),
        ("hyperdisk-balanced", 400, "throughput", (625, 2_400), 160_000),
        ("hyperdisk-extreme", 64, "IOPS", (128, 64_000), None),
    ],
)
def test_what_can_be_provisioned_depends_on_the_size(
    cloud: Cloud, name: str, size_gb: int, what: str, limits: tuple[int, int], iops: int | None
) -> None:
    low, high = limits
    field = "provisionedIops" if what == "IOPS" else "provisionedThroughput"
    given = {} if iops is None else {"provisionedIops": str(iops)}
    for number, value in enumerate((low, high)):
        body = disk(f"fits-{number}", type=kind(name), sizeGb=str(size_gb), **{**given, field: str(value)})
        done(cloud, "POST", f"{ZONE}/disks", body)
    for value, word, limit in ((low - 1, "smaller", low), (high + 1, "larger", high)):
        body = disk("not", type=kind(name), sizeGb=str(size_gb), **{**given, field: str(value)})
        message = f"Requested provisioned {what} cannot be {word} than {limit}."
        assert refusal(post(cloud, f"{ZONE}/disks", body))[2] == message


def later(cloud: Cloud, seconds: float) -> None:
    cloud.state.settings.days_passed += seconds / 86_400


def test_a_hyperdisk_changes_only_so_often(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk(sizeGb="100"))
    path = f"{ZONE}/disks/data"
    for size_gb in (110, 120):
        done(cloud, "POST", f"{path}/resize", {"sizeGb": str(size_gb)})
    later(cloud, 4 * HOUR_S - 60)
    words = "Cannot update the size of disk 'data': it can be changed 2 times in 4 hours."
    assert refusal(post(cloud, f"{path}/resize", {"sizeGb": "130"})) == (400, "badRequest", words)
    later(cloud, 61)
    done(cloud, "POST", f"{path}/resize", {"sizeGb": "130"})

    def provision(iops: int, throughput: int) -> tuple[int, Json]:
        body = {"provisionedIops": str(iops), "provisionedThroughput": str(throughput)}
        return cloud.answer("PATCH", f"{path}?paths=provisionedIops&paths=provisionedThroughput", body)

    # Both at once, or the lower IOPS would not carry the throughput that is there.
    assert provision(10_000, 2_400)[0] == 200
    assert "performance of disk 'data': it can be changed once in 4 hours" in refusal(provision(3_000, 140))[2]
    later(cloud, 4 * HOUR_S + 1)
    lower = cloud.answer("PATCH", f"{path}?paths=provisionedIops", {"provisionedIops": "3000"})
    assert refusal(lower)[2] == "Requested provisioned throughput cannot be larger than 750."
    assert provision(3_000, 140)[0] == 200
    assert get(cloud, path)["provisionedThroughput"] == "140"


def test_a_disk_is_made_a_snapshot_of_six_times_in_an_hour_and_a_snapshot_six_disks(cloud: Cloud) -> None:
    done(cloud, "POST", f"{ZONE}/disks", disk())
    for number in range(6):
        assert "error" not in done(cloud, "POST", SNAPSHOTS, snapshot(f"snap-{number}"))
        body = disk(f"copy-{number}", sourceSnapshot="global/snapshots/snap-0")
        assert "error" not in done(cloud, "POST", f"{ZONE}/disks", body)
    once_more = (
        (SNAPSHOTS, snapshot("snap-6"), DATA),
        (f"{ZONE}/disks", disk("copy-6", sourceSnapshot="global/snapshots/snap-0"), f"{BASE}/global/snapshots/snap-0"),
    )
    for where, body, source in once_more:
        words = f"Operation rate exceeded for resource '{source}'. Too frequent operations from the source resource."
        assert operation_error(done(cloud, "POST", where, body)) == ("RESOURCE_OPERATION_RATE_EXCEEDED", words)
        assert cloud.answer("GET", f"{where}/{body['name']}", {})[0] == 404
    later(cloud, HOUR_S + 1)
    for where, body, _ in once_more:
        assert "error" not in done(cloud, "POST", where, body)
