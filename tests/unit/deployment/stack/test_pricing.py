"""Prices against Google's published ones, by hand, and what becomes of an unknown one."""

import pytest

from deployment.stack.catalog import Purchase, load_catalog
from deployment.stack.pricing import DiskUse, HostUse, bill, disk_monthly_usd, machine_hourly_usd

CATALOG = load_catalog()
REGION = "us-central1"


def hourly(machine_type: str, purchase: Purchase = "on_demand", region: str = REGION) -> float | None:
    shape = CATALOG.shape(machine_type, assume=True)
    assert shape is not None
    return machine_hourly_usd(shape, region, purchase, CATALOG)


@pytest.mark.parametrize(
    ("machine_type", "purchase", "usd"),
    [  # as Google's price page lists them
        ("c4a-standard-16", "on_demand", 0.7184),
        ("c4a-standard-32", "on_demand", 1.4368),
        ("c4a-standard-48", "on_demand", 2.1552),
        ("c4a-standard-64", "on_demand", 2.8736),
        ("c4a-standard-72", "on_demand", 3.2328),
        ("c4a-highcpu-32", "on_demand", 1.21216),
        ("c4a-highmem-32", "on_demand", 1.88608),
        ("c4a-standard-32-lssd", "on_demand", 1.80666),
        ("c4a-standard-32", "commitment_1y", 0.94752),
        ("c4a-standard-32", "commitment_3y", 0.64672),
        ("n4a-standard-32", "on_demand", 1.232),
        ("n4a-standard-64", "on_demand", 2.464),
        ("c4a-highmem-32", "commitment_1y", 1.2432),
        ("c4a-highcpu-32", "commitment_3y", 0.5456),
        ("n4a-highcpu-32", "on_demand", 1.03936),
        ("n4a-highmem-64", "on_demand", 3.23456),
        ("n4a-standard-32", "commitment_1y", 0.813184),
        ("n4a-standard-32", "commitment_3y", 0.554464),
    ],
)
def test_a_machine_costs_what_google_publishes(machine_type: str, purchase: Purchase, usd: float) -> None:
    assert hourly(machine_type, purchase) == pytest.approx(usd, abs=5e-6)


def test_a_custom_machine_costs_the_components_of_its_own_that_google_publishes() -> None:
    """Google's two prices are 5 percent above the others', rounded to a millionth."""
    assert hourly("n4a-custom-8-32768") == pytest.approx(8 * 0.027783 + 32 * 0.003161, abs=2e-5)


def test_a_spot_machine_costs_its_vcpus_and_memory() -> None:
    assert hourly("c4a-standard-32", "spot") == pytest.approx(32 * 0.01387 + 128 * 0.001578)


@pytest.mark.parametrize(
    ("machine_type", "purchase", "region"),
    [
        ("c4a-standard-32", "on_demand", "europe-west4"),
        ("c4a-standard-32-lssd", "spot", REGION),  # local SSD on spot
        ("c4a-highmem-96-metal", "on_demand", REGION),  # whether bare metal costs its components nobody read
        ("n4a-custom-4-40960-ext", "on_demand", REGION),  # extended memory has a price of its own
        ("n4a-standard-32", "spot", REGION),
    ],
)
def test_what_nobody_looked_up_is_unknown_and_not_nothing(machine_type: str, purchase: Purchase, region: str) -> None:
    assert hourly(machine_type, purchase, region) is None


@pytest.mark.parametrize(
    ("disk", "usd"),
    [
        (DiskUse(type="hyperdisk-balanced", size_gib=200), 16.0),
        (DiskUse(type="hyperdisk-balanced", size_gib=200, iops=3000, throughput_mib_s=140), 16.0),
        (DiskUse(type="hyperdisk-balanced", size_gib=100, iops=5000, throughput_mib_s=240), 8.0 + 10.0 + 4.0),
        (DiskUse(type="hyperdisk-extreme", size_gib=100), None),
    ],
)
def test_a_disk_costs_its_size_and_the_performance_beyond_what_is_included(disk: DiskUse, usd: float | None) -> None:
    assert disk_monthly_usd(disk, REGION, CATALOG) == (None if usd is None else pytest.approx(usd))
    assert disk_monthly_usd(disk, "europe-west4", CATALOG) is None


def host(machine_type: str = "c4a-standard-32", purchase: Purchase = "on_demand") -> HostUse:
    shape = CATALOG.shape(machine_type)
    assert shape is not None
    disks = {"data": DiskUse(type="hyperdisk-balanced", size_gib=200)}
    return HostUse(name="main", shape=shape, region=REGION, purchase=purchase, disks=disks)


def test_a_month_has_730_hours_and_a_stopped_machine_still_pays_for_its_disk() -> None:
    total = bill([host()], CATALOG)
    assert total.monthly_usd == pytest.approx(1.4368 * 730 + 16)
    assert total.hourly_usd == pytest.approx(1.4368 + 16 / 730)
    assert total.stopped_monthly_usd == pytest.approx(16)
    assert total.unknown == ()


def test_a_sum_with_an_unknown_term_is_unknown_and_says_which() -> None:
    total = bill([host(), host("n4a-standard-32", "spot")], CATALOG)
    assert (total.hourly_usd, total.monthly_usd) == (None, None)
    assert total.unknown == ("main: n4a-standard-32 spot",)
    assert total.known_hourly_usd == pytest.approx(1.4368 + 2 * 16 / 730)
