"""`fab move` and `fab up` with the real CLI and gcloud: data that changes its zone, and zones without a machine."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from build.cloud.up import tries
from deployment.stack.settings import HostSettings
from tests.support.fakes.cloud.server import Cloud
from tests.support.gcloud_on_cloud import need_gcloud
from tests.support.marked_stack import DISK, MARKER, VM, Life
from tests.support.pulumi_stack import PulumiStack

ZONE = "projects/axion-test/zones"
A, B, C = "us-central1-a", "us-central1-b", "us-central1-c"
WITHOUT_AXION = "us-central1-f"
DELETED = "gcloud compute disks delete axion-dev-data-main --zone=us-central1-a --project=axion-test"


@pytest.fixture
def life(tmp_path: Path, pulumi_cli: Path, cloud: Cloud) -> Life:
    """A stack that is up, whose host has written on its data disk."""
    need_gcloud()
    return new_life(tmp_path / "x", pulumi_cli, cloud)


def new_life(base: Path, cli: Path, cloud: Cloud) -> Life:
    stack = PulumiStack.of_checkout(base, cli, cloud, name="dev")
    return Life(stack=stack)


def marked(life: Life) -> list[str]:
    """Zones in which a disk of the host's holds the marker."""
    held = life.cloud.state.contents
    disks = life.cloud.state.under("projects/axion-test", "disks")
    return [path.split("/")[3] for path, disk in disks if held.get(disk["id"]) == MARKER]


def zone_in_file(life: Life) -> str | None:
    host = yaml.safe_load(life.stack.settings_file.read_text())["config"]["axion:hosts"]["main"]
    zone: str | None = host.get("zone")
    return zone


def test_data_goes_to_another_zone_and_back_and_nothing_old_goes_by_itself(life: Life) -> None:
    life.stack.up()
    life.check()
    assert life.fab("move", "--stack", "dev", "--zone", B) == 0
    assert life.said.splitlines() == [
        "stop axion-dev-main: requests in flight end first",
        "detach axion-dev-data-main from it: who starts that machine again then writes nothing on the old disk",
        "make a snapshot of axion-dev-data-main in us-central1-a",
        "make axion-dev-data-main in us-central1-b from it, and hold the two against each other",
        "point Pulumi's state at axion-dev-data-main in us-central1-b; the one in us-central1-a stays as it is",
        "set the zone of main to us-central1-b in the stack's file",
        "Nothing was changed. Add --yes to do this.",
    ]
    assert marked(life) == [A]
    # By its full name, as every task.
    assert life.fab("move", "--stack", "organization/axion/dev", "--zone", B, "--yes") == 0, life.said
    assert DELETED in life.said
    # Who starts the old machine now writes nothing on the old disk.
    old = life.cloud.state.resources[f"{ZONE}/{A}/instances/{VM}"]
    assert [disk["deviceName"] for disk in old["disks"]] == ["axion-boot"]
    assert (marked(life), zone_in_file(life)) == ([A, B], B)
    plan = life.stack.plan()
    assert {name: op for name, op in plan.items() if name == "models-data-main"} == {}
    life.stack.up()
    assert life.cloud.state.resources[f"{ZONE}/{B}/instances/{VM}"]["status"] == "RUNNING"
    assert f"{ZONE}/{A}/instances/{VM}" not in life.cloud.state.resources
    assert life.stack.plan() == {}
    life.check()

    assert life.fab("move", "--stack", "dev", "--zone", A, "--yes") == 1
    assert f"one of that name is in {A} already and does not hold the same" in life.said
    del life.cloud.state.resources[f"{ZONE}/{A}/disks/{DISK}"]
    assert life.fab("move", "--stack", "dev", "--zone", A, "--yes") == 0, life.said
    life.stack.up()
    life.check()
    assert (marked(life), life.stack.plan()) == ([A, B], {})


def test_the_next_zone_is_tried_while_nothing_is_on_the_data_disk_and_no_other_afterwards(life: Life) -> None:
    stock = life.cloud.state.settings
    stock.stockout_zones = {A}
    with_host(life, zones=[A, WITHOUT_AXION, C])
    assert life.fab("up", "--stack", "dev", "--yes") == 0, life.said
    assert [line for line in life.said.splitlines() if line.startswith("main: ")] == [
        "main: trying us-central1-f spot",
        "main: axion-dev-data-main in us-central1-a was never used; it goes, and comes again in us-central1-f",
        "main: trying us-central1-c spot",
        "main: axion-dev-data-main in us-central1-f was never used; it goes, and comes again in us-central1-c",
    ]
    disks = [path for path, _ in life.cloud.state.under("projects/axion-test", "disks") if path.endswith(DISK)]
    assert disks == [f"{ZONE}/{C}/disks/{DISK}"]
    assert life.cloud.state.resources[f"{ZONE}/{C}/instances/{VM}"]["status"] == "RUNNING"
    assert (zone_in_file(life), life.stack.plan()) == (C, {})
    life.check()
    # Now there is data. A new boot disk means a new machine, and there is none.
    stock.stockout_zones = {C}
    with_host(life, bootDiskGib=20)
    assert life.fab("up", "--stack", "dev", "--yes") == 1
    assert "main: trying" not in life.said
    with_host(life, zone=A)
    assert life.fab("up", "--stack", "dev", "--yes") == 1
    assert (
        "axion-dev-data-main: holds data in us-central1-c, got us-central1-a as the zone of main. Run `fab move "
        "--stack dev --host main --zone us-central1-a`, or set the zone back to us-central1-c."
    ) in life.said
    assert marked(life) == [C]


def with_host(life: Life, **settings: Any) -> None:
    """Change what the stack's file says of its host."""
    host = yaml.safe_load(life.stack.settings_file.read_text())["config"]["axion:hosts"]["main"]
    life.stack.config("hosts", {"main": {**host, **settings}})


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"spot": True}, ["a spot"]),
        ({"zones": ["a", "b", "f"]}, ["a on demand", "b on demand", "f on demand"]),
        ({"spot": True, "zones": ["b", "a"], "on_demand_fallback": True}, [
            "a spot", "b spot", "a on demand", "b on demand",
        ]),
    ],
)  # fmt: skip
def test_zones_are_tried_in_order_and_spot_is_given_up_last(settings: dict[str, Any], expected: list[str]) -> None:
    host = HostSettings.model_validate({"machineType": "c4a-standard-8"}).model_copy(update=settings)
    assert [each.sentence().removeprefix("main: trying ") for each in tries("main", host, "a")] == expected


def test_a_renamed_host_is_no_dead_end_and_its_data_goes_by_name_alone(life: Life) -> None:
    life.stack.up()
    life.check()
    host = yaml.safe_load(life.stack.settings_file.read_text())["config"]["axion:hosts"]["main"]
    life.stack.config("hosts", {"other": host})
    assert life.stack.up(check=False).status != 0
    assert life.fab("up", "--stack", "dev", "--yes") == 1
    assert (
        "axion-dev-data-main: holds data of main, a host that is no longer in the stack's file. Put it back, or "
        "let the disk go: name it in axion:deleteData, and run `fab up --stack dev --yes`."
    ) in life.said
    # Back again. The other name's machine ran meanwhile, so that something may be on its disk: it goes by its name.
    life.stack.config("hosts", {"main": host})
    assert life.fab("up", "--stack", "dev", "--yes") == 1
    assert "axion-dev-data-other: holds data of other, a host that is no longer in the stack's file." in life.said
    life.stack.config("deleteData", ["axion-dev-data-other"])
    assert life.fab("up", "--stack", "dev", "--yes") == 0, life.said
    disks = [path.rpartition("/")[2] for path, _ in life.cloud.state.under("projects/axion-test", "disks")]
    assert (sorted(disks), marked(life)) == (["axion-dev-boot-main", "axion-dev-data-main"], [A])
    assert life.stack.plan() == {}
    life.check()
