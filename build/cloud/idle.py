"""Say of each host when it will stop, as far as Google tells: idle timer, longest run, and what a stopped one costs.

The idle timer itself runs on the host. What is known here is what the host was told (its metadata) and when it
started and stopped.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from build.cloud.costs import UNBILLED_STATES
from build.cloud.gcloud import Gcloud
from build.cloud.kinds import LABEL, last
from deployment.stack.settings import StackSettings

IDLE_KEY, HOST_KEY = "axion-idle-stop-minutes", "axion-host"
FORGOTTEN_DAYS = 7
Item = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class IdleStatus:
    """One host's stop timers."""

    host: str
    state: str
    idle_stop_minutes: int | None
    ends_by: str | None
    """When Google stops it whatever happens."""
    remark: str


def idle_statuses(settings: StackSettings, instances: Sequence[Item], now: datetime) -> Iterator[IdleStatus]:
    """Compare what hosts should do with what Google says that they do. Pure."""
    seen = {_metadata(item).get(HOST_KEY) or last(item["name"]): item for item in instances}
    for name, host in settings.hosts.items():
        item = seen.pop(name, None)
        if item is None:
            yield IdleStatus(
                host=name,
                state="not there",
                idle_stop_minutes=host.idle_stop_minutes,
                ends_by=None,
                remark="run `pulumi up`",
            )
            continue
        yield _status(name, item, host.idle_stop_minutes, now)
    for name, item in seen.items():
        yield _status(name, item, _minutes(item), now, "not in the stack's file; see `fab census`")


def instances_of(gcloud: Gcloud, stack: str) -> list[Item]:
    """The stack's instances."""
    listed = gcloud.ask("list instances", "compute", "instances", "list", f"--filter=labels.{LABEL}={stack}")
    return list(listed or ())


def _status(name: str, item: Item, wanted: int | None, now: datetime, remark: str = "") -> IdleStatus:
    told, state = _minutes(item), str(item.get("status", "UNKNOWN"))
    scheduling = (item.get("resourceStatus") or {}).get("scheduling") or {}
    ends_by = scheduling.get("terminationTimestamp")
    if not remark and told != wanted:
        words = [f"{minutes} minutes" if minutes else "no idle stop" for minutes in (wanted, told)]
        remark = f"should be {words[0]}, was told {words[1]}. Run `pulumi up`"
    if not remark and state in UNBILLED_STATES:
        remark = _stopped(item, now)
    if not remark and state == "RUNNING" and told is None and ends_by is None:
        remark = "nothing stops it; set idleStopMinutes or maxRunHours if nobody needs it all the time"
    return IdleStatus(host=name, state=state, idle_stop_minutes=told, ends_by=ends_by, remark=remark)


def _stopped(item: Item, now: datetime) -> str:
    stamp = item.get("lastStopTimestamp")
    if not stamp:
        return "stopped; its disks are billed"
    days = (now.astimezone(UTC) - datetime.fromisoformat(str(stamp)).astimezone(UTC)).days
    said = f"stopped {days} days ago; its disks are billed"
    return f"{said}. If nobody needs it, run `pulumi destroy`" if days >= FORGOTTEN_DAYS else said


def _minutes(item: Item) -> int | None:
    value = _metadata(item).get(IDLE_KEY, "")
    return int(value) if value.isdecimal() else None


def _metadata(item: Item) -> dict[str, str]:
    items = (item.get("metadata") or {}).get("items") or ()
    return {str(each["key"]): str(each.get("value", "")) for each in items}
