"""What is known of Axion machines, disks, images and prices: catalog.toml, dated, with its sources.

catalog.lock.toml beside it, where `fab catalog-refresh` wrote one, knows regions, machine types and prices better.
"""

import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from deployment.frozen import Frozen
from deployment.stack.series import Fact, Limits, Series
from deployment.stack.shape import LOCAL_SSD_GIB, Shape

__all__ = ["LOCAL_SSD_GIB", "Catalog", "DiskType", "Purchase", "Series", "Shape", "catalog_from", "load_catalog"]

TABLE = Path(__file__).with_name("catalog.toml")
LOCK = Path(__file__).with_name("catalog.lock.toml")

Purchase = Literal["on_demand", "spot", "commitment_1y", "commitment_3y"]


class DiskType(Fact):
    """What one disk of a type may be."""

    size_gib: Limits
    iops: Limits | None = None
    iops_per_gib: int | None = None
    throughput_mib_s: Limits | None = None
    throughput_per_gib: tuple[float, float] | None = None
    iops_per_throughput: int | None = None
    min_vcpus: int = 1
    boot: bool
    is_regional: bool = False
    default_iops: int | None = None
    default_throughput_mib_s: int | None = None


class Images(Fact):
    """Which image hosts start from, and how to tell one for another architecture."""

    default: str
    public_projects: tuple[str, ...]


class MachinePrice(Fact):
    """USD per hour; a component that is None is unknown."""

    per_vcpu: float = Field(gt=0)
    per_gib: float = Field(gt=0)
    per_local_ssd_gib: float | None = Field(None, gt=0)


class DiskPrice(Fact):
    """USD per month."""

    per_gib: float = Field(gt=0)
    free_iops: int = 0
    per_iops: float | None = Field(None, gt=0)
    free_throughput_mib_s: int = 0
    per_throughput_mib_s: float | None = Field(None, gt=0)


class Catalog(Frozen):
    """The whole table."""

    series: Mapping[str, Series]
    disk_types: Mapping[str, DiskType]
    images: Images
    prices: Mapping[str, Mapping[str, Mapping[Purchase, MachinePrice]]]
    disk_prices: Mapping[str, Mapping[str, DiskPrice]]

    def shape(self, machine_type: str, *, assume: bool = False) -> Shape | None:
        """Take a machine type apart; None when no such type is known, nor, if wished, can be read from its name."""
        series = self.series.get(machine_type.partition("-")[0])
        return None if series is None else series.shape(machine_type, assume=assume)

    def machine_types(self, series: str) -> list[str]:
        """Every machine type of a series, small to large: as listed, where a list was read, or by rule."""
        known = self.series[series]
        if known.listed:
            return list(known.listed)
        names = [f"{series}-{kind}-{vcpus}" for vcpus in known.vcpus for kind in known.memory_gib_per_vcpu]
        if known.metal:
            names += [f"{series}-{kind}-{known.metal.vcpus}" for kind in known.metal.classes]
        names = [name for base in names for name in (base, f"{base}-lssd", f"{base}-metal")]
        return [name for name in names if self.shape(name) is not None]


def catalog_from(table: Any, lock: Any) -> Catalog:
    """Put what was read anew over what is kept by hand, price by price and region list by region list."""
    return Catalog.model_validate(_over(table, lock))


def _over(low: Any, high: Any) -> Any:
    if not (isinstance(low, Mapping) and isinstance(high, Mapping)) or "dated" in high:
        return high
    return {**low, **{key: _over(low[key], value) if key in low else value for key, value in high.items()}}


@cache
def load_catalog() -> Catalog:
    """Read the tables that lie beside this module."""
    lock = tomllib.loads(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}
    return catalog_from(tomllib.loads(TABLE.read_text(encoding="utf-8")), lock)
