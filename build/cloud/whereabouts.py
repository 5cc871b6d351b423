"""What there is of a host's data, in its zone and in another one: asked of Pulumi and Google, before a move."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from build.cloud.data_disk import StateDisk, described, state_disks
from build.cloud.gcloud import Gcloud, all_of
from build.cloud.kinds import LABEL
from build.cloud.pending import Place
from build.cloud.pulumi_cli import Pulumi
from build.cloud.recover import plan_recovery
from build.errors import DeployError
from deployment.stack.name import StackName
from deployment.stack.settings import StackSettings

Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What there is of a host's data, in its zone and in the other one."""

    disk: StateDisk
    old: Item | None
    new: Item | None
    instance: Item | None
    snapshots: tuple[Item, ...]
    """Of the stack."""
    configured_zone: str


def look(pulumi: Pulumi, gcloud: Gcloud, place: Place, host: str, settings: StackSettings, zone: str) -> Found:
    """Ask Pulumi and Google. Raises DeployError where there is nothing to move, or something else to settle first."""
    if not plan_recovery(pulumi, gcloud, place).is_nothing:
        what = f"{pulumi.stack}: an `up` was cut off, got a lock or pending operations"
        raise DeployError(f"{what}. Run `fab recover --stack {pulumi.stack} --yes` first.")
    disk = state_disks(pulumi.export()).get(host)
    if disk is None:
        what = f"{host}: no data disk in the state of {pulumi.stack}"
        raise DeployError(f"{what}. Set the host's zone and run `pulumi up`.")
    if zone.rpartition("-")[0] != disk.zone.rpartition("-")[0]:
        what = f"--zone: {disk.name} is in {disk.zone}, and its network and snapshots with it, got {zone}"
        raise DeployError(f"{what}. Give another zone of that region.")
    short = StackName(pulumi.stack).short
    instance, labelled = f"axion-{short}-{host}", f"--filter=labels.{LABEL}={short}"
    at, machine_type = f"--zone={disk.zone}", settings.hosts[host].machine_type
    there = ("compute", "machine-types", "describe", machine_type, f"--zone={zone}")
    answers = all_of(
        {
            "machine": partial(gcloud.ask_or_none, f"{machine_type} in {zone}", *there),
            "old": partial(described, gcloud, disk.name, disk.zone),
            "new": partial(described, gcloud, disk.name, zone),
            "instance": partial(
                gcloud.ask_or_none, f"instance {instance}", "compute", "instances", "describe", instance, at
            ),
            "snapshots": partial(gcloud.ask, "list snapshots", "compute", "snapshots", "list", labelled),
        }
    )
    old, new, running = (answers[key] for key in ("old", "new", "instance"))
    if answers["machine"] is None:
        what = f"{zone}: does not offer the host's machine, got {machine_type}"
        raise DeployError(f"{what}. `fab doctor --stack {pulumi.stack}` tells which zones do.")
    size, wanted = int((old or {}).get("sizeGb") or 0), settings.hosts[host].data_disk_gib
    if size > wanted:
        what = f"{disk.name}: larger than the stack's file says, got {size} GiB and dataDiskGib: {wanted}"
        raise DeployError(f"{what}. Set dataDiskGib to {size}: no disk shrinks, and Pulumi would want a new one.")
    return Found(
        disk=disk,
        old=old,
        new=new,
        instance=running,
        snapshots=tuple(answers["snapshots"] or ()),
        configured_zone=settings.zone_of(host),
    )
