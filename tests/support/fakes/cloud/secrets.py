"""Secret Manager. Payloads are kept apart: the state that tests look at shows only how long they are."""

import base64
import binascii
import re
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.encryption import check_secret_keys
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import by_id, project_id
from tests.support.fakes.cloud.state import now

Json = dict[str, Any]
SECRET_ID = re.compile(r"[a-zA-Z0-9_-]{1,255}")
PAYLOAD_BYTES = 65_536


def _shown(call: Call, resource: Json) -> Json:
    """Answers name the project by its number."""
    settings = call.state.settings
    name = resource["name"].replace(f"projects/{settings.project}/", f"projects/{settings.number}/", 1)
    return {**resource, "name": name}


def _path(call: Call, parameter: str = "name") -> str:
    path = by_id(call.state, call.parameters[parameter])
    if path.endswith("/versions/latest"):
        secret = path.removesuffix("/versions/latest")
        found = [path for path, one in call.state.under(secret, "versions") if one["state"] == "ENABLED"]
        path = max(found, key=lambda one: int(one.rpartition("/")[2]), default=path)
    if path not in call.state.resources:
        noun = "Secret Version" if "/versions/" in path else "Secret"
        raise ApiError(404, "notFound", f"{noun} [{path}] not found.")
    return path


@answers("secretmanager.projects.secrets.create")
def create_secret(call: Call) -> Json:
    """An empty secret."""
    project = project_id(call.state, call.parameters["parent"].rpartition("/")[2])
    secret_id = call.parameters.get("secretId", "")
    if not SECRET_ID.fullmatch(secret_id):
        raise ApiError(400, "badRequest", f"Invalid secret id '{secret_id}': must match [a-zA-Z0-9_-]{{1,255}}.")
    if len(call.body.get("replication", {})) != 1:
        raise ApiError(400, "badRequest", "The replication policy of the secret must be set.")
    check_secret_keys(call.state, call.body["replication"])
    path = f"projects/{project}/secrets/{secret_id}"
    if path in call.state.resources:
        raise ApiError(409, "alreadyExists", f"Secret [{path}] already exists.")
    secret = {**call.body, "name": path, "createTime": now(), "etag": fingerprint(call.body)}
    return _shown(call, call.state.add(path, secret))


@answers("secretmanager.projects.secrets.get", "secretmanager.projects.secrets.versions.get")
def get_secret(call: Call) -> Json:
    """A secret or a version of one, without its payload."""
    return _shown(call, call.state.get(_path(call)))


@answers("secretmanager.projects.secrets.list")
def list_secrets(call: Call) -> Json:
    """All secrets of the project."""
    project = project_id(call.state, call.parameters["parent"].rpartition("/")[2])
    found = [_shown(call, one) for _, one in call.state.under(f"projects/{project}", "secrets")]
    return {"secrets": found, "totalSize": len(found)}


@answers("secretmanager.projects.secrets.patch")
def patch_secret(call: Call) -> Json:
    """Change what the mask names."""
    secret = call.state.get(_path(call))
    for name in call.parameters.get("updateMask", "").split(","):
        key = re.sub(r"_(\w)", lambda found: found[1].upper(), name)
        if key in call.body:
            secret[key] = call.body[key]
        else:
            secret.pop(key, None)
    return _shown(call, secret)


@answers("secretmanager.projects.secrets.delete")
def delete_secret(call: Call) -> Json:
    """Delete a secret with all versions."""
    path = _path(call)
    for version, _ in list(call.state.under(path, "versions")):
        call.state.remove(version)
        call.state.payloads.pop(version, None)
    call.state.remove(path)
    return {}


@answers("secretmanager.projects.secrets.addVersion")
def add_version(call: Call) -> Json:
    """A new version with a payload."""
    secret = _path(call, "parent")
    data = call.body.get("payload", {}).get("data", "")
    try:
        size = len(base64.b64decode(data, validate=True))
    except binascii.Error:
        raise ApiError(
            400, "badRequest", "Invalid value at 'payload.data' (TYPE_BYTES), Base64 decoding failed"
        ) from None
    if not 0 < size <= PAYLOAD_BYTES:
        raise ApiError(400, "badRequest", "The secret's payload must have between 1 and 65536 bytes.")
    number = sum(1 for _ in call.state.under(secret, "versions")) + 1
    path = f"{secret}/versions/{number}"
    call.state.payloads[path] = data
    version = {"name": path, "createTime": now(), "state": "ENABLED", "etag": fingerprint(path)}
    return _shown(call, call.state.add(path, version))


@answers("secretmanager.projects.secrets.versions.list")
def list_versions(call: Call) -> Json:
    """All versions of a secret."""
    found = [_shown(call, one) for _, one in call.state.under(_path(call, "parent"), "versions")]
    return {"versions": found, "totalSize": len(found)}


@answers("secretmanager.projects.secrets.versions.access")
def access_version(call: Call) -> Json:
    """The payload of an enabled version."""
    path = _path(call)
    version = call.state.get(path)
    if version["state"] != "ENABLED":
        message = f"Secret Version [{path}] is in {version['state']} state."
        raise ApiError(400, "failedPrecondition", message, status="FAILED_PRECONDITION")
    return {"name": _shown(call, version)["name"], "payload": {"data": call.state.payloads[path]}}


@answers(*(f"secretmanager.projects.secrets.versions.{verb}" for verb in ("enable", "disable", "destroy")))
def change_version(call: Call) -> Json:
    """Enable, disable, or destroy for good."""
    path = _path(call)
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
