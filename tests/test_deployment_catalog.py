"""The table of machines against Google's published shapes, and against itself."""

from datetime import date

import pytest

from deployment.catalog import load_catalog

CATALOG = load_catalog()


@pytest.mark.parametrize(
    ("machine_type", "vcpus", "memory_gib", "local_ssd_disks"),
    [
        ("c4a-standard-1", 1, 4, 0),
        ("c4a-standard-8", 8, 32, 0),
        ("c4a-standard-32", 32, 128, 0),
        ("c4a-highcpu-72", 72, 144, 0),
        ("c4a-highmem-72", 72, 576, 0),
        ("c4a-standard-32-lssd", 32, 128, 6),  # 2,250 GiB
        ("c4a-highmem-48-lssd", 48, 384, 10),  # 3,750 GiB
        ("c4a-standard-64-lssd", 64, 256, 14),  # 5,250 GiB
        ("c4a-standard-72-lssd", 72, 288, 16),  # 6,000 GiB
        ("n4a-highmem-64", 64, 512, 0),
    ],
)
def test_a_machine_type_is_what_google_publishes(
    machine_type: str, vcpus: int, memory_gib: int, local_ssd_disks: int
) -> None:
    shape = CATALOG.shape(machine_type)
    assert shape is not None
    assert (shape.vcpus, shape.memory_gib, shape.local_ssd_disks) == (vcpus, memory_gib, local_ssd_disks)


@pytest.mark.parametrize(
    "machine_type",
    [
        "c4a-standard-33", "c4a-standard-2-lssd", "c4a-highcpu-32-lssd", "c4a-custom-8-32768", "c4a-standard-96-metal",
        "n4a-standard-72", "n4a-standard-8-lssd", "n2-standard-8", "c4-standard-8", "c4a", "", "c4a-standard-032x",
    ],
)  # fmt: skip
def test_what_is_not_in_the_table_is_no_machine(machine_type: str) -> None:
    assert CATALOG.shape(machine_type) is None


def test_every_listed_machine_type_is_one() -> None:
    assert len(CATALOG.machine_types("c4a")) == 9 * 3 + 7 * 2
    assert len(CATALOG.machine_types("n4a")) == 8 * 3
    assert all(CATALOG.shape(each) for series in CATALOG.series for each in CATALOG.machine_types(series))


def test_the_operating_system_sees_a_little_less_memory() -> None:
    shape = CATALOG.shape("c4a-standard-32")
    assert shape is not None
    assert shape.visible_memory_bytes == 125 * 2**30
    assert shape.egress_gbps == 23


def test_axion_takes_hyperdisk_and_nothing_else() -> None:
    for series in CATALOG.series.values():
        assert all(each.startswith("hyperdisk-") for each in series.disk_types)
        assert set(series.disk_types) <= set(CATALOG.disk_types)
    assert "hyperdisk-ml" not in CATALOG.series["n4a"].disk_types
    assert CATALOG.disk_types["hyperdisk-extreme"].min_vcpus == 64


def test_every_fact_is_of_a_day_that_has_been() -> None:
    facts = [*CATALOG.series.values(), *CATALOG.disk_types.values(), CATALOG.images]
    facts += [price for region in CATALOG.prices.values() for series in region.values() for price in series.values()]
    facts += [price for region in CATALOG.disk_prices.values() for price in region.values()]
    assert all(date(2026, 1, 1) <= each.dated <= date.today() for each in facts)
    assert all(each.source for each in facts)


def test_the_image_that_hosts_start_from_is_for_arm() -> None:
    assert CATALOG.images.default.endswith("-arm64")
    assert CATALOG.images.default.split("/")[1] in CATALOG.images.public_projects
