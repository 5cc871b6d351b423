"""What the catalog does not know is refused with the setting that allows it, and allowed with a word."""

from pathlib import Path
from typing import Any

import pytest

from tests.unit.deployment.stack.test_guardrails import AT, checked, problems

TO_ALLOW = "If Google has it, set axion:allowUnknown: true; `fab catalog-refresh` asks Google"
LAST_WORD = "axion:allowUnknown lets it pass, and Google has the last word."
METAL = {"machineType": "c4a-highmem-96-metal"}
UNKNOWN = [
    (
        {"gcp__zone": "asia-east2-a"}, {},
        "axion:hosts.main.machineType: not known to be offered in asia-east2 by the lists of 2026-08-17, "
        "got c4a-standard-8.",
        ", or use one of asia-east1, asia-northeast1, asia-south1, asia-southeast1, asia-southeast2.",
    ),
    (
        {"gcp__zone": "me-central1-a"}, {"machineType": "n4a-standard-8"},
        "axion:hosts.main.machineType: not known to be offered in me-central1 by the lists of 2026-08-17, "
        "got n4a-standard-8.",
        ", or use one of asia-south1, asia-southeast1, europe-west1, europe-west2, europe-west3, europe-west4, "
        "us-central1, us-east1, us-east4, us-west1, us-west3.",
    ),
    (
        {"gcp__zone": "europe-west1-b"}, METAL,
        "axion:hosts.main.machineType: not known to be offered in europe-west1 by the lists of 2026-08-17, "
        "got c4a-highmem-96-metal.",
        ", or use one of europe-west3, europe-west4.",
    ),
    (
        {}, {"machineType": "n4a-custom-8-32768"},
        'axion:hosts.main.machineType: no such n4a machine in the lists of 2026-08-17, got "n4a-custom-8-32768", '
        "8 vCPUs and 32 GiB by its name.",
        ", or use one of n4a-standard-1, n4a-highcpu-1, ",
    ),
    (
        {}, {"machineType": "c4a-standard-36"},
        'axion:hosts.main.machineType: no such c4a machine in the lists of 2026-08-17, got "c4a-standard-36", '
        "36 vCPUs and 144 GiB by its name.",
        ", or use one of c4a-standard-1, c4a-highcpu-1, ",
    ),
    (
        {}, {"dataDiskType": "hyperdisk-ultra"},
        "axion:hosts.main.dataDiskType: not a disk type of the catalog, got hyperdisk-ultra.",
        ".",
    ),
    (
        {}, METAL,
        "axion:allowUnknown: the catalog has no price in us-central1, got main: c4a-highmem-96-metal on demand.",
        ".",
    ),
]  # fmt: skip


def without_prices(found: list[str]) -> list[str]:
    """Of a region that is unknown the prices are, too; they have cases of their own."""
    return [line for line in found if "no price" not in line]


def stripped(line: str) -> str:
    place, _, rest = line.partition(" config.")
    assert place.startswith(AT)
    return rest


@pytest.mark.parametrize(("config", "host", "what", "instead"), UNKNOWN)
def test_what_nobody_read_about_is_refused_with_the_setting_that_allows_it(
    tmp_path: Path, config: dict[str, Any], host: dict[str, Any], what: str, instead: str
) -> None:
    found = [stripped(line) for line in problems(tmp_path, host=host, axion__maxHourlyUsd=100, **config)]
    assert any(line.startswith(f"{what} {TO_ALLOW}{instead}") for line in found), found
    assert len(without_prices(found)) <= 1


@pytest.mark.parametrize("setting", ["allowUnknown", "allowUnknownPrices"])
@pytest.mark.parametrize(("config", "host", "what", "instead"), UNKNOWN)
def test_what_nobody_read_about_is_allowed_with_a_word(
    tmp_path: Path, setting: str, config: dict[str, Any], host: dict[str, Any], what: str, instead: str
) -> None:
    allowed = checked(tmp_path, host=host, axion__maxHourlyUsd=100, **{f"axion__{setting}": True, **config})
    assert f"{what} {LAST_WORD}" in [stripped(line) for line in allowed.notices]


@pytest.mark.parametrize("region", ["asia-northeast1", "us-east5", "europe-north1", "us-central1"])
def test_the_regions_of_googles_lists_need_no_leave_but_for_their_prices(tmp_path: Path, region: str) -> None:
    allowed = checked(tmp_path, gcp__zone=f"{region}-a", axion__allowUnknown=True)
    assert [line for line in allowed.notices if "offered" in line] == []


def test_hosts_in_zones_of_one_region_are_held_against_that_region(tmp_path: Path) -> None:
    hosts = {"alpha": METAL, "beta": {"machineType": "n4a-standard-8", "zone": "us-central1-f"}}
    config: dict[str, Any] = {"axion__hosts": hosts, "axion__maxHourlyUsd": 100}
    allowed = checked(tmp_path, axion__allowUnknown=True, **config)
    assert [stripped(line).partition(",")[0] for line in allowed.notices] == [
        "axion:allowUnknown: the catalog has no price in us-central1"
    ]
    both = {**config, "gcp__zone": "asia-east2-a"}
    both["axion__hosts"] = {name: {"machineType": host["machineType"]} for name, host in hosts.items()}
    found = [stripped(line).partition(" by")[0] for line in problems(tmp_path, **both)]
    assert [line for line in found if "offered" in line] == [
        f"axion:hosts.{name}.machineType: not known to be offered in asia-east2" for name in ("alpha", "beta")
    ]


def test_a_host_in_another_region_is_refused_whatever_is_allowed(tmp_path: Path) -> None:
    """The subnet is of one region; that the other region is unknown says nothing more."""
    (found,) = problems(tmp_path, host={"zone": "asia-east2-a"}, axion__allowUnknown=True)
    assert "zone: outside us-central1, where the subnet is, got asia-east2-a" in found


@pytest.mark.parametrize("zone", ["somewhere", "", "US"])
def test_without_a_readable_place_nothing_is_said_of_regions_or_prices(tmp_path: Path, zone: str) -> None:
    found = problems(tmp_path, host={"machineType": "n4a-standard-8", "spot": True}, gcp__zone=zone)
    assert [line for line in found if "price" in line or "offered" in line] == []


def test_a_disk_of_an_unknown_type_is_an_unknown_part_of_the_price(tmp_path: Path) -> None:
    host = {"dataDiskType": "hyperdisk-ultra"}
    assert checked(tmp_path, host=host, axion__allowUnknown=True).bill.unknown == (
        "main: data disk 200 GiB hyperdisk-ultra",
    )


def test_the_models_are_held_against_a_machine_that_only_its_name_tells(tmp_path: Path) -> None:
    found = problems(tmp_path, host={"machineType": "n4a-custom-1-1024"}, axion__allowUnknown=True)
    assert any("n4a-custom-1-1024 has 1 cores" in line or "memory" in line for line in found)


@pytest.mark.parametrize(
    ("host", "said"),
    [
        (
            {"dataDiskGib": 400, "dataDiskIops": 160_000},
            "c4a-standard-8 reaches 50000 IOPS with its hyperdisk-balanced disks together, got 163000. "
            "The rest would be paid for and not used: ask for less, or take a larger machine.",
        ),
        (
            {"dataDiskIops": 4000, "dataDiskThroughput": 1000},
            "c4a-standard-8 reaches 1000 MiB/s with its hyperdisk-balanced disks together, got 1140. "
            "The rest would be paid for and not used: ask for less, or take a larger machine.",
        ),
        (
            {"machineType": "n4a-standard-16", "dataDiskType": "hyperdisk-ml", "dataDiskThroughput": 2000},
            "n4a-standard-16 reaches 1200 MiB/s with its hyperdisk-ml disks together, got 2000. "
            "The rest would be paid for and not used: ask for less, or take a larger machine.",
        ),
    ],
)
def test_what_a_machine_cannot_reach_is_made_with_a_warning(tmp_path: Path, host: dict[str, Any], said: str) -> None:
    found = checked(tmp_path, host=host, axion__maxHourlyUsd=100, axion__allowUnknown=True).notices
    assert [line.partition("axion:hosts.main: ")[2] for line in found if "reaches" in line] == [said]


def test_a_stack_of_known_things_within_its_machines_has_no_word(tmp_path: Path) -> None:
    assert checked(tmp_path, host={"dataDiskIops": 40_000, "dataDiskThroughput": 800}).notices == ()


def labels(count: int) -> dict[str, str]:
    return {f"key{index}": "value" for index in range(count)}


def test_google_takes_64_labels_with_ours_and_its_providers(tmp_path: Path) -> None:
    """Ours are three; Google's provider adds goog-pulumi-provisioned."""
    assert checked(tmp_path, axion__labels=labels(60)).notices == ()
    (found,) = problems(tmp_path, axion__labels=labels(61))
    assert "axion:labels: too many for one resource, got 65 with ours and Google's, of at most 64. Keep 60." in found
    overlapping = {**labels(59), "managed-by": "hand", "goog-pulumi-provisioned": "true"}
    assert len(checked(tmp_path, axion__labels=overlapping).notices) == 1


@pytest.mark.parametrize(
    ("key", "said"),
    [
        (
            "goog-team",
            "axion:labels.goog-team: keys that begin with goog are kept for Google's own, got one. "
            "It may be refused; rename it.",
        ),
        (
            "managed-by",
            "axion:labels.managed-by: ours wins over it, got a label that the census looks for. Delete it.",
        ),
    ],
)
def test_a_label_that_will_not_mean_what_it_says_gets_a_word(tmp_path: Path, key: str, said: str) -> None:
    (notice,) = checked(tmp_path, axion__labels={key: "x"}).notices
    assert notice.partition(" config.")[2] == said


@pytest.mark.parametrize("label", [{"Team": "x"}, {"team": "X"}, {"1st": "x"}, {"team": "a.b"}, {"k" * 64: "x"}])
def test_a_label_that_google_does_not_take_is_refused(tmp_path: Path, label: dict[str, str]) -> None:
    (found,) = problems(tmp_path, axion__labels=label)
    assert "axion:labels" in found
