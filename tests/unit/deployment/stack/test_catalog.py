"""The table of machines against Google's published shapes, and against itself."""

from datetime import date

import pytest

from deployment.stack.catalog import load_catalog

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
        ("c4a-standard-96-metal", 96, 384, 0),
        ("c4a-highmem-96-metal", 96, 768, 0),
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
        "c4a-standard-33", "c4a-standard-2-lssd", "c4a-highcpu-32-lssd", "c4a-custom-8-32768", "c4a-highcpu-96-metal",
        "c4a-standard-48-metal", "c4a-standard-96", "n4a-standard-64-metal", "n4a-custom-8-32768",
        "n4a-standard-72", "n4a-standard-8-lssd", "n2-standard-8", "c4-standard-8", "c4a", "", "c4a-standard-032x",
    ],
)  # fmt: skip
def test_what_is_not_in_the_table_is_no_machine(machine_type: str) -> None:
    assert CATALOG.shape(machine_type) is None


def test_every_listed_machine_type_is_one() -> None:
    assert len(CATALOG.machine_types("c4a")) == 9 * 3 + 7 * 2 + 2
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
    assert "hyperdisk-extreme" not in CATALOG.series["n4a"].disk_types
    assert CATALOG.disk_types["hyperdisk-extreme"].min_vcpus == 64


def test_every_fact_is_of_a_day_that_has_been() -> None:
    facts = [*CATALOG.series.values(), *CATALOG.disk_types.values(), CATALOG.images]
    facts += [each.offered for each in CATALOG.series.values()]
    facts += [each.disk_caps for each in CATALOG.series.values()]
    facts += [price for region in CATALOG.prices.values() for series in region.values() for price in series.values()]
    facts += [price for region in CATALOG.disk_prices.values() for price in region.values()]
    assert all(date(2026, 1, 1) <= each.dated <= date.today() for each in facts)
    assert all(each.source for each in facts)


def test_the_image_that_hosts_start_from_is_for_arm() -> None:
    assert CATALOG.images.default.endswith("-arm64")
    assert CATALOG.images.default.split("/")[1] in CATALOG.images.public_projects


@pytest.mark.parametrize(
    ("machine_type", "vcpus", "memory_gib"),
    [
        ("n4a-custom-8-32768", 8, 32),
        ("n4a-custom-1-512", 1, 0.5),
        ("n4a-custom-64-524288", 64, 512),
        ("n4a-custom-4-40960-ext", 4, 40),
        ("c4a-standard-36", 36, 144),  # in Google's own autoscaler, in no list
    ],
)
def test_a_name_says_what_no_list_has(machine_type: str, vcpus: int, memory_gib: float) -> None:
    shape = CATALOG.shape(machine_type, assume=True)
    assert shape is not None
    assert (shape.vcpus, shape.memory_gib, shape.is_assumed) == (vcpus, memory_gib, True)
    assert CATALOG.shape(machine_type) is None


@pytest.mark.parametrize(
    "machine_type",
    [
        "n4a-custom-8-32769",  # not a multiple of 256 MiB
        "n4a-custom-65-65536",  # beyond 64 vCPUs
        "n4a-custom-64-524544-ext",  # beyond 512 GiB
        "n4a-custom-4-40960",  # beyond 8 GiB a vCPU without -ext
        "n4a-custom-4-16384-ext",  # -ext without need
        "n4a-custom-8", "n4a-custom-8-0", "c4a-custom-8-32768", "c4a-standard-0", "c4a-standard-36-lssd",
        "c4a-megamem-36",
    ],
)  # fmt: skip
def test_what_no_name_can_say_is_not_assumed(machine_type: str) -> None:
    assert CATALOG.shape(machine_type, assume=True) is None


def test_bare_metal_has_another_card_and_ends_for_maintenance() -> None:
    """Google's page of C4A: IDPF for bare metal, gVNIC for the others; bare metal terminates."""
    metal, virtual = CATALOG.shape("c4a-highmem-96-metal"), CATALOG.shape("c4a-highmem-72")
    assert metal is not None and virtual is not None
    assert (metal.is_metal, metal.nic_type, metal.live_migrates) == (True, "IDPF", False)
    assert (virtual.is_metal, virtual.nic_type, virtual.live_migrates) == (False, "GVNIC", True)


@pytest.mark.parametrize(
    ("machine_type", "count", "there", "not_there"),
    [  # Google's lists of 2026-08-17
        ("c4a-standard-8", 34, "asia-northeast1", "asia-east2"),
        ("c4a-standard-8-lssd", 32, "us-east5", "us-west3"),
        ("c4a-highmem-96-metal", 7, "us-west4", "europe-west1"),
        ("n4a-highcpu-4", 11, "asia-south1", "europe-north1"),
    ],
)
def test_a_series_and_its_features_stand_where_googles_lists_have_them(
    machine_type: str, count: int, there: str, not_there: str
) -> None:
    shape = CATALOG.shape(machine_type)
    assert shape is not None
    regions = CATALOG.series[shape.series].offered.regions_with(shape)
    assert (len(regions), there in regions, not_there in regions) == (count, True, False)
