"""`pulumi up`, and where a zone has no machine free, again in the next one: as long as nothing is on the data disk.

A disk that holds something stays where it is: `fab move` takes it along, and a person decides on that.
"""

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from build.cloud.data_disk import StateDisk, described, is_empty, state_disks
from build.cloud.gcloud import Gcloud, all_of
from build.cloud.pulumi_cli import Pulumi
from build.errors import DeployError
from deployment.refusals.cloud_errors import Kind
from deployment.refusals.diagnostics import explained, failures
from deployment.stack.settings import HostSettings, StackSettings

DELETE_TIMEOUT_S = 300.0
NOT_OFFERED = re.compile(r"/(machineTypes|diskTypes)/")


@dataclass(frozen=True, slots=True, kw_only=True)
class Try:
    """Where a host is to be tried next, and how it is bought."""

    host: str
    zone: str
    spot: bool

    def sentence(self) -> str:
        how = " spot" if self.spot else " on demand"
        return f"{self.host}: trying {self.zone}{how}"


def tries(name: str, host: HostSettings, zone: str) -> list[Try]:
    """Everything that a host's settings allow, in their order, from where it is now on. Pure."""
    zones = [zone, *(each for each in host.zones if each != zone)]
    bought = [True, False] if host.spot and host.on_demand_fallback else [host.spot]
    return [Try(host=name, zone=each, spot=spot) for spot in bought for each in zones]


def not_to_be_had(output: str, hosts: Mapping[str, HostSettings]) -> set[str]:
    """Hosts of which a part was out of stock, or is not offered in the zone at all. Pure."""
    found = set()
    for failure in failures(output):
        is_out = failure.error.kind is Kind.STOCKOUT
        if is_out or (failure.error.kind is Kind.NOT_FOUND and NOT_OFFERED.search(failure.text)):
            found |= {name for name in hosts if _is_of(failure.name, name)}
    return found


def _is_of(resource: str, host: str) -> bool:
    own = (f"models-data-{host}", f"host-{host}-instance", f"host-{host}-boot")
    return resource in own or resource.startswith(f"host-{host}-boot-")


def up(pulumi: Pulumi, gcloud: Gcloud, settings: StackSettings) -> Iterator[str]:
    """Run it until it succeeds or nothing is left to try; yields what is done between two runs.

    Raises DeployError with what Pulumi failed at and what to do about it.
    """
    left = {name: tries(name, host, settings.zone_of(name)) for name, host in settings.hosts.items()}
    now = {name: each[0] for name, each in left.items()}
    for _ in range(sum(len(each) for each in left.values())):
        yield from let_go(pulumi, gcloud, {name: each.zone for name, each in now.items()}, settings.delete_data)
        result = pulumi.up()
        if result.succeeded:
            return
        problems = explained(result.stdout) or (f"{pulumi.stack}: `pulumi up` failed: see the message above.",)
        exhausted = sorted(not_to_be_had(result.stdout, settings.hosts))
        again = [host for host in exhausted if left[host][1:] and _is_empty(pulumi, gcloud, host)]
        # What one host cannot have must not keep the others from trying.
        if not again:
            raise DeployError(*problems)
        for host in again:
            left[host] = left[host][1:]
            now[host] = left[host][0]
            yield now[host].sentence()
            pulumi.set_config(f"axion:hosts.{host}.zone", now[host].zone)
            if now[host].spot != settings.hosts[host].spot:
                pulumi.set_config(f"axion:hosts.{host}.spot", "false")


def let_go(pulumi: Pulumi, gcloud: Gcloud, zones: Mapping[str, str], named: Collection[str]) -> Iterator[str]:
    """Clear away data disks that are where no host of the file is: empty ones, and those that are `named`.

    Raises DeployError where one holds data.
    """
    stray = {host: disk for host, disk in state_disks(pulumi.export()).items() if disk.zone != zones.get(host)}
    held = all_of({host: partial(described, gcloud, disk.name, disk.zone) for host, disk in stray.items()})
    empty = {host: disk for host, disk in stray.items() if (found := held[host]) is None or is_empty(found)}
    full = {host: disk for host, disk in stray.items() if host not in empty}
    gone = {host: disk for host, disk in full.items() if host not in zones and disk.name in named}
    kept = [_kept(pulumi, host, disk, zones.get(host)) for host, disk in full.items() if host not in gone]
    if kept:
        raise DeployError(*kept)
    for host, disk in empty.items():
        again = f", and comes again in {zones[host]}" if host in zones else ""
        yield f"{host}: {disk.name} in {disk.zone} was never used; it goes{again}"
        if held[host] is not None:
            gcloud.ask(
                f"delete the empty {disk.name}",
                *("compute", "disks", "delete", disk.name, f"--zone={disk.zone}"),
                timeout_s=DELETE_TIMEOUT_S,
            )
    if empty:
        # A deleted disk's schedule goes out of the state with it.
        pulumi.refresh([urn for disk in empty.values() for urn in disk.urns])
    for host, disk in gone.items():
        yield f"{host}: {disk.name} is named in axion:deleteData, and no host of the file: it may be deleted"
        pulumi.unprotect(disk.urns[0])


def _is_empty(pulumi: Pulumi, gcloud: Gcloud, host: str) -> bool:
    """Whether the host has no data disk, or one that nothing was ever written on: then it may be tried elsewhere."""
    disk = state_disks(pulumi.export()).get(host)
    found = described(gcloud, disk.name, disk.zone) if disk else None
    return found is None or is_empty(found)


def _kept(pulumi: Pulumi, host: str, disk: StateDisk, zone: str | None) -> str:
    if zone is None:
        return (
            f"{disk.name}: holds data of {host}, a host that is no longer in the stack's file. Put it back, or "
            f"let the disk go: name it in axion:deleteData, and run `fab up --stack {pulumi.stack} --yes`."
        )
    return (
        f"{disk.name}: holds data in {disk.zone}, got {zone} as the zone of {host}. Run `fab move --stack "
        f"{pulumi.stack} --host {host} --zone {zone}`, or set the zone back to {disk.zone}."
    )
