"""Snapshots of a stack's disks: `pulumi destroy` leaves them, and with the disk gone they are the only copies.

Google deletes scheduled ones when their time is over, as long as their schedule is there; after a destroy it is not,
and nothing removes them ("About snapshot schedules for disks"). So they are told, and removed by their disk's name.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import groupby

from build.cloud.census import Census, Found
from build.cloud.gcloud import Gcloud, in_parallel, told_once
from build.cloud.kinds import last
from build.errors import DeployError
from deployment.errors import ConfigError
from deployment.quantities import shown_bytes

DELETE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class DiskCopies:
    """All snapshots of one disk."""

    disk: str
    snapshots: tuple[Found, ...]
    disk_is_in: str | None
    """Where a disk of that name is now; None when there is none."""

    def sentence(self) -> str:
        """How many they are, what they cost, and whether their data is anywhere else."""
        many = len(self.snapshots)
        size = shown_bytes(sum(int(each.item.get("storageBytes") or 0) for each in self.snapshots))
        prices = [each.monthly_usd for each in self.snapshots]
        cost = "of unknown price" if None in prices else f"{sum(each or 0.0 for each in prices):.2f} USD a month"
        newest = max(str(each.item.get("creationTimestamp", "")) for each in self.snapshots)[:10]
        kept = (
            f"A disk of that name is in {self.disk_is_in}"
            if self.disk_is_in
            else f"The disk is gone: {'it is' if many == 1 else 'they are'} the only copy of what was on it"
        )
        plural = "" if many == 1 else "s"
        return (
            f"{self.disk}: {many} snapshot{plural}, {size}, {cost}, the newest of {newest or 'unknown date'}. {kept}."
        )


def copies(census: Census) -> tuple[DiskCopies, ...]:
    """A stack's snapshots by the disk that they are of, in the disks' order."""
    disks = {each.name: each.place for each in census.found if each.kind.name == "disk"}
    snapshots = sorted((each for each in census.found if each.kind.name == "snapshot"), key=_disk)
    return tuple(
        DiskCopies(disk=disk, snapshots=tuple(group), disk_is_in=disks.get(disk))
        for disk, group in groupby(snapshots, key=_disk)
    )


def chosen(found: Sequence[DiskCopies], names: str) -> tuple[DiskCopies, ...]:
    """Those of the disks that were typed. Raises ConfigError for a name that is no such disk's, before any goes."""
    known = {each.disk: each for each in found}
    typed = [name.strip() for name in names.split(",") if name.strip()]
    wrong = [name for name in typed if name not in known]
    if wrong or not typed:
        have = f"Type one of: {', '.join(known)}" if known else "There are none to remove"
        raise ConfigError(
            [f"--remove-snapshots: no snapshots of such a disk, got {', '.join(wrong) or 'none'}. {have}."]
        )
    return tuple(known[name] for name in dict.fromkeys(typed))


def remove(unwanted: Sequence[DiskCopies], census: Census, gcloud: Gcloud) -> Census:
    """Delete them; what is left is the answer. Raises DeployError for those that Google does not delete."""
    gone = {snapshot.name for each in unwanted for snapshot in each.snapshots}
    questions = {name: partial(_delete, name, gcloud) for name in sorted(gone)}
    refused = [each for each in told_once(in_parallel(questions)).values() if isinstance(each, DeployError)]
    if refused:
        raise DeployError.of(problem for error in refused for problem in error.problems)
    left = (each for each in census.found if each.kind.name != "snapshot" or each.name not in gone)
    return replace(census, found=tuple(left))


def _delete(name: str, gcloud: Gcloud) -> None:
    """It may have gone in the meantime: a schedule that is still there removes old ones."""
    gcloud.ask_or_none(f"remove {name}", "compute", "snapshots", "delete", name, timeout_s=DELETE_TIMEOUT_S)


def _disk(snapshot: Found) -> str:
    return last(snapshot.item.get("sourceDisk")) or "unknown"
