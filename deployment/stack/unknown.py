"""What a stack asks for and the catalog does not know: refused, or, with axion:allowUnknown, allowed with a word."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from deployment.problems import joined, shown
from deployment.stack.catalog import Catalog, Shape
from deployment.stack.disks import disk_uses, is_unknown
from deployment.stack.pricing import Bill, HostUse, bill
from deployment.stack.settings import StackSettings

SETTING = "axion:allowUnknown"
LAST_WORD = f"{SETTING} lets it pass, and Google has the last word"
TO_ALLOW = f"If Google has it, set {SETTING}: true; `fab catalog-refresh` asks Google"


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """One thing that nobody read about."""

    path: tuple[str, ...]
    what: str
    got: str
    instead: str = ""
    """What is known and would do, as a sentence's end."""

    def refusal(self) -> str:
        return f"{self.what}, got {self.got}. {TO_ALLOW}{self.instead}."

    def word(self) -> str:
        return f"{self.what}, got {self.got}. {LAST_WORD}."


def shapes_of(settings: StackSettings, catalog: Catalog) -> dict[str, Shape]:
    """The machines of the hosts, as far as the catalog, or with leave their names, tell them."""
    assume = settings.allow_unknown
    found = {name: catalog.shape(host.machine_type, assume=assume) for name, host in settings.hosts.items()}
    return {name: shape for name, shape in found.items() if shape is not None}


def host_uses(settings: StackSettings, shapes: Mapping[str, Shape], catalog: Catalog) -> list[HostUse]:
    """The hosts of known shape, as far as their price goes."""
    return [
        HostUse(
            name=name,
            shape=shapes[name],
            region=settings.region,
            purchase="spot" if host.spot else "on_demand",
            # A disk of no known kind is refused; that its price is unknown, too, would only be noise.
            disks={
                what: use
                for what, use in disk_uses(host, catalog).items()
                if use.type in catalog.disk_types or (settings.allow_unknown and is_unknown(use, catalog))
            },
        )
        for name, host in settings.hosts.items()
        if name in shapes
    ]


def stack_bill(settings: StackSettings, catalog: Catalog) -> Bill:
    """Price a stack; machines of no known shape are the guardrails' business."""
    return bill(host_uses(settings, shapes_of(settings, catalog), catalog), catalog)


def unknowns(settings: StackSettings, catalog: Catalog, *, has_region: bool) -> Iterator[Unknown]:
    """Everything unknown of a stack that could be made nevertheless."""
    for name, host in settings.hosts.items():
        at = ("axion:hosts", name)
        shape = catalog.shape(host.machine_type, assume=True)
        if shape is not None and shape.is_assumed:
            series = catalog.series[shape.series]
            yield Unknown(
                path=(*at, "machineType"),
                what=f"no such {shape.series} machine in the lists of {series.offered.dated}",
                got=f"{shown(host.machine_type)}, {shape.vcpus} vCPUs and {shape.memory_gib:g} GiB by its name",
                instead=f", or use one of {', '.join(catalog.machine_types(shape.series))}",
            )
        if shape is not None and has_region:
            yield from _place(at, shape, settings.region, catalog)
        for which, disk in disk_uses(host, catalog).items():
            if is_unknown(disk, catalog):
                yield Unknown(path=(*at, f"{which}DiskType"), what="not a disk type of the catalog", got=disk.type)
    if has_region:
        yield from _prices(settings, catalog)


def _place(at: tuple[str, ...], shape: Shape, region: str, catalog: Catalog) -> Iterator[Unknown]:
    offered = catalog.series[shape.series].offered
    regions = offered.regions_with(shape)
    if region in regions:
        return
    near = [each for each in regions if each.partition("-")[0] == region.partition("-")[0]] or regions
    yield Unknown(
        path=(*at, "machineType"),
        what=f"not known to be offered in {region} by the lists of {offered.dated}",
        got=shape.machine_type,
        instead=f", or use one of {', '.join(near)}",
    )


def _prices(settings: StackSettings, catalog: Catalog) -> Iterator[Unknown]:
    unknown = stack_bill(settings, catalog).unknown
    if unknown:
        yield Unknown(path=(SETTING,), what=f"the catalog has no price in {settings.region}", got=joined(unknown))


def on_demand(settings: StackSettings) -> StackSettings:
    """The stack as it is once every host that may has given up spot."""
    hosts = {
        name: host.model_copy(update={"spot": host.spot and not host.on_demand_fallback})
        for name, host in settings.hosts.items()
    }
    return settings.model_copy(update={"hosts": hosts})
