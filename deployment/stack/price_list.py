"""What the Cloud Billing Catalog says that Axion machines and Hyperdisks cost: SKUs into the lock's prices.

Shape of a SKU: cloudbilling.v1's Sku (description, category.usageType, serviceRegions, pricingInfo). Google gives its
SKUs no key of the machine or the disk: descriptions tell them apart, as public price calculators read them, too.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployment.errors import ConfigError
from deployment.problems import shown
from deployment.stack.catalog import DiskPrice, MachinePrice, Purchase
from deployment.stack.pricing import HOURS_PER_MONTH

WHERE = "price list"
AGAIN = "Run it again; nothing was written"
CURRENCY = "USD"
PARTS = {"core": "per_vcpu", "cpu": "per_vcpu", "ram": "per_gib", "local ssd": "per_local_ssd_gib"}
USAGE: Mapping[str, Purchase] = {
    "OnDemand": "on_demand",
    "Preemptible": "spot",
    "Commit1Yr": "commitment_1y",
    "Commit3Yr": "commitment_3y",
}
MACHINE = re.compile(
    r"(?:(?:Spot Preemptible )?(?P<series>[A-Z]\d[A-Z])(?: Arm)? Instance (?P<part>Core|Ram|Local SSD) running in .+"
    r"|Commitment v1: (?P<committed>[A-Z]\d[A-Z])(?: Arm)? (?P<share>Cpu|Core|Ram|Local SSD) in .+ for [13] Years?)",
)
DISK = re.compile(
    # Hyperdisk Throughput's own is called "Hyperdisk Throughput Throughput Capacity".
    r"Hyperdisk (?P<type>Balanced|Extreme|ML|Throughput) (?P<part>Capacity|IOPS|Throughput)(?: Capacity)?(?: in .+)?"
)
DISK_PARTS = {"Capacity": "per_gib", "IOPS": "per_iops", "Throughput": "per_throughput_mib_s"}
# What a price is for, and how many hours that is.
HOURS = {"h": 1, "GiBy.h": 1, "GiBy.mo": HOURS_PER_MONTH}

Key = tuple[str, str, Purchase | None, str]
"""Region, series or disk type, for a machine how it is bought, and part."""
MachinePrices = Mapping[str, Mapping[str, Mapping[Purchase, MachinePrice]]]
DiskPrices = Mapping[str, Mapping[str, DiskPrice]]


@dataclass(frozen=True, slots=True)
class Prices:
    """The lock's tables, and what could not be told."""

    machines: MachinePrices
    disks: DiskPrices
    untold: tuple[str, ...]


def prices_from(skus: Any, series: Sequence[str], included: Mapping[str, Mapping[str, int]], dated: str) -> Prices:
    """Read all SKUs. `included` is what a disk's size pays for. Raises ConfigError where an answer is not whole."""
    if not isinstance(skus, list) or not skus:
        raise ConfigError([f"{WHERE}: not a list of SKUs, got {shown(skus)}. {AGAIN}."])
    found: dict[Key, set[float]] = {}
    problems: list[str] = []
    for sku in skus:
        try:
            for key, price in _priced(sku, series):
                found.setdefault(key, set()).add(price)
        except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
            problems.append(f"{WHERE}: half an answer, got {shown(_name(sku))} without {error}. {AGAIN}.")
    told = {key: amounts.pop() for key, amounts in found.items() if len(amounts) == 1 and min(amounts) > 0}
    untold = sorted({tuple(filter(None, key)) for key in set(found) - set(told)})
    machines, halves = _machines(told, series, set(found) - set(told), dated)
    problems += halves
    if problems:
        raise ConfigError(problems)
    said = tuple(f"{'/'.join(key)} has more than one price" for key in untold)
    return Prices(machines, _disks(told, included, dated), said)


def _name(sku: Any) -> str:
    return str(sku.get("description", sku)) if isinstance(sku, dict) else str(sku)


def _priced(sku: Any, series: Sequence[str]) -> Iterator[tuple[Key, float]]:
    """What one SKU adds. SKUs of other things, and of other commitments, add nothing."""
    description = sku["description"]
    machine, disk = MACHINE.fullmatch(description), DISK.fullmatch(description)
    purchase = USAGE.get(sku["category"]["usageType"])
    if machine and purchase:
        name = (machine["series"] or machine["committed"]).lower()
        if name in series:
            part = PARTS[(machine["part"] or machine["share"]).lower()]
            for region in sku["serviceRegions"]:
                yield (region, name, purchase, part), _amount(sku, HOURS)
    elif disk and purchase == "on_demand":
        for region in sku["serviceRegions"]:
            yield (region, f"hyperdisk-{disk['type'].lower()}", None, DISK_PARTS[disk["part"]]), _amount(sku, None)


def _amount(sku: Any, hours: Mapping[str, int] | None) -> float:
    """USD an hour, or, without `hours`, a month. Of tiers the last: the first may be free."""
    pricing = sku["pricingInfo"][-1]["pricingExpression"]
    money = max(pricing["tieredRates"], key=lambda rate: float(rate.get("startUsageAmount", 0)))["unitPrice"]
    if money["currencyCode"] != CURRENCY:
        raise ValueError(f"a price in {CURRENCY}")
    amount, unit = int(money.get("units", 0)) + int(money.get("nanos", 0)) / 1e9, str(pricing["usageUnit"])
    if hours is not None:
        if unit not in HOURS:
            raise ValueError(f"a unit that is known ({unit})")
        return round(amount / hours[unit], 12)
    if not unit.endswith("mo"):
        raise ValueError(f"a monthly unit ({unit})")
    return amount


def _machines(
    told: Mapping[Key, float], series: Sequence[str], untold: Collection[Key], dated: str
) -> tuple[MachinePrices, list[str]]:
    """A machine is its processors and its memory. Without both there is no price, and something went wrong."""
    parts: dict[tuple[str, str, Purchase], dict[str, float]] = {}
    for (region, name, purchase, part), price in told.items():
        if purchase is not None:
            parts.setdefault((region, name, purchase), {})[part] = price
    missing = sorted(set(series) - {name for _, name, _ in parts})
    problems = [f"{WHERE}: half an answer: no price of {name} in any region. {AGAIN}." for name in missing]
    tables: dict[str, dict[str, dict[Purchase, MachinePrice]]] = {}
    for (region, name, purchase), priced in sorted(parts.items()):
        lacking = {"per_vcpu", "per_gib"} - set(priced)
        if not lacking:
            known = MachinePrice.model_validate({"dated": dated, "source": "catalog", **priced})
            tables.setdefault(region, {}).setdefault(name, {})[purchase] = known
        elif not any(key[:3] == (region, name, purchase) for key in untold):
            what = f"{name} {purchase} in {region} without {' and '.join(sorted(lacking))}"
            problems.append(f"{WHERE}: half an answer, got {what}. {AGAIN}.")
    return tables, problems


def _disks(told: Mapping[Key, float], included: Mapping[str, Mapping[str, int]], dated: str) -> DiskPrices:
    parts: dict[tuple[str, str], dict[str, float]] = {}
    for (region, name, purchase, part), price in told.items():
        if purchase is None:
            parts.setdefault((region, name), {})[part] = price
    tables: dict[str, dict[str, DiskPrice]] = {}
    for (region, name), priced in sorted(parts.items()):
        if "per_gib" in priced:
            known = {"dated": dated, "source": "catalog", **included.get(name, {}), **priced}
            tables.setdefault(region, {})[name] = DiskPrice.model_validate(known)
    return tables
