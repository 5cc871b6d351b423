"""Which disks a host gets, and whether Google would make them."""

from collections.abc import Iterator

from deployment.catalog import Catalog, DiskType, Shape
from deployment.pricing import DiskUse
from deployment.problems import joined
from deployment.stack import HostSettings

Finding = tuple[str, str]
"""The end of a setting's name, such as Gib or Type, and what is wrong with it."""


def disk_uses(host: HostSettings, catalog: Catalog) -> dict[str, DiskUse]:
    """A host's disks by what they are for, with the performance that will be asked for: what is priced is made."""
    return {
        "boot": _use(catalog, host.boot_disk_type, host.boot_disk_gib),
        "data": _use(catalog, host.data_disk_type, host.data_disk_gib, host.data_disk_iops, host.data_disk_throughput),
    }


def _use(
    catalog: Catalog, disk_type: str, size_gib: int, iops: int | None = None, throughput_mib_s: int | None = None
) -> DiskUse:
    kind = catalog.disk_types.get(disk_type)
    if kind is not None:
        throughput_mib_s = throughput_mib_s or kind.default_throughput_mib_s
        if iops is None and kind.default_iops is not None:
            # The smallest disks have less than what is included.
            iops = min(kind.default_iops, (kind.iops_per_gib or kind.default_iops) * size_gib)
    return DiskUse(type=disk_type, size_gib=size_gib, iops=iops, throughput_mib_s=throughput_mib_s)


def disk_problems(shape: Shape, which: str, disk: DiskUse, catalog: Catalog) -> Iterator[Finding]:
    """Hold a disk against its machine and its own limits."""
    types = catalog.series[shape.series].disk_types
    kind = catalog.disk_types.get(disk.type)
    if disk.type not in types or kind is None:
        what = "has no Persistent Disk" if disk.type.startswith("pd-") else "does not take this disk type"
        yield "Type", f"{shape.series} {what}, got {disk.type}. Use {joined(types)}."
        return
    if shape.vcpus < kind.min_vcpus:
        instead = "Use hyperdisk-balanced, or a larger machine."
        yield "Type", f"needs {kind.min_vcpus} vCPUs, got {disk.type} on {shape.machine_type}. {instead}"
    if which == "boot" and not kind.boot:
        yield "Type", f"cannot be booted from, got {disk.type}. Use hyperdisk-balanced."
    yield from _limits(disk, kind)


def _limits(disk: DiskUse, kind: DiskType) -> Iterator[tuple[str, str]]:
    low, high = kind.size_gib
    if not low <= disk.size_gib <= high:
        yield "Gib", f"{disk.type} has {low} to {high} GiB, got {disk.size_gib}. Give a size in that range."
    if disk.iops is not None:
        low, high = kind.iops or (0, 0)
        if kind.iops_per_gib:
            high = min(high, kind.iops_per_gib * disk.size_gib)
            low = min(low, high)
        if kind.iops is None or not low <= disk.iops <= high:
            can = f"takes {low} to {high} IOPS at {disk.size_gib} GiB" if kind.iops else "takes no IOPS setting"
            yield "Iops", f"{disk.type} {can}, got {disk.iops}. Change or delete it."
    if disk.throughput_mib_s is not None:
        low, high = kind.throughput_mib_s or (0, 0)
        if kind.iops_per_throughput and kind.iops:
            high = min(high, (disk.iops or kind.iops[0]) // kind.iops_per_throughput)
        if kind.throughput_mib_s is None or not low <= disk.throughput_mib_s <= high:
            can = f"takes {low} to {high} MiB/s at its IOPS" if kind.throughput_mib_s else "takes no throughput setting"
            yield "Throughput", f"{disk.type} {can}, got {disk.throughput_mib_s}. Change or delete it."
