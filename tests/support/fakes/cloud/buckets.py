"""Cloud Storage, buckets only: none of our clients puts objects in through this cloud."""

import re
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.encryption import check_bucket_key
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import project_id
from tests.support.fakes.cloud.state import now
from tests.support.fakes.cloud.stored import Stored

Json = dict[str, Any]
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
WEEK_S = "604800"


def _new_bucket(call: Call, project: str) -> tuple[str, Json]:
    """A bucket; its name is taken for everybody."""
    name = call.body["name"]
    if not NAME.fullmatch(name) or "goog" in name:
        raise ApiError(400, "invalid", f"Invalid bucket name: '{name}'")
    location = call.body.get("location", "US").upper()
    if key := call.body.get("encryption", {}).get("defaultKmsKeyName"):
        check_bucket_key(call.state, location, key)
    access = {"enabled": False, **call.body.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {})}
    configuration = {"publicAccessPrevention": "inherited", **call.body.get("iamConfiguration", {})}
    return f"b/{name}", {
        "kind": "storage#bucket",
        "storageClass": "STANDARD",
        "softDeletePolicy": {"retentionDurationSeconds": WEEK_S, "effectiveTime": now()},
        **call.body,
        "id": name,
        "location": location,
        "locationType": "region" if "-" in location else "multi-region",
        "iamConfiguration": {**configuration, "uniformBucketLevelAccess": access},
        "projectNumber": call.state.settings.number,
        "selfLink": f"https://www.googleapis.com/storage/v1/b/{name}",
        "timeCreated": now(),
        "updated": now(),
        "metageneration": "1",
        "etag": fingerprint(name),
    }


def _taken(path: str) -> ApiError:
    message = "Your previous request to create the named bucket succeeded and you already own it."
    return ApiError(409, "conflict", message)


@answers("storage.buckets.list")
def list_buckets(call: Call) -> Json:
    """The project's buckets."""
    project_id(call.state, call.parameters["project"])
    prefix = call.parameters.get("prefix", "")
    items = [one for _, one in call.state.under("b") if one["id"].startswith(prefix)]
    return {"kind": "storage#buckets", "items": items}


def _changed_bucket(call: Call, bucket: Json) -> Json:
    """The given fields; objects are merged, lists and labels' values replaced."""
    if wanted := call.body.get("encryption", {}).get("defaultKmsKeyName"):
        check_bucket_key(call.state, bucket["location"], wanted)
    for key, value in call.body.items():
        is_merged = isinstance(value, dict) and isinstance(bucket.get(key), dict) and key != "labels"
        bucket[key] = {**bucket[key], **value} if is_merged else value
    return {**bucket, "metageneration": str(int(bucket["metageneration"]) + 1), "updated": now()}


BUCKETS = Stored(
    service="storage.buckets",
    create=_new_bucket,
    absent="The specified bucket does not exist.",
    taken=_taken,
    find=lambda call: f"b/{call.parameters['bucket']}",
    parent=lambda call: project_id(call.state, call.parameters.get("project", "")),
    change=_changed_bucket,
).register()


@answers("storage.objects.list")
def list_objects(call: Call) -> Json:
    """Nothing is ever in one."""
    BUCKETS.path(call)
    return {"kind": "storage#objects", "items": []}
