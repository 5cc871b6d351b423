"""Calls of the small cloud without HTTP, and the bodies that most tests begin with."""

from typing import Any

from tests.support.fakes.cloud.server import Cloud

Json = dict[str, Any]
COMPUTE = "/compute/v1/projects/axion-test"
ZONE = f"{COMPUTE}/zones/us-central1-a"
REGION = f"{COMPUTE}/regions/us-central1"
BALANCED = "zones/us-central1-a/diskTypes/hyperdisk-balanced"
ARM_IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-arm64"
X86_IMAGE = "projects/ubuntu-os-cloud/global/images/family/ubuntu-2404-lts-amd64"


def post(cloud: Cloud, path: str, body: Json | None = None) -> tuple[int, Json]:
    """One POST, answered at once."""
    return cloud.answer("POST", path, body or {})


def get(cloud: Cloud, path: str) -> Json:
    """A resource that must be there."""
    status, answer = cloud.answer("GET", path, {})
    assert status == 200, answer
    return answer


def done(cloud: Cloud, verb: str, path: str, body: Json | None = None) -> Json:
    """A call that must be accepted; the operation as it ended, if there is one."""
    status, answer = cloud.answer(verb, path, body or {})
    assert status == 200, answer
    if answer.get("kind") != "compute#operation":
        return answer
    where = answer["selfLink"].removeprefix("https://www.googleapis.com")
    status, ended = cloud.answer("POST", f"{where}/wait", {})
    assert (status, ended["status"]) == (200, "DONE")
    return ended


def refusal(answered: tuple[int, Json]) -> tuple[int, str, str]:
    """Code, reason and message of a call that must be refused."""
    status, answer = answered
    assert status >= 400, answer
    error = answer["error"]
    assert error["code"] == status
    return status, error["errors"][0]["reason"], error["message"]


def operation_error(operation: Json) -> tuple[str, str]:
    """Code and message of an operation that must have failed."""
    error = operation["error"]["errors"][0]
    return error["code"], error["message"]


def disk(name: str = "data", **changes: Any) -> Json:
    """A Hyperdisk of 50 GB."""
    return {"name": name, "sizeGb": "50", "type": BALANCED, **changes}


def instance(name: str = "vm", *, machine: str = "c4a-standard-8", **changes: Any) -> Json:
    """A C4A machine with a boot disk in the subnet of `network`."""
    boot = {"boot": True, "autoDelete": True, "initializeParams": {"sourceImage": ARM_IMAGE, "diskType": BALANCED}}
    return {
        "name": name,
        "machineType": f"zones/us-central1-a/machineTypes/{machine}",
        "disks": [boot],
        "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/sub", "nicType": "GVNIC"}],
        **changes,
    }


def network(cloud: Cloud) -> None:
    """A network `net` with a subnet `sub`."""
    done(cloud, "POST", f"{COMPUTE}/global/networks", {"name": "net", "autoCreateSubnetworks": False})
    subnet = {"name": "sub", "network": "global/networks/net", "ipCidrRange": "10.0.0.0/24"}
    done(cloud, "POST", f"{REGION}/subnetworks", subnet)


def booted(cloud: Cloud, **changes: Any) -> None:
    """Network, data disk, and a running instance with it."""
    network(cloud)
    done(cloud, "POST", f"{ZONE}/disks", disk())
    body = instance(**changes)
    body["disks"].append({"source": "projects/axion-test/zones/us-central1-a/disks/data", "deviceName": "data"})
    ended = done(cloud, "POST", f"{ZONE}/instances", body)
    assert "error" not in ended, ended
