"""A host's data disk: where Pulumi's state has it, what Google says of it, and whether anything can be on it."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from build.cloud.checkpoint import Checkpoint
from build.cloud.gcloud import Gcloud
from build.cloud.kinds import last

Item = Mapping[str, Any]
DISK = "gcp:compute/disk:Disk"
DATA = re.compile(r"models-data-([a-z][a-z0-9]*)")
NEVER = datetime.min.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class StateDisk:
    """A data disk as the state has it."""

    urns: tuple[str, ...]
    """Its own, then that of its snapshot schedule."""
    name: str
    zone: str
    instance: str | None = None
    """The URN of the machine that it is for, where there is one."""


def state_disks(checkpoint: Checkpoint) -> dict[str, StateDisk]:
    """Find every data disk in a checkpoint, by host: also of hosts that the stack's file no longer has. Pure."""
    found = {each.name: each for each in checkpoint.resources}
    disks = {}
    for name, disk in found.items():
        match = DATA.fullmatch(name)
        if match is None or disk.type != DISK:
            continue
        known = {**disk.inputs, **disk.outputs}
        schedule, instance = found.get(f"{name}-snapshots"), found.get(f"host-{match[1]}-instance")
        disks[match[1]] = StateDisk(
            urns=tuple(each.urn for each in (disk, schedule) if each is not None),
            name=str(known["name"]),
            zone=last(known["zone"]),
            instance=instance.urn if instance is not None else None,
        )
    return disks


def pointed_at(checkpoint: Checkpoint, disk: StateDisk, new: Item) -> Checkpoint:
    """The checkpoint with another disk of the same name, as Google describes it, in the place of this one. Pure."""
    zone = last(new["zone"])
    facts = {"zone": zone, "selfLink": new["selfLink"], "diskId": str(new["id"])}
    return checkpoint.moved(disk.urns[0], old_zone=disk.zone, zone=zone, facts=facts)


def described(gcloud: Gcloud, name: str, zone: str) -> Item | None:
    """Ask for a disk; None where there is none."""
    found: Item | None = gcloud.ask_or_none(f"disk {name}", "compute", "disks", "describe", name, f"--zone={zone}")
    return found


def is_empty(disk: Item) -> bool:
    """Whether nothing was ever written on it: made from nothing, and attached to no machine since. Pure."""
    made_from = any(disk.get(key) for key in ("sourceSnapshot", "sourceDisk", "sourceImage"))
    return not (made_from or disk.get("lastAttachTimestamp") or disk.get("users"))


def made_from(disk: Item, snapshots: Sequence[Item]) -> str | None:
    """The number of the disk that a disk was copied from, by way of one of these snapshots. Pure."""
    by_id = {str(each["id"]): str(each.get("sourceDiskId")) for each in snapshots}
    return by_id.get(str(disk.get("sourceSnapshotId")))


def moment(item: Item, key: str) -> datetime:
    """One of Google's time stamps; the beginning of time where there is none."""
    stamp = item.get(key)
    return datetime.fromisoformat(str(stamp)).astimezone(UTC) if stamp else NEVER
