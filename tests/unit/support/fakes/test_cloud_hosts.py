"""Instances of the small cloud: local SSDs that a machine type brings, addresses that a start brings."""

from typing import Any

import pytest

from tests.support.cloud_calls import BALANCED, REGION, ZONE, booted, disk, done, get, instance, network, post, refusal
from tests.support.fakes.cloud.server import Cloud

Json = dict[str, Any]
VM = f"{ZONE}/instances/vm"
LOCAL = {"type": "SCRATCH", "autoDelete": True, "interface": "NVME", "initializeParams": {"diskType": "local-ssd"}}
LSSD = "c4a-standard-8-lssd"
UNDEFINED = (
    "VM has a Local SSD attached but an undefined value for `discard-local-ssd`. If using gcloud, please add "
    "`--discard-local-ssd=false` or `--discard-local-ssd=true` to your command."
)


def locals_of(cloud: Cloud) -> list[tuple[str, str]]:
    return [(one["deviceName"], one["diskSizeGb"]) for one in get(cloud, VM)["disks"] if one["type"] == "SCRATCH"]


@pytest.mark.parametrize("asked", [0, 2])
def test_a_machine_type_brings_its_local_ssds_whether_they_are_asked_for_or_not(cloud: Cloud, asked: int) -> None:
    network(cloud)
    body = instance(machine=LSSD)
    body["disks"] += [LOCAL] * asked
    done(cloud, "POST", f"{ZONE}/instances", body)
    assert locals_of(cloud) == [("local-ssd-0", "375"), ("local-ssd-1", "375")]
    done(cloud, "DELETE", VM)
    assert [path for path in cloud.state.resources if "/disks/" in path] == []


@pytest.mark.parametrize(("machine", "asked", "right"), [(LSSD, 1, 2), ("c4a-standard-8", 1, 0), (LSSD, 3, 2)])
def test_another_number_of_local_ssds_is_refused(cloud: Cloud, machine: str, asked: int, right: int) -> None:
    network(cloud)
    body = instance(machine=machine)
    body["disks"] += [LOCAL] * asked
    words = f"Number of local SSDs for an instance of type {machine} should be one of [{right}], while [{asked}]"
    assert refusal(post(cloud, f"{ZONE}/instances", body))[2] == f"{words} is requested."


def test_a_stop_must_say_what_becomes_of_local_ssds_and_their_machine_keeps_its_type(cloud: Cloud) -> None:
    booted(cloud, machine=LSSD)
    assert refusal(post(cloud, f"{VM}/stop")) == (400, "badRequest", UNDEFINED)
    assert get(cloud, VM)["status"] == "RUNNING"
    done(cloud, "POST", f"{VM}/stop?discardLocalSsd=false")
    assert [one.get("savedState") for one in get(cloud, VM)["disks"] if one["type"] == "SCRATCH"] == ["PRESERVED"] * 2
    wanted = {"machineType": "zones/us-central1-a/machineTypes/c4a-standard-16"}
    assert "a machine with local SSDs cannot be changed" in refusal(post(cloud, f"{VM}/setMachineType", wanted))[2]
    done(cloud, "POST", f"{VM}/start")
    done(cloud, "POST", f"{ZONE}/disks", disk("more"))
    done(cloud, "POST", f"{VM}/attachDisk", {"source": "zones/us-central1-a/disks/more", "deviceName": "more"})
    done(cloud, "POST", f"{VM}/detachDisk?deviceName=more")
    done(cloud, "POST", f"{VM}/stop?discardLocalSsd=true")
    assert get(cloud, VM)["status"] == "TERMINATED"


def test_a_machine_without_local_ssds_stops_as_it_is(cloud: Cloud) -> None:
    booted(cloud)
    done(cloud, "POST", f"{VM}/stop?discardLocalSsd=true")
    done(cloud, "POST", f"{VM}/start")
    done(cloud, "POST", f"{VM}/stop")


LIMIT = {"maxRunDuration": {"seconds": "3600"}, "instanceTerminationAction": "STOP"}
DISCARD = {"onInstanceStopAction": {"discardLocalSsd": True}}
FIELD = "Invalid value for field 'resource.scheduling.onInstanceStopAction.discardLocalSsd'"


@pytest.mark.parametrize(
    ("machine", "scheduling", "message"),
    [
        (LSSD, LIMIT, f"{FIELD}: 'None'. It must be true for an instance with local SSDs that stops by itself."),
        (LSSD, DISCARD, f"{FIELD}: 'True'. It needs local SSDs, a time limit, and STOP at its end."),
        ("c4a-standard-8", {**LIMIT, **DISCARD}, f"{FIELD}: 'True'. It needs local SSDs, a time limit, and STOP"),
        (LSSD, {**LIMIT, **DISCARD}, ""),
        ("c4a-standard-8", LIMIT, ""),
    ],
)
def test_a_time_limit_gives_local_ssds_up_beforehand(
    cloud: Cloud, machine: str, scheduling: Json, message: str
) -> None:
    network(cloud)
    status, answer = post(cloud, f"{ZONE}/instances", instance(machine=machine, scheduling=scheduling))
    assert (status == 200) == (message == "")
    assert answer.get("error", {}).get("message", "").startswith(message)


def card(**config: str) -> list[Json]:
    return [{"subnetwork": "regions/us-central1/subnetworks/sub", "nicType": "GVNIC", "accessConfigs": [config]}]


def public_address(cloud: Cloud, name: str = "vm") -> str | None:
    config = get(cloud, f"{ZONE}/instances/{name}")["networkInterfaces"][0]["accessConfigs"][0]
    found: str | None = config.get("natIP")
    return found


def test_an_address_that_is_not_reserved_is_lost_at_a_stop(cloud: Cloud) -> None:
    booted(cloud, networkInterfaces=card())
    first = public_address(cloud)
    done(cloud, "POST", f"{VM}/reset")
    assert public_address(cloud) == first == "198.51.100.10"
    done(cloud, "POST", f"{VM}/stop")
    assert public_address(cloud) is None
    done(cloud, "POST", f"{VM}/start")
    assert public_address(cloud) == "198.51.100.11"
    done(cloud, "POST", f"{VM}/deleteAccessConfig?networkInterface=nic0&accessConfig=external-nat")
    done(cloud, "POST", f"{VM}/addAccessConfig?networkInterface=nic0", {"type": "ONE_TO_ONE_NAT"})
    assert public_address(cloud) == "198.51.100.12"


def test_a_reserved_address_stays_with_its_instance_and_is_free_after_it(cloud: Cloud) -> None:
    done(cloud, "POST", f"{REGION}/addresses", {"name": "mine", "labels": {"axion-stack": "dev"}})
    address = get(cloud, f"{REGION}/addresses/mine")["address"]
    booted(cloud, networkInterfaces=card(natIP=address))
    done(cloud, "POST", f"{VM}/stop")
    assert public_address(cloud) == address
    done(cloud, "POST", f"{VM}/start")
    assert public_address(cloud) == address
    shown = get(cloud, f"{REGION}/addresses/mine")
    assert (shown["status"], [user.rpartition("/")[2] for user in shown["users"]]) == ("IN_USE", ["vm"])
    assert "is already being used by" in refusal(cloud.answer("DELETE", f"{REGION}/addresses/mine", {}))[2]
    again = refusal(post(cloud, f"{ZONE}/instances", instance("other", networkInterfaces=card(natIP=address))))
    words = f"External IP address: {address} is already in-use."
    assert again == (400, "IP_IN_USE_BY_ANOTHER_RESOURCE", words)
    listed = get(cloud, "/compute/v1/projects/axion-test/aggregated/addresses")["items"]
    assert [one["labels"] for one in listed["regions/us-central1"]["addresses"]] == [{"axion-stack": "dev"}]
    done(cloud, "DELETE", VM)
    assert get(cloud, f"{REGION}/addresses/mine")["status"] == "RESERVED"
    done(cloud, "DELETE", f"{REGION}/addresses/mine")


def test_an_address_of_somebody_else_or_of_another_region_is_refused(cloud: Cloud) -> None:
    network(cloud)
    elsewhere = "/compute/v1/projects/axion-test/regions/us-east1/addresses"
    done(cloud, "POST", elsewhere, {"name": "far"})
    for address in ("8.8.8.8", get(cloud, f"{elsewhere}/far")["address"]):
        words = f"The specified external IP address '{address}' was not found in region 'us-central1'."
        refused = refusal(post(cloud, f"{ZONE}/instances", instance(networkInterfaces=card(natIP=address))))
        assert refused[2].endswith(words)
    assert (
        "not an ephemeral address"
        in refusal(post(cloud, f"{REGION}/addresses", {"name": "x", "address": "8.8.8.8"}))[2]
    )


def test_an_address_that_an_instance_has_can_be_reserved_for_it(cloud: Cloud) -> None:
    booted(cloud, networkInterfaces=card())
    address = public_address(cloud)
    done(cloud, "POST", f"{REGION}/addresses", {"name": "kept", "address": address})
    done(cloud, "POST", f"{VM}/stop")
    done(cloud, "POST", f"{VM}/start")
    assert public_address(cloud) == address


def test_a_machine_is_not_kept_from_more_speed_than_it_has(cloud: Cloud) -> None:
    """Google makes and charges it, and the instance never reaches it: a warning of ours is all that there is."""
    network(cloud)
    done(cloud, "POST", f"{ZONE}/disks", disk(sizeGb="400", provisionedIops="160000", provisionedThroughput="2400"))
    body = instance()
    body["disks"].append({"source": "zones/us-central1-a/disks/data", "deviceName": "data"})
    assert "error" not in done(cloud, "POST", f"{ZONE}/instances", body)
    assert get(cloud, f"{ZONE}/disks/data")["type"].endswith(BALANCED)
