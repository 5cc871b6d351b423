"""Snapshot schedules, and what they make and remove when their time comes: tests say when, with `run_schedules`."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from tests.support.fakes.cloud import places
from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.errors import invalid_field
from tests.support.fakes.cloud.operations import Collection
from tests.support.fakes.cloud.snapshots import snapshot_of
from tests.support.fakes.cloud.state import PREFIX, State

Json = dict[str, Any]
NAME_LETTERS = 63


def _policy(call: Call, path: str, body: Json) -> Json:
    places.check_place(call)
    schedule = body.get("snapshotSchedulePolicy", {}).get("schedule", {})
    if "snapshotSchedulePolicy" in body and len(schedule) != 1:
        raise invalid_field("resource.snapshotSchedulePolicy.schedule", "", "Exactly one schedule is required.")
    return {"status": "READY", **body}


def _policy_users(call: Call, path: str) -> Iterator[str]:
    for user, one in call.state.under(f"projects/{call.project}", "disks"):
        if PREFIX + path in one.get("resourcePolicies", []):
            yield user


POLICIES = Collection(
    name="resourcePolicies", singular="resourcePolicy", prepare=_policy, users=_policy_users
).register()


def _retention(policy: Json) -> Json:
    found: Json = policy["snapshotSchedulePolicy"].get("retentionPolicy", {})
    return found


def run_schedules(state: State, at: datetime) -> list[str]:
    """Make a snapshot of every disk that has a schedule, remove what has been kept for long enough; the new paths.

    Google, "Create schedules for disk snapshots": the snapshots have the schedule's labels, not the disk's; those of a
    disk that is gone go on expiring only if the schedule says APPLY_RETENTION_POLICY, and nothing expires that has lost
    its schedule.
    """
    with state.lock:
        made = [_scheduled(state, disk, link, at) for disk, link in _with_schedule(state)]
        for path in list(_expired(state, at)):
            state.remove(path)
        return made


def _with_schedule(state: State) -> Iterator[tuple[Json, str]]:
    for path, disk in list(state.resources.items()):
        if "/disks/" in path:
            for link in disk.get("resourcePolicies", []):
                if "snapshotSchedulePolicy" in state.get(link.removeprefix(PREFIX)):
                    yield disk, link


def _scheduled(state: State, disk: Json, link: str, at: datetime) -> str:
    policy = state.get(link.removeprefix(PREFIX))
    properties = policy["snapshotSchedulePolicy"].get("snapshotProperties", {})
    zone, number = disk["zone"].rpartition("/")[2], state.number()
    end = f"-{zone}-{at:%Y%m%d%H%M%S}-{number[-8:]}"
    name = disk["name"][: NAME_LETTERS - len(end)] + end
    body = {"name": name, **{key: properties[key] for key in ("labels", "storageLocations") if key in properties}}
    path = f"projects/{disk['selfLink'].removeprefix(PREFIX).split('/')[1]}/global/snapshots/{name}"
    automatic = {
        "status": "READY",
        "autoCreated": True,
        "sourceSnapshotSchedulePolicy": link,
        "sourceSnapshotSchedulePolicyId": policy["id"],
        "creationTimestamp": at.isoformat(timespec="milliseconds"),
        "selfLink": PREFIX + path,
    }
    state.add(path, snapshot_of(state, disk, body) | automatic)
    return path


def _expired(state: State, at: datetime) -> Iterator[str]:
    disks = {one["id"] for path, one in state.resources.items() if "/disks/" in path}
    for path, one in state.resources.items():
        policy = state.resources.get(one.get("sourceSnapshotSchedulePolicy", "").removeprefix(PREFIX))
        if policy is None or one["sourceSnapshotSchedulePolicyId"] != policy["id"]:
            continue
        days = _retention(policy).get("maxRetentionDays")
        keeps = _retention(policy).get("onSourceDiskDelete", "KEEP_AUTO_SNAPSHOTS") == "KEEP_AUTO_SNAPSHOTS"
        if days is None or (keeps and one["sourceDiskId"] not in disks):
            continue
        if datetime.fromisoformat(one["creationTimestamp"]) + timedelta(days=days) <= at:
            yield path
