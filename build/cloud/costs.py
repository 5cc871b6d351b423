"""What a thing that exists costs a month by the catalog: an unknown price is unknown, never nothing."""

from collections.abc import Mapping
from typing import Any

from build.cloud.kinds import last
from deployment.quantities import GIB
from deployment.stack.catalog import Catalog
from deployment.stack.pricing import HOURS_PER_MONTH, DiskUse, disk_monthly_usd, machine_hourly_usd

# A machine in one of these states is not billed; its disks are.
UNBILLED_STATES = frozenset({"TERMINATED", "STOPPED", "SUSPENDED"})
# Standard snapshots, USD a GiB and month, since 2023-04-01; other places have other prices.
# Google: "Pricing announcements", Compute Engine.
SNAPSHOT_USD = {"us-central1": 0.05, "us": 0.065}


def monthly_usd(kind: str, item: Mapping[str, Any], catalog: Catalog) -> float | None:
    """Price one month of a thing as it is now."""
    if kind == "instance":
        return _instance(item, catalog)
    if kind == "disk":
        return _disk(item, catalog)
    return _snapshot(item) if kind == "snapshot" else None


def _instance(item: Mapping[str, Any], catalog: Catalog) -> float | None:
    if item.get("status") in UNBILLED_STATES:
        return 0.0
    shape = catalog.shape(last(item.get("machineType")), assume=True)
    if shape is None:
        return None
    is_spot = (item.get("scheduling") or {}).get("provisioningModel") == "SPOT"
    region = last(item.get("zone")).rpartition("-")[0]
    hourly = machine_hourly_usd(shape, region, "spot" if is_spot else "on_demand", catalog)
    return None if hourly is None else hourly * HOURS_PER_MONTH


def _disk(item: Mapping[str, Any], catalog: Catalog) -> float | None:
    where = last(item.get("region")) or last(item.get("zone")).rpartition("-")[0]
    use = DiskUse(
        type=last(item.get("type")),
        size_gib=int(item.get("sizeGb") or 0),
        iops=int(item["provisionedIops"]) if item.get("provisionedIops") else None,
        throughput_mib_s=int(item["provisionedThroughput"]) if item.get("provisionedThroughput") else None,
    )
    return disk_monthly_usd(use, where, catalog)


def _snapshot(item: Mapping[str, Any]) -> float | None:
    """By what is stored: a snapshot holds what changed since the one before it."""
    price = SNAPSHOT_USD.get(",".join(item.get("storageLocations") or []))
    if price is None or item.get("storageBytes") is None or item.get("snapshotType", "STANDARD") != "STANDARD":
        return None
    return price * int(item["storageBytes"]) / GIB
