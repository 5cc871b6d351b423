"""What is known of Axion machines, disks, images and prices, from catalog.toml: dated, with its source."""

import re
import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import Field

from deployment.frozen import Frozen

TABLE = Path(__file__).with_name("catalog.toml")
MACHINE_TYPE = re.compile(r"(?P<series>[a-z]\w*)-(?P<kind>[a-z]+)-(?P<vcpus>\d+)(?P<lssd>-lssd)?")
LOCAL_SSD_GIB = 375
# A c4a-standard-32 was reported to show its operating system 125 of 128 GiB; the rest is the firmware's and kernel's.
VISIBLE_MEMORY = 125 / 128

Purchase = Literal["on_demand", "spot", "commitment_1y", "commitment_3y"]
Limits = tuple[int, int]


class Fact(Frozen):
    """Something that was read somewhere, some day."""

    dated: date
    source: Literal["docs", "pricing", "catalog", "unverified"]


class Series(Fact):
    """A family of machine types."""

    description: str
    vcpus: tuple[int, ...]
    memory_gib_per_vcpu: Mapping[str, int]
    local_ssd_disks: Mapping[int, int]
    local_ssd_classes: tuple[str, ...]
    egress_gbps: Mapping[int, int]
    disk_types: tuple[str, ...]
    regions: tuple[str, ...]


class DiskType(Fact):
    """What one disk of a type may be."""

    size_gib: Limits
    iops: Limits | None = None
    iops_per_gib: int | None = None
    throughput_mib_s: Limits | None = None
    iops_per_throughput: int | None = None
    min_vcpus: int = 1
    boot: bool
    default_iops: int | None = None
    default_throughput_mib_s: int | None = None


class Images(Fact):
    """Which image hosts start from, and how to tell one for another architecture."""

    default: str
    public_projects: tuple[str, ...]


class MachinePrice(Fact):
    """USD per hour; a component that is None is unknown."""

    per_vcpu: float | None = Field(None, gt=0)
    per_gib: float | None = Field(None, gt=0)
    per_standard_vcpu: float | None = Field(None, gt=0)
    per_local_ssd_gib: float | None = Field(None, gt=0)


class DiskPrice(Fact):
    """USD per month."""

    per_gib: float = Field(gt=0)
    free_iops: int = 0
    per_iops: float | None = Field(None, gt=0)
    free_throughput_mib_s: int = 0
    per_throughput_mib_s: float | None = Field(None, gt=0)


class Shape(Frozen):
    """One machine type, taken apart."""

    machine_type: str
    series: str
    kind: str
    vcpus: int
    memory_gib: int
    local_ssd_disks: int
    egress_gbps: int | None

    @property
    def visible_memory_bytes(self) -> int:
        """What the operating system can give away."""
        return int(self.memory_gib * VISIBLE_MEMORY * 2**30)


class Catalog(Frozen):
    """The whole table."""

    series: Mapping[str, Series]
    disk_types: Mapping[str, DiskType]
    images: Images
    prices: Mapping[str, Mapping[str, Mapping[Purchase, MachinePrice]]]
    disk_prices: Mapping[str, Mapping[str, DiskPrice]]

    def shape(self, machine_type: str) -> Shape | None:
        """Take a machine type apart; None when no such type is known."""
        match = MACHINE_TYPE.fullmatch(machine_type)
        series = self.series.get(match["series"]) if match else None
        if match is None or series is None:
            return None
        kind, vcpus = match["kind"], int(match["vcpus"])
        disks = series.local_ssd_disks.get(vcpus, 0) if kind in series.local_ssd_classes else 0
        if vcpus not in series.vcpus or kind not in series.memory_gib_per_vcpu or (match["lssd"] and not disks):
            return None
        return Shape(
            machine_type=machine_type,
            series=match["series"],
            kind=kind,
            vcpus=vcpus,
            memory_gib=vcpus * series.memory_gib_per_vcpu[kind],
            local_ssd_disks=disks if match["lssd"] else 0,
            egress_gbps=series.egress_gbps.get(vcpus),
        )

    def machine_types(self, series: str) -> list[str]:
        """Every machine type of a series, small to large."""
        known = self.series[series]
        names = [f"{series}-{kind}-{vcpus}" for vcpus in known.vcpus for kind in known.memory_gib_per_vcpu]
        return [name for base in names for name in (base, f"{base}-lssd") if self.shape(name) is not None]


@cache
def load_catalog() -> Catalog:
    """Read the table that lies beside this module."""
    return Catalog.model_validate(tomllib.loads(TABLE.read_text(encoding="utf-8")))
