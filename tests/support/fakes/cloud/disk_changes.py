"""How a disk changes: it grows, and a Hyperdisk is provisioned anew, neither too small nor too often."""

from typing import Any

from tests.support.fakes.cloud import disk_rules
from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.disks import DISKS
from tests.support.fakes.cloud.errors import ApiError, invalid_field

Json = dict[str, Any]


def _not_too_often(call: Call, disk: Json, what: str, limit: tuple[int, float]) -> None:
    """Google, "Modify the settings of a Hyperdisk volume". Its own words for this refusal are not known to us."""
    most, seconds = limit
    if not call.state.may_happen(f"{what} of disk {disk['id']}", most, seconds):
        times = "once" if most == 1 else f"{most} times"
        raise ApiError(
            400,
            "badRequest",
            f"Cannot update {what} of disk '{disk['name']}': it can be changed {times} in {seconds / 3600:g} hours.",
        )


@DISKS.changes("resize")
def resize(call: Call, disk: Json) -> Json:
    """Grow a disk; it cannot shrink."""
    kind = disk["type"].rpartition("/")[2]
    new, old = int(call.body.get("sizeGb", 0)), int(disk["sizeGb"])
    if new <= old:
        raise invalid_field("sizeGb", new, f"New disk size '{new}' GB must be larger than existing size '{old}' GB.")
    disk_rules.check_disk(kind, new, disk)
    if kind in disk_rules.HYPERDISKS:
        _not_too_often(call, disk, "the size", disk_rules.HYPERDISKS[kind].resizes)
    return {"sizeGb": str(new)}


@DISKS.changes("update")
def update(call: Call, disk: Json) -> Json:
    """Change what a Hyperdisk is provisioned with: what one call asks for is judged together."""
    kind = disk["type"].rpartition("/")[2]
    masked = call.parameters.get("updateMask") or call.parameters.get("paths") or ""
    names = [name for name in masked.replace("_", "").lower().split(",") if name]
    changes = {key: value for key, value in call.body.items() if not names or key.lower() in names}
    disk_rules.check_disk(kind, int({**disk, **changes}["sizeGb"]), {**disk, **changes})
    if disk["accessMode"] == disk_rules.READ_ONLY != changes.get("accessMode", disk_rules.READ_ONLY):
        why = "A disk that is read-only for many cannot become writable again."
        raise invalid_field("resource.accessMode", changes["accessMode"], why)
    if kind in disk_rules.HYPERDISKS and changes.keys() & {"provisionedIops", "provisionedThroughput"}:
        _not_too_often(call, disk, "the provisioned performance", disk_rules.HYPERDISKS[kind].provisions)
    return changes
