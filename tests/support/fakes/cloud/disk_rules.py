"""What a disk may be by itself: sizes, what can be provisioned at each size, and how often that may change.

From Google's pages on each Hyperdisk type ("Size and performance limits") as of 2026-09, from the release notes of
Compute Engine where they are newer, and from the changes that kubernetes-sigs' disk driver made to get along with them
(its #2054 and #2182). Written on purpose not from deployment/catalog: each checks the other.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.support.fakes.cloud.errors import invalid, invalid_field

Json = dict[str, Any]
Range = tuple[int, int]
PERSISTENT = ("pd-standard", "pd-balanced", "pd-ssd", "pd-extreme")
REGIONAL = "hyperdisk-balanced-high-availability"
NO_BOOT = ("hyperdisk-extreme", "hyperdisk-ml", "hyperdisk-throughput")
READ_ONLY = "READ_ONLY_MANY"
HOUR_S = 3_600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Hyperdisk:
    """One type. `iops` is a range by size in GiB, `throughput` one by size and IOPS; without one it cannot be given."""

    size_gb: Range = (4, 65_536)
    iops: Callable[[int], Range] | None = None
    throughput: Callable[[int, int], Range] | None = None
    default_iops: Callable[[int], int] | None = None
    default_throughput: Callable[[int], int] | None = None
    resizes: tuple[int, float] = (1, 4 * HOUR_S)
    """How many changes of the size in how many seconds."""
    provisions: tuple[int, float] = (1, 4 * HOUR_S)
    """The same for IOPS and throughput together."""


def _by_size(most: int) -> Callable[[int], Range]:
    """500 IOPS for each GiB; from 6 GiB on at least 3,000, and below exactly what the size has."""
    return lambda size_gb: (min(3_000, 500 * size_gb), min(most, 500 * size_gb))


def _balanced_throughput(size_gb: int, iops: int) -> Range:
    return (max(140, math.ceil(iops / 256)), min(2_400, iops // 4))


BALANCED = Hyperdisk(
    iops=_by_size(160_000),
    throughput=_balanced_throughput,
    default_iops=lambda size_gb: min(3_000, 500 * size_gb),
    default_throughput=lambda size_gb: 140,
    # Release notes of Compute Engine, 2025-07-25.
    resizes=(2, 4 * HOUR_S),
)
HYPERDISKS = {
    "hyperdisk-balanced": BALANCED,
    REGIONAL: Hyperdisk(iops=_by_size(100_000), throughput=_balanced_throughput),
    "hyperdisk-extreme": Hyperdisk(
        size_gb=(64, 65_536), iops=lambda size_gb: (2 * size_gb, min(350_000, 1_000 * size_gb))
    ),
    "hyperdisk-throughput": Hyperdisk(
        size_gb=(2_048, 32_768),
        throughput=lambda size_gb, iops: (max(20, math.ceil(size_gb * 5 / 1_024)), min(2_400, size_gb * 90 // 1_024)),
        default_throughput=lambda size_gb: min(2_400, size_gb * 90 // 1_024),
        resizes=(1, 6 * HOUR_S),
    ),
    "hyperdisk-ml": Hyperdisk(
        # Release notes of Compute Engine, 2026-03-31: 2,097,152 instead of 1,200,000.
        throughput=lambda size_gb, iops: (max(400, math.ceil(size_gb * 0.12)), min(2_097_152, 1_600 * size_gb)),
        default_throughput=lambda size_gb: max(400, 24 * size_gb),
        provisions=(1, 6 * HOUR_S),
    ),
}
DISK_TYPES = (*PERSISTENT, "local-ssd", *sorted(HYPERDISKS))


def check_disk(kind: str, size_gb: int, disk: Json) -> None:
    """Refuse a disk that Google would not make in one zone, or not in this size, or not that fast."""
    if kind not in DISK_TYPES or kind == "local-ssd":
        raise invalid_field("resource.type", kind, "Disk type is not available in this zone.")
    if kind == REGIONAL:
        why = "It is in two zones of a region at once ("
        raise invalid_field("resource.type", kind, f"{why}regionDisks with two replicaZones), never in one.")
    low, high = HYPERDISKS[kind].size_gb if kind in HYPERDISKS else (10, 65_536)
    if not low <= size_gb <= high:
        raise invalid(
            f"Disk size: '{size_gb} GB' is not supported for {kind}; it must be between {low} GB and {high} GB."
        )
    iops, throughput = disk.get("provisionedIops"), disk.get("provisionedThroughput")
    if kind not in HYPERDISKS:
        _refuse_given("IOPS", kind, None if kind == "pd-extreme" else iops)
        _refuse_given("throughput", kind, throughput)
        return
    limits = HYPERDISKS[kind]
    if limits.iops is None:
        _refuse_given("IOPS", kind, iops)
    elif iops is not None:
        _within("IOPS", int(iops), limits.iops(size_gb))
    if limits.throughput is None:
        _refuse_given("throughput", kind, throughput)
    elif throughput is not None:
        at_iops = int(iops or provisioned(kind, size_gb).get("provisionedIops", 0))
        _within("throughput", int(throughput), limits.throughput(size_gb, at_iops))


def check_source(kind: str, disk: Json) -> None:
    """ "Google Cloud Hyperdisk overview", limitations: ML with something on it is read-only, and for ever."""
    if kind == "hyperdisk-ml" and disk.get("accessMode") != READ_ONLY:
        why = "A hyperdisk-ml disk of an image or snapshot must be created in read-only mode (READ_ONLY_MANY)."
        raise invalid_field("resource.accessMode", disk.get("accessMode", "READ_WRITE_SINGLE"), why)


def check_use(disk: Json, attached: Json, zone: str, field: str) -> None:
    """Whether a disk can be attached like this: the same page, and GoogleCloudPlatform/google-cloud-powershell #237.

    Only the first sentence is Google's own; the others are not known to us.
    """
    if "source" in attached and not disk["zone"].endswith(f"/{zone}"):
        raise invalid_field(f"{field}.source", disk["selfLink"], "Disk must be in the same zone as the instance.")
    kind = disk["type"].rpartition("/")[2]
    if attached.get("boot") and kind in NO_BOOT:
        raise invalid_field("resource.disks.boot", True, f"A {kind} disk cannot be used as a boot disk.")
    if disk["accessMode"] == READ_ONLY and attached.get("mode") != "READ_ONLY":
        mode = attached.get("mode", "READ_WRITE")
        raise invalid_field("resource.disks.mode", mode, f"The disk's access mode is {READ_ONLY}.")


def _refuse_given(what: str, kind: str, value: object) -> None:
    if value is not None:
        raise invalid(f"Provisioned {what} cannot be specified with disk type {kind}.")


def _within(what: str, value: int, limits: Range) -> None:
    if value < limits[0]:
        raise invalid(f"Requested provisioned {what} cannot be smaller than {limits[0]}.")
    if value > limits[1]:
        raise invalid(f"Requested provisioned {what} cannot be larger than {limits[1]}.")


def provisioned(kind: str, size_gb: int) -> Json:
    """What a disk gets that asks for nothing."""
    limits = HYPERDISKS.get(kind)
    if limits is None:
        return {}
    found = {"provisionedIops": limits.default_iops, "provisionedThroughput": limits.default_throughput}
    return {name: str(default(size_gb)) for name, default in found.items() if default is not None}
