"""Snapshot schedules of the small cloud: what they make, for how long it stays, and what outlives disk and schedule."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.support.cloud_calls import COMPUTE, REGION, ZONE, disk, done, get
from tests.support.fakes.cloud.schedules import run_schedules
from tests.support.fakes.cloud.server import Cloud

Json = dict[str, Any]
DATA = "projects/axion-test/zones/us-central1-a/disks/data"
SNAPSHOTS = f"{COMPUTE}/global/snapshots"


@pytest.mark.parametrize(
    ("on_delete", "left"), [("APPLY_RETENTION_POLICY", []), ("KEEP_AUTO_SNAPSHOTS", ["weights of day 7"])]
)
def test_a_schedule_makes_labelled_snapshots_for_as_many_days_as_it_says(
    cloud: Cloud, on_delete: str, left: list[str]
) -> None:
    policy = {
        "schedule": {"dailySchedule": {"daysInCycle": 1, "startTime": "03:00"}},
        "retentionPolicy": {"maxRetentionDays": 7, "onSourceDiskDelete": on_delete},
        "snapshotProperties": {"labels": {"axion-stack": "dev"}, "storageLocations": ["us-central1"]},
    }
    body = {"name": "daily", "snapshotSchedulePolicy": policy}
    done(cloud, "POST", f"{REGION}/resourcePolicies", body)
    done(cloud, "POST", f"{ZONE}/disks", disk(labels={"of": "the-disk"}))
    done(cloud, "POST", f"{ZONE}/disks", disk("without"))
    schedule = "projects/axion-test/regions/us-central1/resourcePolicies/daily"
    done(cloud, "POST", f"{ZONE}/disks/data/addResourcePolicies", {"resourcePolicies": [schedule]})
    first = datetime(2026, 11, 1, 3, tzinfo=UTC)
    for day in range(8):
        cloud.state.write(DATA, f"weights of day {day}")
        [made] = run_schedules(cloud.state, first + timedelta(days=day))
    assert made.rpartition("/")[2].startswith("data-us-central1-a-20261108030000-")
    shown = get(cloud, f"/compute/v1/{made}")
    assert (shown["labels"], shown["storageLocations"]) == ({"axion-stack": "dev"}, ["us-central1"])
    assert (shown["autoCreated"], shown["sourceSnapshotSchedulePolicy"].endswith("/daily")) == (True, True)
    assert kept(cloud) == [f"weights of day {day}" for day in range(1, 8)]

    done(cloud, "DELETE", f"{ZONE}/disks/data")
    assert run_schedules(cloud.state, first + timedelta(days=8)) == []
    run_schedules(cloud.state, first + timedelta(days=30))
    assert kept(cloud)[-1:] == left


def test_what_a_schedule_has_made_outlives_the_schedule(cloud: Cloud) -> None:
    body: Json = {"schedule": {"dailySchedule": {"daysInCycle": 1, "startTime": "03:00"}}}
    body |= {"retentionPolicy": {"maxRetentionDays": 1, "onSourceDiskDelete": "APPLY_RETENTION_POLICY"}}
    done(cloud, "POST", f"{REGION}/resourcePolicies", {"name": "daily", "snapshotSchedulePolicy": body})
    link = "projects/axion-test/regions/us-central1/resourcePolicies/daily"
    done(cloud, "POST", f"{ZONE}/disks", disk(resourcePolicies=[link]))
    first = datetime(2026, 11, 1, 3, tzinfo=UTC)
    assert len(run_schedules(cloud.state, first)) == 1
    done(cloud, "DELETE", f"{ZONE}/disks/data")
    done(cloud, "DELETE", f"{REGION}/resourcePolicies/daily")
    run_schedules(cloud.state, first + timedelta(days=30))
    assert [one["name"][:4] for one in get(cloud, SNAPSHOTS)["items"]] == ["data"]


def kept(cloud: Cloud) -> list[str]:
    """What is in the snapshots that there are, oldest first."""
    found = sorted(get(cloud, SNAPSHOTS)["items"], key=lambda one: str(one["creationTimestamp"]))
    return [cloud.state.contents[one["id"]] for one in found]
