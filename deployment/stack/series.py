"""A series of Axion machines: its rules, where it stands, and how one of its machine types is taken apart."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Literal

from pydantic import Field

from deployment.frozen import Frozen
from deployment.stack.shape import CUSTOM, MACHINE_TYPE, METAL, Shape

Limits = tuple[int, int]


class Fact(Frozen):
    """Something that was read somewhere, some day."""

    dated: date
    source: Literal["docs", "lists", "pricing", "catalog", "unverified"]


class Offered(Fact):
    """Where a series stands. `regions_of` is by class and feature (highmem-metal), or by feature (lssd)."""

    regions: tuple[str, ...]
    regions_of: Mapping[str, tuple[str, ...]] = {}

    def regions_with(self, shape: Shape) -> tuple[str, ...]:
        """Where machines such as this one stand."""
        if shape.feature is None:
            return self.regions
        by_feature = self.regions_of.get(shape.feature, self.regions)
        return self.regions_of.get(f"{shape.kind}-{shape.feature}", by_feature)


class Metal(Fact):
    """The bare metal of a series."""

    vcpus: int
    classes: tuple[str, ...]
    egress_gbps: int
    disk_types: tuple[str, ...]


class Custom(Fact):
    """What a custom machine type of a series may not exceed."""

    max_vcpus: int
    memory_step_mib: int
    max_memory_gib: int
    max_gib_per_vcpu: int
    price_premium: float


class DiskCaps(Fact):
    """What a machine's disks of one type reach together, by vCPUs: IOPS and MiB/s."""

    hyperdisk_balanced: Mapping[int, Limits] = Field({}, alias="hyperdisk-balanced")
    hyperdisk_ml: Mapping[int, Limits] = Field({}, alias="hyperdisk-ml")

    def of(self, disk_type: str, vcpus: int) -> Limits | None:
        """None where nobody read it."""
        known = {"hyperdisk-balanced": self.hyperdisk_balanced, "hyperdisk-ml": self.hyperdisk_ml}
        return known.get(disk_type, {}).get(vcpus)


class Listed(Frozen):
    """A machine type as a list of Google's has it."""

    vcpus: int
    memory_mib: int
    local_ssd_disks: int = 0


class Series(Fact):
    """A family of machine types."""

    description: str
    vcpus: tuple[int, ...]
    memory_gib_per_vcpu: Mapping[str, int]
    local_ssd_disks: Mapping[int, int] = {}
    local_ssd_classes: tuple[str, ...] = ()
    egress_gbps: Mapping[int, int]
    disk_types: tuple[str, ...]
    metal: Metal | None = None
    custom: Custom | None = None
    offered: Offered
    disk_caps: DiskCaps
    listed: Mapping[str, Listed] = {}
    """Only from the lock."""

    def disk_types_of(self, shape: Shape) -> tuple[str, ...]:
        """What may be attached to such a machine."""
        return self.metal.disk_types if self.metal and shape.is_metal else self.disk_types

    def local_ssds(self, kind: str, vcpus: int) -> int:
        """How many local SSDs the -lssd machine of a class and size has; 0 where there is no such machine."""
        return self.local_ssd_disks.get(vcpus, 0) if kind in self.local_ssd_classes else 0

    def shape(self, machine_type: str, *, assume: bool) -> Shape | None:
        """Take a machine type of this series apart: as listed, by rule, or, if wished, by its name alone."""
        name = TypeName.read(machine_type)
        if name is None:
            return None
        found = _listed(name, self.listed.get(machine_type)) or _by_rule(name, self)
        return found or (_assumed(name, self) if assume else None)


@dataclass(frozen=True, slots=True, kw_only=True)
class TypeName:
    """What the name of a machine type says."""

    machine_type: str
    series: str
    kind: str
    vcpus: int
    memory_mib: int | None
    """Of a custom type."""
    is_extended: bool
    feature: str | None

    @classmethod
    def read(cls, machine_type: str) -> "TypeName | None":
        """Take a name apart; None for one of another form."""
        match = MACHINE_TYPE.fullmatch(machine_type)
        if match is None:
            return None
        return cls(
            machine_type=machine_type,
            series=match["series"],
            kind=match["kind"],
            vcpus=int(match["vcpus"]),
            memory_mib=int(match["memory_mib"]) if match["memory_mib"] else None,
            is_extended=bool(match["ext"]),
            feature=match["feature"],
        )

    def shape(
        self, memory_gib: float, *, local_ssd_disks: int = 0, egress_gbps: int | None = None, is_assumed: bool = False
    ) -> Shape:
        """The machine of this name."""
        return Shape(
            machine_type=self.machine_type,
            series=self.series,
            kind=self.kind,
            feature=self.feature,
            vcpus=self.vcpus,
            memory_gib=memory_gib,
            local_ssd_disks=local_ssd_disks,
            egress_gbps=egress_gbps,
            is_assumed=is_assumed,
        )


def _listed(name: TypeName, listed: Listed | None) -> Shape | None:
    if listed is None or listed.vcpus != name.vcpus:
        return None
    return name.shape(listed.memory_mib / 1024, local_ssd_disks=listed.local_ssd_disks)


def _by_rule(name: TypeName, series: Series) -> Shape | None:
    """A predefined type, by its class and its size."""
    kind, vcpus, metal = name.kind, name.vcpus, series.metal
    if name.memory_mib is not None or kind not in series.memory_gib_per_vcpu:
        return None
    memory = vcpus * series.memory_gib_per_vcpu[kind]
    if name.feature == METAL:
        is_known = metal is not None and vcpus == metal.vcpus and kind in metal.classes
        return name.shape(memory, egress_gbps=metal.egress_gbps) if metal and is_known else None
    disks = series.local_ssds(kind, vcpus)
    if vcpus not in series.vcpus or (name.feature and not disks):
        return None
    ssds = disks if name.feature else 0
    return name.shape(memory, egress_gbps=series.egress_gbps.get(vcpus), local_ssd_disks=ssds)


def _assumed(name: TypeName, series: Series) -> Shape | None:
    """What a name says of itself: a custom type within its limits, or another size of a known class."""
    kind, vcpus, custom, memory_mib = name.kind, name.vcpus, series.custom, name.memory_mib
    if name.feature:
        return None
    if memory_mib is None:
        known = series.memory_gib_per_vcpu.get(kind)
        return name.shape(vcpus * known, is_assumed=True) if known is not None else None
    if kind != CUSTOM or custom is None:
        return None
    is_extended = memory_mib > vcpus * custom.max_gib_per_vcpu * 1024
    fits = 0 < memory_mib <= custom.max_memory_gib * 1024 and memory_mib % custom.memory_step_mib == 0
    if vcpus > custom.max_vcpus or not fits or is_extended != name.is_extended:
        return None
    return name.shape(memory_mib / 1024, is_assumed=True)
