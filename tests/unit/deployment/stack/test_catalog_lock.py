"""What Google's recorded lists become: regions, machine types and prices, or a sentence where they are not whole."""

import copy
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from deployment.errors import ConfigError
from deployment.stack.catalog import Catalog, catalog_from, load_catalog
from deployment.stack.catalog_lock import by_hand, changes, lock_from, lock_text

DATA = Path(__file__).parents[3] / "support" / "data" / "google_lists"
MACHINE_TYPES: list[dict[str, Any]] = json.loads((DATA / "machine_types.json").read_text())
SKUS: list[dict[str, Any]] = json.loads((DATA / "skus.json").read_text())["skus"]
DAY = "2026-11-29"


def refreshed(machine_types: Any = MACHINE_TYPES, skus: Any = SKUS) -> Catalog:
    return catalog_from(by_hand(), tomllib.loads(lock_text(lock_from(machine_types, skus, DAY)[0])))


def without(description: str) -> list[dict[str, Any]]:
    kept = [sku for sku in SKUS if sku["description"] != description]
    assert len(kept) == len(SKUS) - 1
    return kept


def test_regions_and_machine_types_are_what_the_list_has() -> None:
    catalog = refreshed()
    c4a, n4a = (catalog.series[name].offered for name in ("c4a", "n4a"))
    assert c4a.regions == ("asia-east2", "europe-west4", "us-central1", "us-east1")
    assert c4a.regions_of == {"highmem-metal": ("us-central1",), "standard-lssd": ("us-central1", "us-east1")}
    assert n4a.regions == ("us-central1", "us-east1")
    assert str(c4a.dated) == DAY
    new, deprecated = catalog.shape("c4a-standard-36"), catalog.shape("c4a-standard-24")
    assert new is not None and deprecated is None
    assert (new.vcpus, new.memory_gib, new.local_ssd_disks, new.is_assumed) == (36, 144, 0, False)
    lssd = catalog.shape("c4a-standard-32-lssd")
    assert lssd is not None and lssd.local_ssd_disks == 6


@pytest.mark.parametrize(
    ("region", "series", "purchase", "price"),
    [  # by hand from the recorded SKUs
        ("us-central1", "c4a", "on_demand", (0.03086, 0.00351, 0.12 / 730)),
        ("us-east1", "c4a", "on_demand", (0.03086, 0.00351, 0.12 / 730)),
        ("us-central1", "c4a", "spot", (0.0142, 0.001578, None)),  # the later of two prices
        ("us-west1", "c4a", "commitment_1y", (0.02037, 0.00231, None)),
        ("us-west1", "c4a", "commitment_3y", (0.01389, 0.00158, None)),
        ("asia-east2", "c4a", "on_demand", (0.0432, 0.0049, None)),
        ("us-central1", "n4a", "on_demand", (0.02646, 0.00301, None)),  # not the custom one's
        ("us-central1", "n4a", "spot", (0.0106, 0.0012, None)),
        ("us-central1", "n4a", "commitment_3y", (0.011907, 0.001355, None)),  # kept by hand, not in the list
    ],
)
def test_prices_are_what_the_list_has(
    region: str, series: str, purchase: Any, price: tuple[float, float, float | None]
) -> None:
    found = refreshed().prices[region][series][purchase]
    assert (found.per_vcpu, found.per_gib) == pytest.approx(price[:2])
    assert found.per_local_ssd_gib == (None if price[2] is None else pytest.approx(price[2]))


def test_disks_keep_what_their_size_includes() -> None:
    iowa = refreshed().disk_prices["us-central1"]
    balanced, throughput = iowa["hyperdisk-balanced"], iowa["hyperdisk-throughput"]
    assert (balanced.per_gib, balanced.per_iops, balanced.per_throughput_mib_s) == (0.08, 0.005, 0.04)
    assert (balanced.free_iops, balanced.free_throughput_mib_s) == (3000, 140)
    assert (throughput.per_gib, throughput.per_iops, throughput.per_throughput_mib_s) == (0.005, None, 0.25)
    assert "hyperdisk-balanced-high-availability" not in iowa
    assert set(refreshed().prices.get("africa-south1", {})) == set()  # five years are no purchase of ours


def test_the_same_lists_in_another_order_give_the_same_file() -> None:
    first = lock_text(lock_from(MACHINE_TYPES, SKUS, DAY)[0])
    assert lock_text(lock_from(MACHINE_TYPES[::-1], SKUS[::-1], DAY)[0]) == first
    assert "sole" not in first.lower()


def test_what_changed_is_said_in_words() -> None:
    said = list(changes(catalog_from(by_hand(), {}), refreshed()))
    assert "c4a: new in asia-east2" in said
    assert any(line.startswith("c4a: gone from africa-south1, asia-east1,") for line in said)
    assert "c4a: new machine types c4a-standard-36" in said
    assert (
        "c4a spot in us-central1: 0.01387 and 0.001578 USD an hour for a vCPU and a GiB, now 0.0142 and 0.001578"
        in said
    )
    assert "c4a on demand: first price in asia-east2, europe-west4, us-east1, us-west1" in said
    assert "hyperdisk-balanced: first price in europe-west4" in said
    assert list(changes(refreshed(), refreshed())) == []


def test_two_prices_for_one_thing_are_left_out_and_told() -> None:
    double = copy.deepcopy(SKUS[0])
    double["pricingInfo"][0]["pricingExpression"]["tieredRates"][0]["unitPrice"]["nanos"] = 99_000_000
    lock, untold = lock_from(MACHINE_TYPES, [*SKUS, double], DAY)
    assert untold[0] == "us-central1/c4a/on_demand/per_vcpu has more than one price"
    assert "on_demand" not in lock.prices["us-central1"]["c4a"]
    assert lock_from(MACHINE_TYPES, [*SKUS, SKUS[0]], DAY)[1] == ()


def broken(path: tuple[Any, ...], value: Any) -> list[dict[str, Any]]:
    skus = copy.deepcopy(SKUS)
    place: Any = skus
    for part in path[:-1]:
        place = place[part]
    place[path[-1]] = value
    return skus


RATE = (0, "pricingInfo", 0, "pricingExpression")


@pytest.mark.parametrize(
    ("machine_types", "skus", "said"),
    [
        ([], SKUS, "machine types: half an answer: no c4a machine in any zone."),
        ([each for each in MACHINE_TYPES if each["name"][0] == "c"], SKUS, "no n4a machine in any zone."),
        ([*MACHINE_TYPES, {"zone": "us-central1-a"}], SKUS, "got an item without a name"),
        ([*MACHINE_TYPES, {"name": "c4a-standard-2", "zone": "us-central1-a"}], SKUS, "with guestCpus null"),
        ({"error": 1}, SKUS, 'machine types: not a list, got {"error": 1}.'),
        (MACHINE_TYPES, [], "price list: not a list of SKUs, got []."),
        (MACHINE_TYPES, without("C4A Arm Instance Ram running in Hong Kong"), "in asia-east2 without per_gib."),
        (
            MACHINE_TYPES, [sku for sku in SKUS if "N4A" not in sku["description"]],
            "price list: half an answer: no price of n4a in any region.",
        ),
        (MACHINE_TYPES, broken((0, "pricingInfo"), []), '"C4A Arm Instance Core running in Americas" without'),
        (MACHINE_TYPES, broken((*RATE, "usageUnit"), "fortnight"), "without a unit that is known (fortnight)."),
        (
            MACHINE_TYPES, broken((*RATE, "tieredRates", 0, "unitPrice", "currencyCode"), "EUR"),
            "without a price in USD.",
        ),
    ],
)  # fmt: skip
def test_half_an_answer_is_refused(machine_types: Any, skus: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        lock_from(machine_types, skus, DAY)
    assert any(said in problem for problem in caught.value.problems), caught.value.problems
    assert all(problem.endswith("Run it again; nothing was written.") for problem in caught.value.problems)


def test_no_lock_comes_along() -> None:
    """The catalog of the checkout is the one that is kept by hand, with its sources."""
    assert load_catalog() == catalog_from(by_hand(), {})
