"""Which machines, and how many of them, meet a load, and at what price: by the catalog's prices, modelled."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from deployment.capacity.cores import FEWEST, divided, with_cores
from deployment.capacity.host import MOST_THREADS, Outcome, outcomes, queues_of
from deployment.capacity.load import Load
from deployment.capacity.machine import Machine, assumed
from deployment.capacity.queueing import Queue
from deployment.errors import ConfigError
from deployment.models.sizing import HostFacts, plan
from deployment.models.spec import Deployment
from deployment.stack.catalog import Catalog, Purchase
from deployment.stack.pricing import machine_hourly_usd
from deployment.stack.shape import Shape

SERIES = "c4a"
"""Neoverse V2, for which the kernels are modelled."""
MOST_HOSTS = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Fleet:
    """So many equal hosts that divide the requests evenly."""

    shape: Shape
    hosts: int
    cores: Mapping[str, int]
    outcomes: Mapping[str, Outcome]

    def queues(self, deployment: Deployment, machine: Machine, baseline: Path) -> dict[str, Queue]:
        """The engines of one of the hosts, each with what the others leave of the memory."""
        part = {name: each.load for name, each in self.outcomes.items()}
        return {
            name: replace(queue, engine=replace(queue.engine, bytes_per_s=self.outcomes[name].bytes_per_s))
            for name, queue in queues_of(with_all_cores(deployment, self.cores), part, machine, baseline).items()
        }

    @property
    def problems(self) -> list[str]:
        """What misses its target, in words."""
        return [f"{name} {what}" for name, each in self.outcomes.items() for what in each.problems]

    def hourly_usd(self, region: str, purchase: Purchase, catalog: Catalog) -> float | None:
        """Of all hosts, without disks; None where it is unknown."""
        one = machine_hourly_usd(self.shape, region, purchase, catalog)
        return None if one is None else one * self.hosts


def usd_per_million(hourly_usd: float | None, loads: Mapping[str, Load]) -> float | None:
    """For a million tokens of answers; their prompts are read for the same money."""
    if hourly_usd is None:
        return None
    return hourly_usd / (3600 * sum(load.tokens_per_s for load in loads.values())) * 1e6


def shape_of(machine_type: str, catalog: Catalog) -> Shape:
    """Take a machine type apart. Raises ConfigError where nothing is known of its speed."""
    shape = catalog.shape(machine_type)
    known = f"Use one of {SERIES}, such as {SERIES}-standard-32"
    if shape is None:
        raise ConfigError([f"--machine: no machine type of the catalog, got {machine_type}. {known}."])
    if shape.series != SERIES:
        what = "its cores are not Neoverse V2, for which the kernels are modelled"
        raise ConfigError([f"--machine: {what}, got {machine_type}. {known}."])
    if shape.vcpus - 1 > MOST_THREADS:
        what = f"no figure of more than {MOST_THREADS + 1} cores"
        raise ConfigError([f"--machine: {what}, got {machine_type}. {known}."])
    return shape


def facts_of(shape: Shape) -> HostFacts:
    """The host that such a machine is."""
    return HostFacts(name=shape.machine_type, cores=shape.vcpus, memory_bytes=shape.visible_memory_bytes)


def fits(deployment: Deployment, shape: Shape) -> bool:
    """Whether the models' memory fits, whatever cores they have."""
    try:
        plan(with_all_cores(deployment, dict.fromkeys(deployment.models, FEWEST)), facts_of(shape), "/opt/axion")
    except ConfigError:
        return False
    return True


def fleet(  # noqa: PLR0913 - a load, and what serves it
    deployment: Deployment, loads: Mapping[str, Load], shape: Shape, hosts: int, machine: Machine, baseline: Path,
    *, cores: Mapping[str, int] | None = None,
) -> Fleet:  # fmt: skip
    """So many hosts under a load; their cores divided anew, unless they are given."""
    part = {name: replace(load, per_s=load.per_s / hosts) for name, load in loads.items()}
    free = shape.vcpus - deployment.host.reserved_cores
    chosen = cores or divided(deployment, queues_of(deployment, part, machine, baseline), part, free)
    queues = queues_of(with_all_cores(deployment, chosen), part, machine, baseline)
    return Fleet(shape=shape, hosts=hosts, cores=chosen, outcomes=outcomes(queues, part))


def fewest(
    deployment: Deployment, loads: Mapping[str, Load], shape: Shape, machine: Machine, baseline: Path
) -> Fleet | None:
    """The fewest hosts of a type that meet the load; None where MOST_HOSTS do not, or a model does not fit."""
    if shape.vcpus - deployment.host.reserved_cores < FEWEST * len(deployment.models) or not fits(deployment, shape):
        return None
    low, high = 0, 1
    found = fleet(deployment, loads, shape, high, machine, baseline)
    while found.problems and high < MOST_HOSTS:
        low, high = high, 2 * high
        found = fleet(deployment, loads, shape, high, machine, baseline)
    if found.problems:
        return None
    while high - low > 1:
        middle = (low + high) // 2
        tried = fleet(deployment, loads, shape, middle, machine, baseline)
        low, high, found = (middle, high, found) if tried.problems else (low, middle, tried)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A way to serve a load, priced, with how many hosts it takes by the low and the high assumption."""

    fleet: Fleet
    hosts_low: int | None
    """By the lower speeds; None where no number does."""
    hosts_high: int | None
    on_demand_usd: float | None
    spot_usd: float | None


def choices(
    deployment: Deployment, loads: Mapping[str, Load], region: str, catalog: Catalog, baseline: Path
) -> Iterator[Choice]:
    """The fewest hosts of each size, in the cheapest type whose memory suffices; largest last."""
    for shape in cheapest_shapes(deployment, region, catalog):
        by = {name: fewest(deployment, loads, shape, each, baseline) for name, each in assumed(shape.vcpus).items()}
        middle = by["middle"]
        if middle is None:
            continue
        low, high = by["low"], by["high"]
        yield Choice(
            fleet=middle,
            hosts_low=low.hosts if low else None,
            hosts_high=high.hosts if high else None,
            on_demand_usd=middle.hourly_usd(region, "on_demand", catalog),
            spot_usd=middle.hourly_usd(region, "spot", catalog),
        )


def cheapest_shapes(deployment: Deployment, region: str, catalog: Catalog) -> list[Shape]:
    """Of each number of cores the cheapest type that the models' memory fits."""
    found: dict[int, tuple[float, Shape]] = {}
    for name in catalog.machine_types(SERIES):
        shape = catalog.shape(name)
        if shape is None or shape.feature or shape.vcpus - 1 > MOST_THREADS or not fits(deployment, shape):
            continue
        usd = machine_hourly_usd(shape, region, "on_demand", catalog)
        if usd is not None and (shape.vcpus not in found or usd < found[shape.vcpus][0]):
            found[shape.vcpus] = (usd, shape)
    return [shape for _, (_, shape) in sorted(found.items())]


def cheapest(found: list[Choice]) -> Choice | None:
    """The cheapest on demand; of equal ones the one of fewer hosts."""
    priced = [each for each in found if each.on_demand_usd is not None]
    return min(priced, key=lambda each: (round(each.on_demand_usd or 0, 6), each.fleet.hosts), default=None)


def alone(deployment: Deployment, name: str) -> Deployment:
    """A deployment of one of its models."""
    return deployment.model_copy(update={"default_model": name, "models": {name: deployment.models[name]}})


def with_all_cores(deployment: Deployment, cores: Mapping[str, int]) -> Deployment:
    models = {name: with_cores(model, cores[name]) for name, model in deployment.models.items()}
    return deployment.model_copy(update={"models": models})
