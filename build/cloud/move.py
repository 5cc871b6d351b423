"""Take a host's data to another zone of its region: a snapshot, a disk made from it, and the state pointed at that.

Google's disks stay in their zone, and a zone may have no machine free for weeks. What is decided here is decided from
what Google says; each step leaves something that the next run recognises, so that a move which was cut off goes on.
Nothing is deleted: the old disk is the user's to remove, by its name, once the host serves in the other zone.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from build.cloud.data_disk import described, made_from, moment, pointed_at
from build.cloud.gcloud import Gcloud
from build.cloud.kinds import last
from build.cloud.pulumi_cli import Pulumi
from build.cloud.whereabouts import Found
from build.errors import DeployError

Item = Mapping[str, Any]
STOP_TIMEOUT_S = 600.0
SNAPSHOT_TIMEOUT_S = 3 * 3600.0
DISK_TIMEOUT_S = 1800.0
READ_ONLY_COPIES = "hyperdisk-ml"
STOPPED = frozenset({"TERMINATED", "STOPPED"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """What is left to do, in this order."""

    host: str
    zone: str
    found: Found
    configures: bool
    stops: bool = False
    detaches: bool = False
    snapshot: str | None = None
    """The snapshot that holds everything, or None where one is to be made."""
    copies: bool = False
    points: bool = False

    @property
    def is_nothing(self) -> bool:
        return not (self.points or self.configures)

    def sentences(self) -> Iterator[str]:
        """Say what will be done."""
        name, zone = self.found.disk.name, self.found.disk.zone
        if self.stops:
            yield f"stop {last((self.found.instance or {}).get('name'))}: requests in flight end first"
        if self.detaches:
            yield f"detach {name} from it: who starts that machine again then writes nothing on the old disk"
        if self.copies and self.snapshot is None:
            yield f"make a snapshot of {name} in {zone}"
        if self.copies:
            yield f"make {name} in {self.zone} from {self.snapshot or 'it'}, and hold the two against each other"
        if self.points:
            yield f"point Pulumi's state at {name} in {self.zone}; the one in {zone} stays as it is"
        if self.configures:
            yield f"set the zone of {self.host} to {self.zone} in the stack's file"


def decide(host: str, zone: str, found: Found, project: str) -> Move:
    """What is to be done. Raises DeployError where it would lose or mix up anything. Pure."""
    disk, configures = found.disk, found.configured_zone != zone
    move = Move(host=host, zone=zone, found=found, configures=configures)
    if disk.zone == zone:
        return move
    if found.old is None:
        what = f"{disk.name}: not in {disk.zone}, where Pulumi has it"
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
    return replace(
        move,
        stops=runs,
        detaches=bool(users),
        snapshot=str(snapshot["name"]) if snapshot else None,
        copies=copies,
        points=True,
    )


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
    good = [each for each in of_it if each.get("status") == "READY" and moment(each, "creationTimestamp") >= until]
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
    name = last((move.found.instance or {}).get("name"))
    if move.stops:
        gcloud.ask(f"stop {name}", "compute", "instances", "stop", name, at, timeout_s=STOP_TIMEOUT_S)
    if move.detaches:
        words = ("compute", "instances", "detach-disk", name, f"--disk={disk.name}", at)
        gcloud.ask(f"detach {disk.name}", *words, timeout_s=DISK_TIMEOUT_S)
    snapshot = move.snapshot
    if move.copies:
        snapshot = move.snapshot or f"{disk.name}-{now.astimezone(UTC):%Y%m%d-%H%M%S}"
        if move.snapshot is None:
            source = (f"--source-disk={disk.name}", f"--source-disk-zone={disk.zone}")
            region = disk.zone.rpartition("-")[0]
            kept = (_labels({**(old.get("labels") or {}), "axion-component": "move"}), f"--storage-location={region}")
            gcloud.ask(
                f"make snapshot {snapshot}",
                *("compute", "snapshots", "create", snapshot, *source, *kept),
                timeout_s=SNAPSHOT_TIMEOUT_S,
            )
        gcloud.ask(
            f"make {disk.name} in {move.zone}",
            *("compute", "disks", "create", disk.name, f"--zone={move.zone}", f"--source-snapshot={snapshot}"),
            *_flags(old),
            timeout_s=DISK_TIMEOUT_S,
        )
    if move.points:
        new = prove(gcloud, move, snapshot)
        pulumi.replace_state(pointed_at(pulumi.export(), disk, new))
        # The machine, too: where the old disk was taken from it, the next `up` has to know.
        pulumi.refresh([*disk.urns[:1], *((disk.instance,) if disk.instance else ())])
    if move.configures:
        pulumi.set_config(f"axion:hosts.{move.host}.zone", move.zone)


def prove(gcloud: Gcloud, move: Move, snapshot: str | None) -> Item:
    """Hold the new disk against the old one, and return it. Raises DeployError where it is not a whole copy.

    Without a snapshot it is the one that the old disk was copied from.
    """
    disk, old = move.found.disk, move.found.old or {}
    new = described(gcloud, disk.name, move.zone) or {}
    checks = {
        "the disk there is not ready": new.get("status") == "READY",
        "the disk there is smaller": int(new.get("sizeGb") or 0) >= int(old.get("sizeGb") or 0),
    }
    if snapshot is not None:
        made = gcloud.ask(f"snapshot {snapshot}", "compute", "snapshots", "describe", snapshot)
        checks |= {
            "the snapshot is not ready": made.get("status") == "READY",
            "the snapshot is of another disk": str(made.get("sourceDiskId")) == str(old.get("id")),
            "the disk there is not from the snapshot": str(new.get("sourceSnapshotId")) == str(made.get("id")),
        }
    wrong = [what for what, is_right in checks.items() if not is_right]
    if wrong:
        raise DeployError(
            f"{disk.name}: not moved, got {', '.join(wrong)}. Nothing was deleted; look at both disks, then try again."
        )
    return new


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
