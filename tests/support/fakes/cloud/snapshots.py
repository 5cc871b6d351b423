"""Snapshots: made of a disk by hand, or by a schedule; they hold what was on the disk, and outlive it."""

from typing import Any

from tests.support.fakes.cloud import places
from tests.support.fakes.cloud.call import Call, answers, fingerprint, start_operation
from tests.support.fakes.cloud.disks import DISKS, check_rate
from tests.support.fakes.cloud.errors import invalid_field
from tests.support.fakes.cloud.operations import Collection
from tests.support.fakes.cloud.state import PREFIX, State, now

Json = dict[str, Any]
# Google, "Create disk snapshots", storage location: left open, the multi-region nearest to the source disk.
MULTI_REGIONS = {"us": "us", "northamerica": "us", "southamerica": "us", "europe": "eu", "asia": "asia"}


def snapshot_of(state: State, disk: Json, body: Json) -> Json:
    """What a snapshot of a disk is. The disk's labels are not copied; the request's are kept."""
    region = disk["zone"].rpartition("/")[2].rpartition("-")[0]
    kept: Json = {key: disk[key] for key in ("architecture", "guestOsFeatures", "licenses") if key in disk}
    sizes = dict.fromkeys(("storageBytes", "downloadBytes", "creationSizeBytes"), "0")
    found: Json = {
        "kind": "compute#snapshot",
        "id": state.number(),
        "creationTimestamp": now(),
        "snapshotType": "STANDARD",
        "storageBytesStatus": "UP_TO_DATE",
        "storageLocations": [MULTI_REGIONS.get(region.partition("-")[0], region)],
        "labelFingerprint": fingerprint(body.get("labels", {})),
        **sizes,
        **body,
        **kept,
        "status": "CREATING",
        "diskSizeGb": disk["sizeGb"],
        "sourceDisk": disk["selfLink"],
        "sourceDiskId": disk["id"],
    }
    source = disk["selfLink"].removeprefix(PREFIX)
    state.copy(source, f"projects/{source.split('/')[1]}/global/snapshots/{body['name']}", found)
    return found


def _snapshot(call: Call, path: str, body: Json) -> Json:
    if not body.get("sourceDisk"):
        raise invalid_field("resource.sourceDisk", "", "The field cannot be left blank.")
    if len(body.get("storageLocations", [])) > 1:
        raise invalid_field("resource.storageLocations", body["storageLocations"], "At most one location is allowed.")
    return snapshot_of(call.state, call.state.get(call.resolve(body["sourceDisk"])), body)


def _ready(call: Call, snapshot: Json) -> None:
    check_rate(call, f"snapshots of disk {snapshot['sourceDiskId']}", snapshot["sourceDisk"])
    snapshot["status"] = "READY"


SNAPSHOTS = Collection(name="snapshots", singular="snapshot", prepare=_snapshot, finish=_ready).register()


@answers("compute.disks.createSnapshot")
def create_snapshot(call: Call) -> Json:
    """Make a snapshot of the disk in the path: the operation is the disk's."""
    places.check_place(call)
    disk_path = DISKS.path(call)
    path = f"projects/{call.project}/global/snapshots/{call.body['name']}"
    if path in call.state.resources:
        call.state.add(path, {})
    snapshot = _snapshot(call, path, {**call.body, "sourceDisk": disk_path}) | {"selfLink": PREFIX + path}
    call.state.add(path, snapshot)
    return start_operation(call, disk_path, finish=lambda: _ready(call, snapshot), undo=lambda: call.state.remove(path))
