"""What `gcloud compute machine-types list` says of Axion machines: which there are, and in which regions.

Shape of an answer: compute.v1's MachineType (name, zone, guestCpus, memoryMb, bundledLocalSsds.partitionCount,
deprecated). Fields that are not needed are ignored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deployment.errors import ConfigError
from deployment.frozen import Frozen
from deployment.problems import shown
from deployment.stack.series import Listed, Offered, TypeName

WHERE = "machine types"
AGAIN = "Run it again; nothing was written"


class LockedSeries(Frozen):
    """What the lock knows of a series."""

    offered: Offered
    listed: Mapping[str, Listed]


@dataclass(frozen=True, slots=True, kw_only=True)
class Item:
    """A machine type in one zone."""

    name: str
    series: str
    region: str
    machine: Listed

    @property
    def size(self) -> tuple[int, str]:
        name = TypeName.read(self.name)
        return (name.vcpus if name else 0, self.name)

    @property
    def feature(self) -> str | None:
        """Class and feature of a machine that has one: highmem-metal."""
        name = TypeName.read(self.name)
        return f"{name.kind}-{name.feature}" if name and name.feature else None


def series_from(answer: Any, series: Sequence[str], dated: str) -> dict[str, LockedSeries]:
    """The lock's table of series. Raises ConfigError where an item is not whole, or a series is missing."""
    if not isinstance(answer, list):
        raise ConfigError([f"{WHERE}: not a list, got {shown(answer)}. {AGAIN}."])
    problems = [problem for item in answer for problem in _problems(item)]
    if problems:
        raise ConfigError(problems)
    offered = [_item(item) for item in answer if not item.get("deprecated")]
    missing = sorted(set(series) - {item.series for item in offered})
    if missing:
        raise ConfigError([f"{WHERE}: half an answer: no {each} machine in any zone. {AGAIN}." for each in missing])
    return {name: _series([item for item in offered if item.series == name], dated) for name in sorted(series)}


def _problems(item: Any) -> Iterator[str]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        yield f"{WHERE}: half an answer, got an item without a name: {shown(item)}. {AGAIN}."
        return
    for key, kind in (("zone", str), ("guestCpus", int), ("memoryMb", int)):
        if not isinstance(item.get(key), kind):
            yield f"{WHERE}: half an answer, got {item['name']} with {key} {shown(item.get(key))}. {AGAIN}."


def _item(told: Any) -> Item:
    return Item(
        name=told["name"],
        series=told["name"].partition("-")[0],
        region=told["zone"].rpartition("/")[2].rpartition("-")[0],
        machine=Listed(
            vcpus=told["guestCpus"],
            memory_mib=told["memoryMb"],
            local_ssd_disks=int((told.get("bundledLocalSsds") or {}).get("partitionCount") or 0),
        ),
    )


def _series(items: Sequence[Item], dated: str) -> LockedSeries:
    features = sorted({item.feature for item in items if item.feature})
    regions_of = {key: _regions(item for item in items if item.feature == key) for key in features}
    offered = {"dated": dated, "source": "lists", "regions": _regions(items), "regions_of": regions_of}
    listed = {item.name: item.machine for item in sorted(items, key=lambda item: item.size)}
    return LockedSeries(offered=Offered.model_validate(offered), listed=listed)


def _regions(items: Iterable[Item]) -> list[str]:
    return sorted({item.region for item in items})
