"""What `gcloud compute machine-types list` says of Axion machines: which there are, and in which regions.

Shape of an answer: compute.v1's MachineType (name, zone, guestCpus, memoryMb, bundledLocalSsds.partitionCount,
deprecated). Fields that are not needed are ignored.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from deployment.errors import ConfigError
from deployment.problems import shown
from deployment.stack.shape import MACHINE_TYPE

WHERE = "machine types"
AGAIN = "Run it again; nothing was written"


def series_from(answer: Any, series: Sequence[str], dated: str) -> dict[str, Any]:
    """The lock's table of series. Raises ConfigError where an item is not whole, or a series is missing."""
    if not isinstance(answer, list):
        raise ConfigError([f"{WHERE}: not a list, got {shown(answer)}. {AGAIN}."])
    problems = [problem for item in answer for problem in _problems(item)]
    if problems:
        raise ConfigError(problems)
    offered = [item for item in answer if item["name"].partition("-")[0] in series and not item.get("deprecated")]
    missing = sorted(set(series) - {item["name"].partition("-")[0] for item in offered})
    if missing:
        raise ConfigError([f"{WHERE}: half an answer, got no {each} machine in any zone. {AGAIN}." for each in missing])
    return {name: _series([item for item in offered if _is(name, item)], dated) for name in sorted(series)}


def _is(series: str, item: Mapping[str, Any]) -> bool:
    return bool(str(item["name"]).startswith(f"{series}-"))


def _problems(item: Any) -> Iterator[str]:
    if not isinstance(item, dict) or not isinstance(item.get("name"), str):
        yield f"{WHERE}: half an answer, got an item without a name: {shown(item)}. {AGAIN}."
        return
    for key, kind in (("zone", str), ("guestCpus", int), ("memoryMb", int)):
        if not isinstance(item.get(key), kind):
            yield f"{WHERE}: half an answer, got {item['name']} with {key} {shown(item.get(key))}. {AGAIN}."


def _series(items: Sequence[Mapping[str, Any]], dated: str) -> dict[str, Any]:
    listed = {
        item["name"]: {
            "vcpus": item["guestCpus"],
            "memory_mib": item["memoryMb"],
            "local_ssd_disks": int((item.get("bundledLocalSsds") or {}).get("partitionCount") or 0),
        }
        for item in sorted(items, key=lambda item: _size(item["name"]))
    }
    classes = sorted({key for item in items if (key := _class(item["name"]))})
    regions_of = {key: _regions(item for item in items if _class(item["name"]) == key) for key in classes}
    offered = {"dated": dated, "source": "lists", "regions": _regions(items), "regions_of": regions_of}
    return {"offered": offered, "listed": listed}


def _size(name: str) -> tuple[int, str]:
    match = MACHINE_TYPE.fullmatch(name)
    return (int(match["vcpus"]) if match else 0, name)


def _class(name: str) -> str | None:
    """Class and feature of a machine that has one: highmem-metal."""
    match = MACHINE_TYPE.fullmatch(name)
    return f"{match['kind']}-{match['feature']}" if match and match["feature"] else None


def _regions(items: Iterable[Mapping[str, Any]]) -> list[str]:
    return sorted({str(item["zone"]).rpartition("/")[2].rpartition("-")[0] for item in items})
