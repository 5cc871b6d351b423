"""Disks: what an insert checks and makes, how they change, and what is written on them."""

from typing import Any

from tests.support.fakes.cloud import disk_rules, places
from tests.support.fakes.cloud.call import Call, fingerprint
from tests.support.fakes.cloud.encryption import disk_encryption
from tests.support.fakes.cloud.errors import ApiError, invalid, invalid_field, not_found
from tests.support.fakes.cloud.operations import Collection
from tests.support.fakes.cloud.state import PREFIX, now

Json = dict[str, Any]
SOURCES = ("sourceImage", "sourceSnapshot", "sourceDisk", "sourceInstantSnapshot", "sourceStorageObject")
BURST = (6, 3_600.0)


def new_disk(call: Call, body: Json, field: str = "resource") -> Json:
    """What a disk looks like once it exists, or why it cannot."""
    kind = body.get("type", "pd-standard").rpartition("/")[2]
    source, least_gb, noun = _source(call, body, field)
    size_gb = int(body.get("sizeGb") or least_gb or 100)
    if size_gb < least_gb:
        message = f"Requested disk size cannot be smaller than the {noun} size ({least_gb} GB)"
        raise invalid_field(f"{field}.diskSizeGb", size_gb, message)
    disk_rules.check_disk(kind, size_gb, body)
    if source:
        disk_rules.check_source(kind, body)
    if "diskEncryptionKey" in body:
        region = call.parameters["zone"].rpartition("-")[0]
        body = {**body, "diskEncryptionKey": disk_encryption(call.state, region, body["diskEncryptionKey"])}
    policies = [_schedule(call, reference) for reference in body.get("resourcePolicies", [])]
    return {
        "id": call.state.number(),
        "status": "READY",
        "physicalBlockSizeBytes": "4096",
        "enableConfidentialCompute": False,
        "accessMode": "READ_WRITE_SINGLE",
        **disk_rules.provisioned(kind, size_gb),
        **body,
        **source,
        "sizeGb": str(size_gb),
        "type": f"{PREFIX}{call.parent}/diskTypes/{kind}",
        "labelFingerprint": fingerprint(body.get("labels", {})),
        **({"resourcePolicies": policies} if policies else {}),
    }


def _source(call: Call, body: Json, field: str) -> tuple[Json, int, str]:
    """What a disk takes over from its image or snapshot, how large it must be for that, and what that is called."""
    given = [name for name in SOURCES if body.get(name)]
    if len(given) > 1:
        raise invalid(f"At most one source may be given for a disk, got {', '.join(given)}.")
    if not given:
        return {}, 0, ""
    [name] = given
    if name not in ("sourceImage", "sourceSnapshot"):
        raise invalid_field(f"{field}.{name}", body[name], "This cloud makes disks of images and snapshots only.")
    noun = name.removeprefix("source").lower()
    if noun == "image":
        origin = places.image(call.resolve(body[name]))
    else:
        path = call.resolve(body[name], "global/snapshots")
        origin = call.state.get(path)
        if origin["status"] != "READY":
            raise ApiError(400, "resourceNotReady", f"The resource '{path}' is not ready")
    architecture = origin.get("architecture", "")
    if architecture and body.get("architecture", architecture) != architecture:
        same = f"must be the same as the source resource architecture ({architecture})."
        raise invalid_field(f"{field}.architecture", body["architecture"], f"Requested architecture {same}")
    kept: Json = {key: origin[key] for key in ("architecture", "guestOsFeatures") if key in origin}
    return {name: origin["selfLink"], f"{name}Id": origin["id"], **kept}, int(origin["diskSizeGb"]), noun


def fill(call: Call, path: str, disk: Json) -> None:
    """A disk of a snapshot has on it what that has; any other is empty."""
    if "sourceSnapshot" in disk:
        call.state.copy(disk["sourceSnapshot"].removeprefix(PREFIX), path, disk)


def check_rate(call: Call, what: str, source: str) -> None:
    """Six times in an hour a disk may be made a snapshot of, and a snapshot a disk.

    Google, "Best practices for disk snapshots"; the code by GoogleCloudPlatform/gcpdiag's ERR/2024_001, the sentence by
    those who met it.
    """
    if not call.state.may_happen(what, *BURST):
        message = f"Operation rate exceeded for resource '{source.removeprefix(PREFIX)}'. "
        raise ApiError(
            429, "RESOURCE_OPERATION_RATE_EXCEEDED", f"{message}Too frequent operations from the source resource."
        )


def _made(call: Call, disk: Json) -> None:
    if "sourceSnapshotId" in disk:
        check_rate(call, f"disks of snapshot {disk['sourceSnapshotId']}", disk["sourceSnapshot"])


def use(disk: Json, user: str) -> None:
    """A disk is attached; when, it says once the machine is there."""
    disk.setdefault("users", []).append(PREFIX + user)


def release(disk: Json, user: str) -> None:
    """A disk is detached."""
    disk["users"] = [one for one in disk.get("users", []) if one != PREFIX + user]
    disk["lastDetachTimestamp"] = now()


def _schedule(call: Call, reference: str) -> str:
    region = call.parameters["zone"].rpartition("-")[0]
    path = call.resolve(reference, f"regions/{region}/resourcePolicies")
    if path not in call.state.resources:
        raise not_found(path)
    return PREFIX + path


def _disk(call: Call, path: str, body: Json) -> Json:
    places.check_place(call)
    disk = new_disk(call, body)
    fill(call, path, disk)
    return disk


DISKS = Collection(name="disks", singular="disk", prepare=_disk, finish=_made).register()


@DISKS.changes("addResourcePolicies")
def add_policies(call: Call, disk: Json) -> Json:
    """Give a disk a snapshot schedule."""
    wanted = [_schedule(call, reference) for reference in call.body.get("resourcePolicies", [])]
    have = disk.get("resourcePolicies", [])
    if have and wanted and have != wanted:
        raise invalid("Disk already has a snapshot schedule; a disk can have only one.")
    return {"resourcePolicies": wanted}


@DISKS.changes("removeResourcePolicies")
def remove_policies(call: Call, disk: Json) -> Json:
    """Take a snapshot schedule away."""
    away = {_schedule(call, reference) for reference in call.body.get("resourcePolicies", [])}
    return {"resourcePolicies": [one for one in disk.get("resourcePolicies", []) if one not in away]}
