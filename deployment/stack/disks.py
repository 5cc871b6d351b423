"""Which disks a host gets, and whether Google would make them."""

from collections.abc import Iterator, Mapping

from deployment.problems import joined
from deployment.stack.catalog import Catalog, DiskType, Shape
from deployment.stack.pricing import DiskUse
from deployment.stack.settings import HostSettings

Finding = tuple[str, str]
"""The end of a setting's name, such as Gib or Type, and what is wrong with it."""
HYPERDISK = "hyperdisk-"


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


def is_unknown(disk: DiskUse, catalog: Catalog) -> bool:
    """Whether it is a Hyperdisk that nobody read about: newer, perhaps, than the catalog."""
    return disk.type.startswith(HYPERDISK) and disk.type not in catalog.disk_types


def disk_problems(shape: Shape, which: str, disk: DiskUse, catalog: Catalog) -> Iterator[Finding]:
    """Hold a disk against its machine and its own limits. Of an unknown type there is nothing to say."""
    types = catalog.series[shape.series].disk_types_of(shape)
    kind = catalog.disk_types.get(disk.type)
    if is_unknown(disk, catalog):
        return
    if disk.type not in types or kind is None:
        what = "has no Persistent Disk" if disk.type.startswith("pd-") else "does not take this disk type"
        whose = shape.machine_type if shape.is_metal else shape.series
        yield "Type", f"{whose} {what}, got {disk.type}. Use {joined(_usable(shape, which, catalog))}."
        return
    if kind.is_regional:
        yield "Type", f"stands in two zones, and a host's disk in one, got {disk.type}. Use hyperdisk-balanced."
        return
    if shape.vcpus < kind.min_vcpus:
        instead = "Use hyperdisk-balanced, or a larger machine."
        yield "Type", f"needs {kind.min_vcpus} vCPUs, got {disk.type} on {shape.machine_type}. {instead}"
    if which == "boot" and not kind.boot:
        yield "Type", f"cannot be booted from, got {disk.type}. Use hyperdisk-balanced."
    yield from _limits(disk, kind)


def _usable(shape: Shape, which: str, catalog: Catalog) -> list[str]:
    """What would be taken instead."""
    types = catalog.series[shape.series].disk_types_of(shape)
    kinds = {name: kind for name, kind in catalog.disk_types.items() if name in types and not kind.is_regional}
    return [name for name, kind in kinds.items() if shape.vcpus >= kind.min_vcpus and (kind.boot or which != "boot")]


def _limits(disk: DiskUse, kind: DiskType) -> Iterator[Finding]:
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
        yield from _throughput(disk, kind, disk.throughput_mib_s)


def _throughput(disk: DiskUse, kind: DiskType, asked: int) -> Iterator[Finding]:
    if kind.throughput_mib_s is None:
        yield "Throughput", f"{disk.type} takes no throughput setting, got {asked}. Change or delete it."
        return
    (low, high), at = kind.throughput_mib_s, "its size"
    if kind.iops_per_throughput and kind.iops:
        high, at = min(high, (disk.iops or kind.iops[0]) // kind.iops_per_throughput), "its IOPS"
    if kind.throughput_per_gib:
        # A size that is wrong itself is said above, and must not make a range of its own.
        size_gib = min(max(disk.size_gib, kind.size_gib[0]), kind.size_gib[1])
        least, most = (each * size_gib for each in kind.throughput_per_gib)
        low, high, at = max(low, round(least)), min(high, round(most)), f"{disk.size_gib} GiB"
    if not low <= asked <= high:
        yield "Throughput", f"{disk.type} takes {low} to {high} MiB/s at {at}, got {asked}. Change or delete it."


def disk_warnings(shape: Shape, disks: Mapping[str, DiskUse], catalog: Catalog) -> Iterator[str]:
    """What Google makes and bills, and the machine does not reach (Google: "About Hyperdisk performance")."""
    caps = catalog.series[shape.series].disk_caps
    for disk_type in dict.fromkeys(disk.type for disk in disks.values()):
        cap = caps.of(disk_type, shape.vcpus)
        if cap is None:
            continue
        alike = [disk for disk in disks.values() if disk.type == disk_type]
        asked = sum(disk.iops or 0 for disk in alike), sum(disk.throughput_mib_s or 0 for disk in alike)
        for amount, most, unit in zip(asked, cap, ("IOPS", "MiB/s"), strict=True):
            if amount > most:
                yield (
                    f"{shape.machine_type} reaches {most} {unit} with its {disk_type} disks together, got {amount}. "
                    "The rest would be paid for and not used: ask for less, or take a larger machine"
                )
