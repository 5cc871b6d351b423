"""What a stack costs by the catalog's prices: each term by itself, and an unknown one as unknown, never as nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from deployment.stack.catalog import LOCAL_SSD_GIB, Catalog, Purchase, Shape
from deployment.stack.shape import CUSTOM

# Google's own month in its price lists.
HOURS_PER_MONTH = 730
NOT_COUNTED = "traffic, Cloud NAT, external addresses, snapshots, logs, secrets, buckets and tax"


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskUse:
    """A disk as far as its price goes."""

    type: str
    size_gib: int
    iops: int | None = None
    throughput_mib_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HostUse:
    """A host as far as its price goes."""

    name: str
    shape: Shape
    region: str
    purchase: Purchase
    disks: Mapping[str, DiskUse]


@dataclass(frozen=True, slots=True, kw_only=True)
class Term:
    """One line of a bill; None where the price is unknown."""

    what: str
    hourly_usd: float | None
    while_stopped: bool
    """Whether it is due while the machine is stopped, too."""

    @property
    def monthly_usd(self) -> float | None:
        return None if self.hourly_usd is None else self.hourly_usd * HOURS_PER_MONTH


@dataclass(frozen=True, slots=True)
class Bill:
    """Every term. A sum with an unknown term is unknown."""

    terms: tuple[Term, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        return tuple(term.what for term in self.terms if term.hourly_usd is None)

    @property
    def hourly_usd(self) -> float | None:
        return None if self.unknown else self.known_hourly_usd

    @property
    def monthly_usd(self) -> float | None:
        return None if self.unknown else self.known_hourly_usd * HOURS_PER_MONTH

    @property
    def known_hourly_usd(self) -> float:
        """The sum of the known terms: a lower bound."""
        return sum(term.hourly_usd or 0.0 for term in self.terms)

    @property
    def stopped_monthly_usd(self) -> float | None:
        """What goes on costing while every machine is stopped."""
        kept = [term.monthly_usd for term in self.terms if term.while_stopped]
        return None if None in kept else sum(cost for cost in kept if cost is not None)


def bill(hosts: Sequence[HostUse], catalog: Catalog) -> Bill:
    """Price every machine and disk of the hosts, running all the time."""
    terms: list[Term] = []
    for host in hosts:
        machine = machine_hourly_usd(host.shape, host.region, host.purchase, catalog)
        how = host.purchase.replace("_", " ")
        terms.append(
            Term(what=f"{host.name}: {host.shape.machine_type} {how}", hourly_usd=machine, while_stopped=False)
        )
        for name, disk in host.disks.items():
            monthly = disk_monthly_usd(disk, host.region, catalog)
            hourly = None if monthly is None else monthly / HOURS_PER_MONTH
            terms.append(
                Term(what=f"{host.name}: {name} disk {_described(disk)}", hourly_usd=hourly, while_stopped=True)
            )
    return Bill(tuple(terms))


def machine_hourly_usd(shape: Shape, region: str, purchase: Purchase, catalog: Catalog) -> float | None:
    """Price one hour of a machine; None when any part of it is unknown."""
    price = catalog.prices.get(region, {}).get(shape.series, {}).get(purchase)
    if price is None:
        return None
    base = shape.vcpus * price.per_vcpu + shape.memory_gib * price.per_gib
    custom = catalog.series[shape.series].custom
    if shape.is_metal or (shape.kind == CUSTOM and custom is None):
        return None
    if shape.kind == CUSTOM and custom is not None:
        # Memory beyond what a vCPU usually gets has a price of its own.
        is_extended = shape.memory_gib > shape.vcpus * custom.max_gib_per_vcpu
        return None if is_extended else base * (1 + custom.price_premium)
    if not shape.local_ssd_disks:
        return base
    if price.per_local_ssd_gib is None:
        return None
    return base + shape.local_ssd_disks * LOCAL_SSD_GIB * price.per_local_ssd_gib


def disk_monthly_usd(disk: DiskUse, region: str, catalog: Catalog) -> float | None:
    """Price one month of a disk; None when any part of it is unknown."""
    price = catalog.disk_prices.get(region, {}).get(disk.type)
    if price is None:
        return None
    total = disk.size_gib * price.per_gib
    extras = (
        (disk.iops, price.free_iops, price.per_iops),
        (disk.throughput_mib_s, price.free_throughput_mib_s, price.per_throughput_mib_s),
    )
    for amount, free, each in extras:
        extra = max(0, (amount or 0) - free)
        if extra and each is None:
            return None
        total += extra * (each or 0.0)
    return total


def _described(disk: DiskUse) -> str:
    performance = [f"{disk.iops} IOPS"] if disk.iops else []
    performance += [f"{disk.throughput_mib_s} MiB/s"] if disk.throughput_mib_s else []
    return ", ".join([f"{disk.size_gib} GiB {disk.type}", *performance])
