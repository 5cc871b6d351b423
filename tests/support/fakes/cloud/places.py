"""What is there before anything is created: regions, zones, machine types, disk types, images, the project itself."""

import zlib
from collections.abc import Iterator
from typing import Any

from tests.support.fakes.cloud import disk_rules, rules
from tests.support.fakes.cloud.call import Call, answers
from tests.support.fakes.cloud.errors import not_found
from tests.support.fakes.cloud.operations import aggregated, listed
from tests.support.fakes.cloud.state import PREFIX

Json = dict[str, Any]
BORN = "2024-10-30T00:00:00.000-07:00"
FEATURES = ("VIRTIO_SCSI_MULTIQUEUE", "UEFI_COMPATIBLE", "GVNIC")
# family: (project, image name before its version, architecture, disk size in GB, has gVNIC's driver)
FAMILIES = {
    "ubuntu-2404-lts-arm64": ("ubuntu-os-cloud", "ubuntu-2404-noble-arm64", "ARM64", 10, True),
    "ubuntu-2404-lts-amd64": ("ubuntu-os-cloud", "ubuntu-2404-noble-amd64", "X86_64", 10, True),
    "ubuntu-2604-lts-arm64": ("ubuntu-os-cloud", "ubuntu-2604-resolute-arm64", "ARM64", 10, True),
    "ubuntu-minimal-2404-lts-arm64": ("ubuntu-os-cloud", "ubuntu-minimal-2404-noble-arm64", "ARM64", 10, True),
    "debian-12-arm64": ("debian-cloud", "debian-12-bookworm-arm64", "ARM64", 10, True),
    "debian-13-arm64": ("debian-cloud", "debian-13-trixie-arm64", "ARM64", 10, True),
    "debian-12": ("debian-cloud", "debian-12-bookworm", "X86_64", 10, True),
    "rocky-linux-9-optimized-gcp-arm64": ("rocky-linux-cloud", "rocky-linux-9-optimized-gcp-arm64", "ARM64", 20, True),
    # Of the project's own, whose names say nothing: only Google knows that they are not for Arm.
    "mine": ("axion-test", "mine", "X86_64", 10, True),
    "old-arm64": ("debian-cloud", "debian-old-arm64", "ARM64", 10, False),
}
VERSION = "v20261101"


def numbered(path: str) -> str:
    """The same id for the same thing in every run."""
    return str(10**15 + zlib.crc32(path.encode()))


def _described(kind: str, path: str, **rest: Any) -> Json:
    name = path.rpartition("/")[2]
    head = {"kind": f"compute#{kind}", "id": numbered(path), "name": name, "creationTimestamp": BORN}
    return {**head, "selfLink": PREFIX + path, **rest}


def image(path: str) -> Json:
    """An image by its own path or by its family's."""
    project, name = path.split("/")[1], path.rpartition("/")[2]
    for family, (owner, stem, architecture, size_gb, has_gvnic) in FAMILIES.items():
        by_family = "/family/" in path and name == family
        if owner == project and (by_family or name == f"{stem}-{VERSION}"):
            features = [{"type": feature} for feature in FEATURES if has_gvnic or feature != "GVNIC"]
            return _described(
                "image",
                f"projects/{owner}/global/images/{stem}-{VERSION}",
                family=family,
                architecture=architecture,
                diskSizeGb=str(size_gb),
                status="READY",
                sourceType="RAW",
                guestOsFeatures=features,
            )
    raise not_found(path)


@answers("compute.images.getFromFamily")
def get_image_from_family(call: Call) -> Json:
    """The newest image of a family."""
    return image(f"projects/{call.project}/global/images/family/{call.parameters['family']}")


def zone(project: str, name: str) -> Json:
    """A zone."""
    region = f"projects/{project}/regions/{name.rpartition('-')[0]}"
    return _described("zone", f"projects/{project}/zones/{name}", status="UP", region=PREFIX + region)


def check_place(call: Call) -> None:
    """Refuse a zone or region that does not exist, as any call with it in its path does."""
    found = call.parameters.get("zone")
    region = call.parameters.get("region")
    if found is not None and found not in rules.zones():
        raise not_found(f"projects/{call.project}/zones/{found}")
    if region is not None and region not in rules.ZONES:
        raise not_found(f"projects/{call.project}/regions/{region}")


def region(call: Call, name: str) -> Json:
    """A region with the quotas that the API shows; C4A_CPUS is not among them, as with Google."""
    path = f"projects/{call.project}/regions/{name}"
    letters = [PREFIX + f"projects/{call.project}/zones/{name}-{letter}" for letter in rules.ZONES[name]]
    disks = [one for _, one in call.state.under(f"projects/{call.project}", "disks") if f"/{name}-" in one["zone"]]
    quotas = [
        {"metric": "CPUS", "limit": 2400.0, "usage": 0.0},
        {"metric": "DISKS_TOTAL_GB", "limit": 102400.0, "usage": float(sum(int(one["sizeGb"]) for one in disks))},
        {"metric": "PREEMPTIBLE_CPUS", "limit": 0.0, "usage": 0.0},
    ]
    return _described("region", path, status="UP", zones=letters, quotas=quotas)


def machine_type(project: str, zone_name: str, machine: rules.Machine) -> Json:
    """A machine type as the API shows it."""
    rest: Json = {"bundledLocalSsds": {"defaultInterface": "NVME", "partitionCount": machine.local_ssds}}
    return _described(
        "machineType",
        f"projects/{project}/zones/{zone_name}/machineTypes/{machine.name}",
        description=f"{machine.cpus} vCPUs, {machine.memory_gb} GB RAM",
        guestCpus=machine.cpus,
        memoryMb=machine.memory_gb * 1024,
        isSharedCpu=False,
        maximumPersistentDisks=32,
        maximumPersistentDisksSizeGb="524288",
        architecture=machine.architecture,
        zone=zone_name,
        **(rest if machine.local_ssds else {}),
    )


def disk_type(project: str, zone_name: str, name: str) -> Json:
    """A disk type as the API shows it."""
    path = f"projects/{project}/zones/{zone_name}/diskTypes/{name}"
    return _described("diskType", path, zone=PREFIX + f"projects/{project}/zones/{zone_name}", defaultDiskSizeGb="100")


def _zonal(call: Call, collection: str) -> Iterator[tuple[str, Json]]:
    for name in rules.zones():
        if call.parameters.get("zone") in (None, name):
            if collection == "machineTypes":
                yield from ((name, machine_type(call.project, name, one)) for one in rules.machines_in(name))
            else:
                yield from ((name, disk_type(call.project, name, one)) for one in disk_rules.DISK_TYPES)


def _there(call: Call) -> Iterator[Json]:
    """All that is in the collection of a call, in its zone if it names one."""
    collection = call.method.id.split(".")[1]
    if collection == "images":
        owned = (name for name, (owner, *_) in FAMILIES.items() if owner == call.project)
        yield from (image(f"projects/{call.project}/global/images/family/{name}") for name in owned)
    elif collection == "zones":
        yield from (zone(call.project, name) for name in rules.zones())
    elif collection == "regions":
        yield from (region(call, name) for name in rules.ZONES)
    else:
        yield from (one for _, one in _zonal(call, collection))


COLLECTIONS = ("images", "zones", "regions", "machineTypes", "diskTypes")


@answers(*(f"compute.{name}.get" for name in COLLECTIONS))
def get(call: Call) -> Json:
    """What is there under a name."""
    check_place(call)
    collection = call.method.id.split(".")[1]
    name = call.parameters[collection.removesuffix("s")]
    for found in _there(call):
        if found["name"] == name:
            return found
    raise not_found(f"{call.parent}/{collection}/{name}")


@answers(*(f"compute.{name}.list" for name in COLLECTIONS))
def list_there(call: Call) -> Json:
    """All that is there."""
    check_place(call)
    collection = call.method.id.split(".")[1]
    return listed(call, collection.removesuffix("s"), f"{call.parent}/{collection}", _there(call))


@answers("compute.machineTypes.aggregatedList", "compute.diskTypes.aggregatedList")
def aggregate(call: Call) -> Json:
    """What all zones offer."""
    collection = call.method.id.split(".")[1]
    return aggregated(call, collection, ((f"zones/{name}", one) for name, one in _zonal(call, collection)))


@answers("compute.projects.get")
def get_project(call: Call) -> Json:
    """The project as Compute sees it."""
    path = f"projects/{call.project}"
    account = f"{call.state.settings.number}-compute@developer.gserviceaccount.com"
    return _described(
        "project", path, defaultServiceAccount=account, commonInstanceMetadata={"kind": "compute#metadata"}
    )


@answers("compute.advice.capacity")
def advise(call: Call) -> Json:
    """How likely the wanted machines are to be had."""
    check_place(call)
    shard = {"instanceCount": 1, "zone": f"zones/{call.parameters['region']}-a", "provisioningModel": "SPOT"}
    return {"recommendations": [{"scores": {"obtainability": 0.8}, "shards": [shard]}]}
