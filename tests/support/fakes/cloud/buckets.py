"""Cloud Storage, buckets only: none of our clients puts objects in through this cloud."""

import re
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.encryption import check_bucket_key
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import project_id
from tests.support.fakes.cloud.state import now

Json = dict[str, Any]
NAME = re.compile(r"[a-z0-9][a-z0-9._-]{1,61}[a-z0-9]")
WEEK_S = "604800"


def _path(call: Call) -> str:
    path = f"b/{call.parameters['bucket']}"
    if path not in call.state.resources:
        raise ApiError(404, "notFound", "The specified bucket does not exist.")
    return path


@answers("storage.buckets.insert")
def insert_bucket(call: Call) -> Json:
    """A bucket; its name is taken for everybody."""
    project = project_id(call.state, call.parameters.get("project", ""))
    name = call.body["name"]
    if not NAME.fullmatch(name) or "goog" in name:
        raise ApiError(400, "invalid", f"Invalid bucket name: '{name}'")
    location = call.body.get("location", "US").upper()
    if key := call.body.get("encryption", {}).get("defaultKmsKeyName"):
        check_bucket_key(call.state, location, key)
    path = f"b/{name}"
    if path in call.state.resources:
        message = "Your previous request to create the named bucket succeeded and you already own it."
        raise ApiError(409, "conflict", message)
    access = {"enabled": False, **call.body.get("iamConfiguration", {}).get("uniformBucketLevelAccess", {})}
    configuration = {"publicAccessPrevention": "inherited", **call.body.get("iamConfiguration", {})}
    bucket = {
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
    call.state.owners[path] = project
    return dict(call.state.add(path, bucket))


@answers("storage.buckets.get")
def get_bucket(call: Call) -> Json:
    """A bucket."""
    return dict(call.state.get(_path(call)))


@answers("storage.buckets.list")
def list_buckets(call: Call) -> Json:
    """The project's buckets."""
    project = project_id(call.state, call.parameters["project"])
    prefix = call.parameters.get("prefix", "")
    found = [one for path, one in call.state.under("b") if call.state.owners[path] == project]
    return {"kind": "storage#buckets", "items": [one for one in found if one["name"].startswith(prefix)]}


@answers("storage.buckets.patch")
def patch_bucket(call: Call) -> Json:
    """Change the given fields; objects are merged, lists and labels' values replaced."""
    bucket = call.state.get(_path(call))
    if wanted := call.body.get("encryption", {}).get("defaultKmsKeyName"):
        check_bucket_key(call.state, bucket["location"], wanted)
    for key, value in call.body.items():
        if isinstance(value, dict) and isinstance(bucket.get(key), dict) and key != "labels":
            bucket[key] = {**bucket[key], **value}
        else:
            bucket[key] = value
    bucket.update(metageneration=str(int(bucket["metageneration"]) + 1), updated=now())
    return dict(bucket)


@answers("storage.buckets.delete")
def delete_bucket(call: Call) -> Json:
    """Delete an empty bucket; one that a test filled is refused."""
    path = _path(call)
    if call.state.owners.get(f"{path}/o"):
        raise ApiError(409, "conflict", "The bucket you tried to delete is not empty.")
    call.state.remove(path)
    return {}


@answers("storage.objects.list")
def list_objects(call: Call) -> Json:
    """Nothing, or the one object that a test says is there."""
    name = call.state.owners.get(f"{_path(call)}/o")
    items = [{"kind": "storage#object", "name": name, "bucket": call.parameters["bucket"]}] if name else []
    return {"kind": "storage#objects", "items": items}
