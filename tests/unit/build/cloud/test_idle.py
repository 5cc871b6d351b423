"""When hosts stop: what they should do, what they were told, and what Google says that they did."""

from datetime import UTC, datetime
from typing import Any

import pytest

from build.cloud.idle import IdleStatus, idle_statuses
from deployment.stack.settings import StackSettings

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


def status(item: dict[str, Any] | None, idle: int | None = 30) -> IdleStatus:
    """What is said of the one host of a stack."""
    host: dict[str, Any] = {"machineType": "c4a-standard-8", **({"idleStopMinutes": idle} if idle else {})}
    settings = StackSettings.model_validate(
        {
            "gcp:project": "my-project", "gcp:zone": "us-central1-a", "gcp:region": "us-central1",
            "axion:maxHourlyUsd": 2, "axion:hosts": {"main": host},
        }
    )  # fmt: skip
    (found,) = idle_statuses(settings, [item] if item else [], NOW)
    return found


def instance(state: str = "RUNNING", idle: str | None = "30", **more: Any) -> dict[str, Any]:
    items = [{"key": "axion-host", "value": "main"}]
    items += [{"key": "axion-idle-stop-minutes", "value": idle}] if idle else []
    return {"name": "axion-dev-main", "status": state, "metadata": {"items": items}, **more}


@pytest.mark.parametrize(
    ("item", "idle", "remark"),
    [
        (instance(), 30, ""),
        (instance(idle="60"), 30, "should be 30 minutes, was told 60 minutes. Run `pulumi up`"),
        (instance(idle=None), 30, "should be 30 minutes, was told no idle stop. Run `pulumi up`"),
        (instance(), None, "should be no idle stop, was told 30 minutes. Run `pulumi up`"),
        (
            instance(idle=None), None,
            "nothing stops it; set idleStopMinutes or maxRunHours if nobody needs it all the time",
        ),
        (instance("TERMINATED"), 30, "stopped; its disks are billed"),
        (
            instance("TERMINATED", lastStopTimestamp="2026-11-20T04:00:00-08:00"), 30,
            "stopped 3 days ago; its disks are billed",
        ),
        (
            instance("TERMINATED", lastStopTimestamp="2026-11-01T04:00:00Z"), 30,
            "stopped 22 days ago; its disks are billed. If nobody needs it, run `pulumi destroy`",
        ),
        (None, 30, "run `pulumi up`"),
    ],
)  # fmt: skip
def test_each_host_has_one_remark_at_most(item: dict[str, Any] | None, idle: int | None, remark: str) -> None:
    assert status(item, idle).remark == remark


def test_the_dead_mans_switch_is_googles_own_time() -> None:
    scheduling = {"terminationTimestamp": "2026-11-24T04:00:00Z"}
    found = status(instance(idle=None, resourceStatus={"scheduling": scheduling}), None)
    assert (found.ends_by, found.remark) == ("2026-11-24T04:00:00Z", "")


def test_a_host_that_the_file_does_not_name_is_shown_all_the_same() -> None:
    stranger = {"name": "axion-dev-old", "status": "RUNNING"}
    settings = StackSettings.model_validate(
        {
            "gcp:project": "my-project", "gcp:zone": "us-central1-a", "gcp:region": "us-central1",
            "axion:maxHourlyUsd": 2, "axion:hosts": {"main": {"machineType": "c4a-standard-8"}},
        }
    )  # fmt: skip
    found = {each.host: each.remark for each in idle_statuses(settings, [stranger], NOW)}
    assert found == {"main": "run `pulumi up`", "axion-dev-old": "not in the stack's file; see `fab census`"}
