"""Secret Manager. Payloads are kept apart: the state that tests look at shows only how long they are."""

import base64
import binascii
import re
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.encryption import check_secret_keys
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.state import now
from tests.support.fakes.cloud.stored import Stored, named

Json = dict[str, Any]
SECRET_ID = re.compile(r"[a-zA-Z0-9_-]{1,255}")
PAYLOAD_BYTES = 65_536


def _shown(call: Call, resource: Json) -> Json:
    """Answers name the project by its number."""
    settings = call.state.settings
    name = resource["name"].replace(f"projects/{settings.project}/", f"projects/{settings.number}/", 1)
    return {**resource, "name": name}


def _newest(call: Call) -> str:
    """The version that a call names; `latest` is the newest that is enabled."""
    path = named(call)
    secret, _, version = path.partition("/versions/")
    found = [path for path, one in call.state.under(secret, "versions") if one["state"] == "ENABLED"]
    return max(found, key=lambda one: int(one.rpartition("/")[2]), default=path) if version == "latest" else path


def _new_secret(call: Call, parent: str) -> tuple[str, Json]:
    secret_id = call.parameters.get("secretId", "")
    if not SECRET_ID.fullmatch(secret_id):
        raise ApiError(400, "badRequest", f"Invalid secret id '{secret_id}': must match [a-zA-Z0-9_-]{{1,255}}.")
    if len(call.body.get("replication", {})) != 1:
        raise ApiError(400, "badRequest", "The replication policy of the secret must be set.")
    check_secret_keys(call.state, call.body["replication"])
    path = f"{parent}/secrets/{secret_id}"
    return path, {**call.body, "name": path, "createTime": now(), "etag": fingerprint(call.body)}


def _remove_versions(call: Call, path: str) -> None:
    for version, _ in list(call.state.under(path, "versions")):
        call.state.remove(version)
        call.state.payloads.pop(version, None)


SECRETS = Stored(
    service="secretmanager.projects.secrets",
    create=_new_secret,
    absent="Secret [{path}] not found.",
    taken=lambda path: ApiError(409, "alreadyExists", f"Secret [{path}] already exists."),
    has_size=True,
    shown=_shown,
    gone=_remove_versions,
).register()


def _new_version(call: Call, secret: str) -> tuple[str, Json]:
    data = call.body.get("payload", {}).get("data", "")
    try:
        size = len(base64.b64decode(data, validate=True))
    except binascii.Error:
        raise ApiError(
            400, "badRequest", "Invalid value at 'payload.data' (TYPE_BYTES), Base64 decoding failed"
        ) from None
    if not 0 < size <= PAYLOAD_BYTES:
        raise ApiError(400, "badRequest", "The secret's payload must have between 1 and 65536 bytes.")
    path = f"{secret}/versions/{sum(1 for _ in call.state.under(secret, 'versions')) + 1}"
    call.state.payloads[path] = data
    return path, {"name": path, "createTime": now(), "state": "ENABLED", "etag": fingerprint(path)}


VERSIONS = Stored(
    service="secretmanager.projects.secrets.versions",
    create=_new_version,
    absent="Secret Version [{path}] not found.",
    find=_newest,
    parent=SECRETS.path,
    has_size=True,
    shown=_shown,
).register()
answers("secretmanager.projects.secrets.addVersion")(VERSIONS.insert)


@answers("secretmanager.projects.secrets.versions.access")
def access_version(call: Call) -> Json:
    """The payload of an enabled version."""
    path = VERSIONS.path(call)
    version = call.state.get(path)
    if version["state"] != "ENABLED":
        message = f"Secret Version [{path}] is in {version['state']} state."
        raise ApiError(400, "failedPrecondition", message, status="FAILED_PRECONDITION")
    return {"name": _shown(call, version)["name"], "payload": {"data": call.state.payloads[path]}}


@answers(*(f"secretmanager.projects.secrets.versions.{verb}" for verb in ("enable", "disable", "destroy")))
def change_version(call: Call) -> Json:
    """Enable, disable, or destroy for good."""
    path = VERSIONS.path(call)
    version = call.state.get(path)
    verb = call.method.id.rpartition(".")[2]
    if version["state"] == "DESTROYED":
        message = f"Secret Version [{path}] is in DESTROYED state."
        raise ApiError(400, "failedPrecondition", message, status="FAILED_PRECONDITION")
    version["state"] = {"enable": "ENABLED", "disable": "DISABLED", "destroy": "DESTROYED"}[verb]
    if verb == "destroy":
        call.state.payloads.pop(path, None)
        version["destroyTime"] = now()
    return _shown(call, version)
