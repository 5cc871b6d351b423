"""Take a host's data to another zone of its region: a snapshot, a disk made from it, and the state pointed at that.

Google's disks stay in their zone, and a zone may have no machine free for weeks. What is decided here is decided from
what Google says; each step leaves something that the next run recognises, so that a move which was cut off goes on.
Nothing is deleted: the old disk is the user's to remove, by its name, once the host serves in the other zone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any

from build.cloud.data_disk import StateDisk, described, made_from, moment, pointed_at, state_disk
from build.cloud.gcloud import Gcloud, in_parallel
from build.cloud.kinds import LABEL, last
from build.cloud.pending import Place
from build.cloud.pulumi_cli import Pulumi
from build.cloud.recover import plan_recovery
from build.errors import DeployError
from deployment.stack import StackSettings

Item = Mapping[str, Any]
STOP_TIMEOUT_S = 600.0
SNAPSHOT_TIMEOUT_S = 3 * 3600.0
DISK_TIMEOUT_S = 1800.0
READ_ONLY_COPIES = "hyperdisk-ml"
STOPPED = frozenset({"TERMINATED", "STOPPED"})


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is left to do, in this order."""

    host: str
    zone: str
    found: Found
    configures: bool
    stops: bool = False
    snapshot: str | None = None
    """The snapshot that holds everything, or None where one is to be made."""
    copies: bool = False
    points: bool = False

    @property
    def is_nothing(self) -> bool:
        return not (self.stops or self.copies or self.points or self.configures)

    def sentences(self) -> Iterator[str]:
        """Say what will be done."""
        name, zone = self.found.disk.name, self.found.disk.zone
        if self.stops:
            yield f"stop {last((self.found.instance or {}).get('name'))}: requests in flight end first"
        if self.copies and self.snapshot is None:
            yield f"make a snapshot of {name} in {zone}"
        if self.copies:
            yield f"make {name} in {self.zone} from {self.snapshot or 'it'}, and hold the two against each other"
        if self.points:
            yield f"point Pulumi's state at {name} in {self.zone}; the one in {zone} stays as it is"
        if self.configures:
            yield f"set the zone of {self.host} to {self.zone} in the stack's file"


def look(pulumi: Pulumi, gcloud: Gcloud, place: Place, host: str, settings: StackSettings, zone: str) -> Found:
    """Ask Pulumi and Google. Raises DeployError where there is nothing to move, or something else to settle first."""
    if not plan_recovery(pulumi, gcloud, place).is_nothing:
        what = f"{pulumi.stack}: an `up` was cut off, got a lock or pending operations"
        raise DeployError(f"{what}. Run `fab recover --stack {pulumi.stack} --yes` first.")
    disk = state_disk(pulumi.export(), host)
    if disk is None:
        what = f"{host}: no data disk, got none in the state of {pulumi.stack}"
        raise DeployError(f"{what}. Set the host's zone and run `pulumi up`.")
    instance = f"axion-{pulumi.stack}-{host}"
    labelled = f"--filter=labels.{LABEL}={pulumi.stack}"
    at, machine_type = f"--zone={disk.zone}", settings.hosts[host].machine_type
    there = ("compute", "machine-types", "describe", machine_type, f"--zone={zone}")
    answers = in_parallel(
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
    refused = [problem for each in answers.values() if isinstance(each, DeployError) for problem in each.problems]
    if refused:
        raise DeployError(*refused)
    known: dict[str, Any] = dict(answers)
    if known["machine"] is None:
        what = f"{zone}: does not offer the host's machine, got {machine_type}"
        raise DeployError(f"{what}. `fab doctor --stack {pulumi.stack}` tells which zones do.")
    return Found(
        disk=disk,
        old=known["old"],
        new=known["new"],
        instance=known["instance"],
        snapshots=tuple(known["snapshots"] or ()),
        configured_zone=settings.zone_of(host),
    )


def decide(host: str, zone: str, found: Found, project: str) -> Move:
    """What is to be done. Raises DeployError where it would lose or mix up anything. Pure."""
    disk, configures = found.disk, found.configured_zone != zone
    move = Move(host=host, zone=zone, found=found, configures=configures)
    if disk.zone == zone:
        return move
    if found.old is None:
        what = f"{disk.name}: not in {disk.zone}, where Pulumi has it, got none"
        raise DeployError(f"{what}. If it was deleted by hand, run `pulumi refresh`.")
    if last(found.old["type"]) == READ_ONLY_COPIES:
        what = f"{disk.name}: of a type that can only be read when it is made from a snapshot, got {READ_ONLY_COPIES}"
        raise DeployError(f"{what}. Take a copy of what is on it by hand, and a new disk of another type.")
    users = [last(user) for user in found.old.get("users") or ()]
    name = last((found.instance or {}).get("name"))
    if strangers := [user for user in users if user != name]:
        raise DeployError(f"{disk.name}: used by another machine, got {', '.join(strangers)}. Detach it there first.")
    runs = bool(users) and str((found.instance or {}).get("status")) not in STOPPED
    snapshot = None if runs else _whole(found)
    copies = found.new is None
    if found.new is not None:
        # The disk that this one was copied from, and nothing has written on this one since: there is the same on both.
        is_origin = made_from(found.old, found.snapshots) == str(found.new["id"])
        is_return = is_origin and not found.old.get("lastAttachTimestamp")
        is_copy = snapshot is not None and str(found.new.get("sourceSnapshotId")) == str(snapshot["id"])
        if not (is_return or is_copy):
            raise DeployError(_occupied(found, zone, project))
    return replace(move, stops=runs, snapshot=str(snapshot["name"]) if snapshot else None, copies=copies, points=True)


def _whole(found: Found) -> Item | None:
    """The newest snapshot that was begun after the last machine had let go of the disk."""
    assert found.old is not None, "it is there"
    instance = found.instance if found.old.get("users") else None
    until = max(moment(found.old, "lastDetachTimestamp"), moment(instance or {}, "lastStopTimestamp"))
    if not found.old.get("lastAttachTimestamp"):
        until = moment(found.old, "creationTimestamp")
    elif until < moment(found.old, "lastAttachTimestamp"):
        return None  # Google says when it was attached, and not when it was let go
    of_it = [each for each in found.snapshots if str(each.get("sourceDiskId")) == str(found.old["id"])]
    good = [each for each in of_it if each.get("status") != "FAILED" and moment(each, "creationTimestamp") >= until]
    return max(good, key=lambda each: moment(each, "creationTimestamp"), default=None)


def _occupied(found: Found, zone: str, project: str) -> str:
    assert found.new is not None, "it is there"
    name, made = found.disk.name, found.new.get("creationTimestamp")
    return (
        f"{name}: one of that name is in {zone} already and does not hold the same, got one made {made}. If nobody "
        f"needs it: `gcloud compute disks delete {name} --zone={zone} --project={project}`."
    )


def carry_out(move: Move, pulumi: Pulumi, gcloud: Gcloud, now: datetime) -> None:
    """Do it. Raises DeployError where Google refuses, or the copy is not what it should be."""
    disk, old = move.found.disk, move.found.old or {}
    at = f"--zone={disk.zone}"
    if move.stops:
        name = last((move.found.instance or {}).get("name"))
        gcloud.ask(f"stop {name}", "compute", "instances", "stop", name, at, timeout_s=STOP_TIMEOUT_S)
    if move.copies:
        snapshot = move.snapshot or f"{disk.name}-{now.astimezone(UTC):%Y%m%d-%H%M%S}"
        if move.snapshot is None:
            labels = _labels({**(old.get("labels") or {}), "axion-component": "move"})
            source = (f"--source-disk={disk.name}", f"--source-disk-zone={disk.zone}")
            gcloud.ask(
                f"make snapshot {snapshot}",
                *("compute", "snapshots", "create", snapshot, *source, labels),
                timeout_s=SNAPSHOT_TIMEOUT_S,
            )
        gcloud.ask(
            f"make {disk.name} in {move.zone}",
            *("compute", "disks", "create", disk.name, f"--zone={move.zone}", f"--source-snapshot={snapshot}"),
            *_flags(old),
            timeout_s=DISK_TIMEOUT_S,
        )
        prove(gcloud, move, snapshot)
    if move.points:
        pulumi.replace_state(pointed_at(pulumi.export(), disk, move.zone))
        pulumi.refresh(disk.urns[:1])
    if move.configures:
        pulumi.set_config(f"axion:hosts.{move.host}.zone", move.zone)


def prove(gcloud: Gcloud, move: Move, snapshot: str) -> None:
    """Hold the new disk against the old one. Raises DeployError where it is not a whole copy."""
    disk, old = move.found.disk, move.found.old or {}
    new = described(gcloud, disk.name, move.zone) or {}
    made = gcloud.ask(f"snapshot {snapshot}", "compute", "snapshots", "describe", snapshot)
    wrong = [
        what
        for what, is_right in (
            ("the snapshot is not ready", made.get("status") == "READY"),
            ("the snapshot is of another disk", str(made.get("sourceDiskId")) == str(old.get("id"))),
            ("the new disk is not ready", new.get("status") == "READY"),
            ("the new disk is not from the snapshot", str(new.get("sourceSnapshotId")) == str(made.get("id"))),
            ("the new disk is smaller", int(new.get("sizeGb") or 0) >= int(old.get("sizeGb") or 0)),
        )
        if not is_right
    ]
    if wrong:
        raise DeployError(
            f"{disk.name}: not moved, got {', '.join(wrong)}. Nothing was deleted; look at both disks, then try again."
        )


def _flags(old: Item) -> Sequence[str]:
    """As the old disk is: `pulumi up` changes it to what the stack's file wants."""
    flags = [f"--type={last(old['type'])}", f"--size={old['sizeGb']}GB", _labels(old.get("labels") or {})]
    for key, flag in (("provisionedIops", "--provisioned-iops"), ("provisionedThroughput", "--provisioned-throughput")):
        if old.get(key):
            flags.append(f"{flag}={old[key]}")
    if key_name := (old.get("diskEncryptionKey") or {}).get("kmsKeyName"):
        flags.append(f"--kms-key={str(key_name).partition('/cryptoKeyVersions/')[0]}")
    return flags


def _labels(labels: Mapping[str, str]) -> str:
    return "--labels=" + ",".join(f"{key}={value}" for key, value in sorted(labels.items()))
