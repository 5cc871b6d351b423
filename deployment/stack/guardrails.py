"""What would go wrong in the cloud, or cost too much, found before anything is created: every problem at once."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path as FilePath

from deployment.errors import ConfigError
from deployment.models.load import load_deployment
from deployment.models.sizing import HostFacts, plan
from deployment.models.spec import Deployment
from deployment.problems import joined, shown
from deployment.stack.addresses import IAP_RANGE, LARGEST_SUBNET_PREFIX, overlap, prefix_length
from deployment.stack.catalog import Catalog, load_catalog
from deployment.stack.data import data_problems, data_warnings
from deployment.stack.disks import disk_problems, disk_uses, disk_warnings
from deployment.stack.file import Reading
from deployment.stack.labels import label_problems, label_warnings
from deployment.stack.local_ssd import unused_disks
from deployment.stack.minimum import image_problem
from deployment.stack.one_host import OneHost, of_settings
from deployment.stack.organisation import organisation_problems
from deployment.stack.pricing import Bill
from deployment.stack.settings import HostSettings, StackSettings
from deployment.stack.unknown import on_demand, shapes_of, stack_bill, unknowns

HOST_ROOT = "/opt/axion"
ARM_WORDS, X86_WORDS = ("arm64", "aarch64"), ("amd64", "x86-64", "x86_64")
LOOPBACK = ("127.", "localhost")


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedStack:
    """A stack that passed: its settings and what follows from them."""

    stack: str
    settings: StackSettings
    hosts: Mapping[str, OneHost]
    deployments: Mapping[str, Deployment]
    bill: Bill
    notices: tuple[str, ...]
    """What is allowed and deserves a word."""

    @property
    def gateway_ports(self) -> tuple[str, ...]:
        """Ports on which some host's gateway can be reached from other machines."""
        return _ports(self.deployments)


def check(reading: Reading, directory: FilePath) -> CheckedStack:
    """Check a stack with the models files it names. Raises ConfigError with every problem found."""
    catalog, problems = load_catalog(), list(reading.problems)
    settings = reading.settings
    if settings is None:
        raise ConfigError(problems)
    guard = _Guard(reading, settings, catalog, directory)
    problems += guard.problems()
    if problems:
        raise ConfigError(problems)
    return CheckedStack(
        stack=reading.stack,
        settings=settings,
        hosts={name: of_settings(host, guard.shapes[name], catalog) for name, host in settings.hosts.items()},
        deployments=guard.deployments,
        bill=stack_bill(settings, catalog),
        notices=tuple(guard.notices()),
    )


class _Guard:
    """One pass over a stack's settings."""

    def __init__(self, reading: Reading, settings: StackSettings, catalog: Catalog, directory: FilePath) -> None:
        self.where, self.stack, self.settings = reading.where, reading.stack, settings
        self.catalog, self.directory, self.has_region = catalog, directory, reading.has_region
        self.shapes = shapes_of(settings, catalog)
        self.unknown = tuple(unknowns(settings, catalog, has_region=reading.has_region))
        self.deployments: dict[str, Deployment] = {}

    def problems(self) -> list[str]:
        found: list[str] = []
        for name, host in self.settings.hosts.items():
            found += [f"{self.where('axion:hosts', name, *path)}: {what}" for path, what in self._host(name, host)]
            found += self._models(name, host)
        data = data_problems(self.stack, self.settings)
        whole = (*self._stack(), *data, *self._network(), *organisation_problems(self.settings), *self._price())
        found += [f"{self.where(*path)}: {what}" for path, what in whole]
        if not self.settings.allow_unknown:
            found += [f"{self.where(*each.path)}: {each.refusal()}" for each in self.unknown]
        return found

    def notices(self) -> Iterator[str]:
        """What Google would make, and is not what it seems, or is not known here."""
        for each in self.unknown:
            yield f"{self.where(*each.path)}: {each.word()}"
        for what in data_warnings(self.stack, self.settings):
            yield f"{self.where('axion:deleteData')}: {what}."
        for path, what in label_warnings(self.settings.labels):
            yield f"{self.where('axion:labels', *path)}: {what}."
        for name, host in self.settings.hosts.items():
            for what in disk_warnings(self.shapes[name], disk_uses(host, self.catalog), self.catalog):
                yield f"{self.where('axion:hosts', name)}: {what}."

    def _stack(self) -> Iterator[tuple[tuple[str, ...], str]]:
        settings = self.settings
        if not settings.zone.startswith(f"{settings.region}-"):
            yield ("gcp:region",), f"not the zone's, got {settings.region} and {settings.zone}. Delete gcp:region."
        for path, what in label_problems(settings.labels):
            yield ("axion:labels", *path), what
        # What is made for a host is called after it, and an account has the shortest names.
        made = [name for name, host in settings.hosts.items() if host.service_account is None]
        longest = max(made, key=len, default="")
        account = f"axion-{self.stack}-{longest}"
        if len(account) > 30:
            yield (
                ("axion:hosts", longest),
                (
                    f"too long for a service account, got {account} of {len(account)} characters where Google "
                    "takes 30. Shorten the stack's name or the host's."
                ),
            )

    def _host(self, name: str, host: HostSettings) -> Iterator[tuple[tuple[str, ...], str]]:
        zone = self.settings.zone_of(name)
        if self.has_region and zone.rpartition("-")[0] != self.settings.region:
            yield ("zone",), f"outside {self.settings.region}, where the subnet is, got {zone}. Use another stack."
        if host.preemption_notice_seconds is not None and not (host.spot or host.on_demand_fallback):
            yield (
                ("preemptionNoticeSeconds",),
                f"only spot hosts are taken back, got {host.preemption_notice_seconds}. Set spot, or delete it.",
            )
        if not _is_arm(host.image or self.catalog.images.default, self.catalog):
            example = self.catalog.images.default
            yield ("image",), f"not built for arm64, which Axion needs, got {shown(host.image)}. Use {example}."
        if host.image and (wrong := image_problem(host.image, self.catalog.images.public_projects)):
            yield ("image",), f"{wrong}, got {shown(host.image)}. Use {self.catalog.images.default}."
        shape = self.catalog.shape(host.machine_type, assume=True)
        if shape is None:
            yield ("machineType",), self._unknown_machine(host.machine_type)
            return
        if paid := unused_disks(host, shape, self.settings.region, self.catalog):
            yield ("machineType",), paid
        for which, disk in disk_uses(host, self.catalog).items():
            for field, what in disk_problems(shape, which, disk, self.catalog):
                yield (f"{which}Disk{field}",), what

    def _unknown_machine(self, machine_type: str) -> str:
        series = machine_type.partition("-")[0]
        if series in self.catalog.series:
            choice = ", ".join(self.catalog.machine_types(series))
            return f"no such {series} machine, got {shown(machine_type)}. Use one of {choice}."
        return f"not an Axion machine, got {shown(machine_type)}. Use a c4a or n4a type such as c4a-standard-32."

    def _models(self, name: str, host: HostSettings) -> list[str]:
        """Whether the host's models fit its machine; the models file's own problems come as they are."""
        try:
            deployment = load_deployment(self.directory / host.models)
        except ConfigError as error:
            return list(error.problems)
        self.deployments[name] = deployment
        shape = self.shapes.get(name)
        if shape is None:
            return []
        facts = HostFacts(name=shape.machine_type, cores=shape.vcpus, memory_bytes=shape.visible_memory_bytes)
        try:
            plan(deployment, facts, HOST_ROOT)
        except ConfigError as error:
            return [f"{self.where('axion:hosts', name, 'machineType')}: {problem}" for problem in error.problems]
        return []

    def _network(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        network, at = self.settings.network, "axion:network"
        if prefix_length(network.cidr) > LARGEST_SUBNET_PREFIX:
            yield (at, "cidr"), f"too small for a subnet, got {network.cidr}. Give /{LARGEST_SUBNET_PREFIX} or wider."
        for index, cidr in enumerate(network.gateway_cidrs):
            if overlap(cidr, IAP_RANGE):
                yield (at, "gatewayCidrs", index), f"holds the range of IAP, got {cidr}. Give clients' own ranges."
        opened = bool(network.gateway_cidrs) or any(host.public_ip for host in self.settings.hosts.values())
        if opened and not self.settings.gateway_api_keys:
            yield (
                ("axion:gatewayApiKeys",),
                "missing where gatewayCidrs or publicIp open the gateway. Run `pulumi config set --secret "
                "axion:gatewayApiKeys` and give the keys that clients must send, one a line; or open nothing.",
            )
        if opened and self.deployments and not _ports(self.deployments):
            heard = sorted({item for each in self.deployments.values() for item in each.gateway.listen})
            yield (
                (at, "gatewayCidrs"),
                (
                    f"nobody could connect: the gateway listens on loopback only, got {joined(heard)}. Add "
                    "0.0.0.0:8080 to gateway.listen of the models file, or open no range and use the tunnel."
                ),
            )

    def _price(self) -> Iterator[tuple[tuple[str, ...], str]]:
        settings = self.settings
        if not self.has_region:
            return
        total = stack_bill(settings, self.catalog)
        if total.known_hourly_usd > settings.max_hourly_usd:
            terms = ", ".join(f"{term.what} {term.hourly_usd:.4f}" for term in total.terms if term.hourly_usd)
            yield (
                ("axion:maxHourlyUsd",),
                (
                    f"the stack costs {total.known_hourly_usd:.4f} USD an hour ({terms}), got "
                    f"{settings.max_hourly_usd}. Raise it, take a smaller machine, or set spot."
                ),
            )
        elif any(host.spot and host.on_demand_fallback for host in settings.hosts.values()):
            usd = stack_bill(on_demand(settings), self.catalog).known_hourly_usd
            if usd > settings.max_hourly_usd:
                what = f"on demand, which onDemandFallback allows, the stack costs {usd:.4f} USD an hour"
                yield ("axion:maxHourlyUsd",), f"{what}, got {settings.max_hourly_usd}. Raise it, or take that out."


def _is_arm(image: str, catalog: Catalog) -> bool:
    """Judge by the name; where only the cloud knows (an image of one's own), let it pass."""
    if any(word in image for word in ARM_WORDS):
        return True
    if any(word in image for word in X86_WORDS):
        return False
    return not any(project in image.split("/") for project in catalog.images.public_projects)


def _ports(deployments: Mapping[str, Deployment]) -> tuple[str, ...]:
    listens = [address for each in deployments.values() for address in each.gateway.listen]
    return tuple(sorted({item.rpartition(":")[2] for item in listens if not item.startswith(LOOPBACK)}))
