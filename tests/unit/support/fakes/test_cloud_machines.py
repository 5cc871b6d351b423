"""The small cloud with machines behind it: when it switches them, and that it waits for what really happened."""

from collections.abc import Callable
from typing import Any

import pytest

from tests.support.cloud_calls import COMPUTE, ZONE, booted, disk, done, get, post
from tests.support.fakes.cloud.server import Cloud

VM = "projects/axion-test/zones/us-central1-a/instances/vm"


class Recorded:
    """Machines that only write down what they were told, and end when the test says so."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []
        self.is_off = True

    def power_on(self, path: str, instance: dict[str, Any]) -> None:
        self.told.append(("on", path))
        self.is_off = False

    def power_off(self, path: str) -> Callable[[], bool]:
        self.told.append(("off", path))
        return lambda: self.is_off

    def reset(self, path: str) -> None:
        self.told.append(("reset", path))

    def copied(self, source: str, target: str) -> None:
        self.told.append((f"copied to {target.rpartition('/')[2]}", source))

    def removed(self, path: str) -> None:
        self.told.append(("removed", path))


@pytest.fixture
def machines(cloud: Cloud) -> Recorded:
    recorded = Recorded()
    cloud.state.machines = recorded
    booted(cloud, metadata={"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]})
    return recorded


def test_an_instance_that_runs_is_a_machine_and_publishes_only_what_that_says(cloud: Cloud, machines: Recorded) -> None:
    assert machines.told == [("on", VM)]
    assert cloud.state.guest_attributes == {}


def test_a_stop_ends_when_the_machine_is_off(cloud: Cloud, machines: Recorded) -> None:
    status, operation = post(cloud, f"{ZONE}/instances/vm/stop")
    assert status == 200
    where = f"{ZONE}/operations/{operation['name']}"
    assert (get(cloud, where)["status"], get(cloud, f"{ZONE}/instances/vm")["status"]) == ("RUNNING", "STOPPING")
    machines.is_off = True
    assert (get(cloud, where)["status"], get(cloud, f"{ZONE}/instances/vm")["status"]) == ("DONE", "TERMINATED")
    assert machines.told == [("on", VM), ("off", VM)]


def test_a_started_instance_is_switched_on_again(cloud: Cloud, machines: Recorded) -> None:
    machines.is_off = True
    done(cloud, "POST", f"{ZONE}/instances/vm/stop")
    done(cloud, "POST", f"{ZONE}/instances/vm/start")
    done(cloud, "POST", f"{ZONE}/instances/vm/reset")
    assert machines.told == [("on", VM), ("off", VM), ("on", VM), ("reset", VM)]


def test_an_instance_is_gone_once_its_machine_is_and_its_disks_go_as_they_should(
    cloud: Cloud, machines: Recorded
) -> None:
    cloud.answer("DELETE", f"{ZONE}/instances/vm", {})
    assert get(cloud, f"{ZONE}/instances/vm")["name"] == "vm"
    machines.is_off = True
    assert cloud.answer("GET", f"{ZONE}/instances/vm", {})[0] == 404
    zone = VM.rpartition("/instances/")[0]
    assert machines.told[1:] == [("off", VM), ("removed", f"{zone}/disks/vm"), ("removed", VM)]
    done(cloud, "DELETE", f"{ZONE}/disks/data")
    assert machines.told[-1] == ("removed", f"{zone}/disks/data")


def test_what_is_on_a_disk_goes_into_a_snapshot_and_from_there_onto_a_new_disk(
    cloud: Cloud, machines: Recorded
) -> None:
    data = f"{VM.rpartition('/instances/')[0]}/disks/data"
    done(cloud, "POST", f"{COMPUTE}/global/snapshots", {"name": "snap", "sourceDisk": data})
    done(cloud, "POST", f"{ZONE}/disks", disk("copy", sourceSnapshot="global/snapshots/snap"))
    assert machines.told[1:] == [
        ("copied to snap", data),
        ("copied to copy", "projects/axion-test/global/snapshots/snap"),
    ]
