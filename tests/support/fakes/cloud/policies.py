"""IAM policies of everything that has one, with etags: who read an old policy cannot write over a newer one."""

import re
import time
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint, same_bytes
from tests.support.fakes.cloud.errors import ApiError, not_found
from tests.support.fakes.cloud.state import State

Json = dict[str, Any]
MEMBER = re.compile(
    r"allUsers|allAuthenticatedUsers|(user|group|serviceAccount|domain|principal|principalSet|deleted):.+"
)
ROLE = re.compile(r"roles/[a-zA-Z]+(\.[a-zA-Z]+)*|(projects|organizations)/[^/]+/roles/[^/]+")


def project_id(state: State, name: str) -> str:
    """A project by its id or its number; any other does not exist, which Google does not tell from not allowed."""
    if name not in (state.settings.project, state.settings.number):
        message = f"Permission denied on resource project {name}."
        raise ApiError(403, "forbidden", message)
    return state.settings.project


def by_id(state: State, path: str) -> str:
    """A resource name with the project's id, whichever of the two it was written with."""
    parts = path.split("/")
    return "/".join([parts[0], project_id(state, parts[1]), *parts[2:]]) if parts[0] == "projects" else path


def _target(call: Call) -> str:
    """The path whose policy a call means."""
    names = call.parameters
    if call.method.id.startswith("cloudresourcemanager."):
        return f"projects/{project_id(call.state, names['resource'])}"
    if call.method.id.startswith("storage."):
        path = f"b/{names['bucket']}"
    elif call.method.id.startswith("compute."):
        path = f"{call.parent}/instances/{names['resource']}"
    else:
        path = by_id(call.state, names["resource"])
    if path not in call.state.resources:
        raise not_found(path)
    return path


def _policy(call: Call, path: str) -> Json:
    found = call.state.policies.get(path, {"version": 1, "bindings": []})
    return {**found, "etag": fingerprint(found)}


def _check(call: Call, policy: Json) -> None:
    for binding in policy.get("bindings", []):
        role = binding.get("role", "")
        if not ROLE.fullmatch(role):
            raise ApiError(400, "badRequest", f"Role {role} is not supported for this resource.")
        if role.startswith("projects/") and call.state.resources.get(role, {"deleted": True}).get("deleted"):
            raise ApiError(400, "badRequest", f"Role {role} does not exist in the resource's hierarchy.")
        if "condition" in binding and policy.get("version") != 3:
            raise ApiError(400, "badRequest", "Specified policy version does not support conditions.")
        for member in binding.get("members", []):
            _check_member(call, member)


def _check_member(call: Call, member: str) -> None:
    if not MEMBER.fullmatch(member):
        raise ApiError(400, "badRequest", f"Invalid member: {member}.")
    email = member.removeprefix("serviceAccount:")
    suffix = f"@{call.state.settings.project}.iam.gserviceaccount.com"
    path = f"projects/{call.state.settings.project}/serviceAccounts/{email}"
    if email != member and email.endswith(suffix) and not _is_known(call.state, path):
        raise ApiError(400, "badRequest", f"Service account {email} does not exist.")


def _is_known(state: State, path: str) -> bool:
    """IAM learns of a new account late ("IAM overview", consistency); the provider waits ten seconds after it made one
    (resource_google_service_account.go) and does not try again when that was not enough (iam.go).
    """
    return path in state.resources and time.monotonic() >= state.born.get(path, 0.0) + state.settings.iam_delay_s


def concurrent_change() -> ApiError:
    """Somebody else wrote first (the sentence: leonardo #737)."""
    message = "There were concurrent policy changes. Please retry the whole read-modify-write with exponential backoff."
    return ApiError(409, "aborted", message, status="ABORTED")


@answers(
    "cloudresourcemanager.projects.getIamPolicy",
    "compute.instances.getIamPolicy",
    "iam.projects.serviceAccounts.getIamPolicy",
    "secretmanager.projects.secrets.getIamPolicy",
    "storage.buckets.getIamPolicy",
)
def get_policy(call: Call) -> Json:
    """Who may do what."""
    return _policy(call, _target(call))


@answers(
    "cloudresourcemanager.projects.setIamPolicy",
    "compute.instances.setIamPolicy",
    "iam.projects.serviceAccounts.setIamPolicy",
    "secretmanager.projects.secrets.setIamPolicy",
    "storage.buckets.setIamPolicy",
)
def set_policy(call: Call) -> Json:
    """Replace all bindings, if nobody else did since they were read."""
    path = _target(call)
    wanted = dict(call.body if call.method.id.startswith("storage.") else call.body.get("policy", {}))
    etag = wanted.pop("etag", None)
    if etag is not None and not same_bytes(etag, _policy(call, path)["etag"]):
        raise concurrent_change()
    _check(call, wanted)
    bindings = [binding for binding in wanted.get("bindings", []) if binding.get("members")]
    call.state.policies[path] = {"version": wanted.get("version", 1), "bindings": bindings}
    return _policy(call, path)


def mark_deleted(state: State, email: str, unique_id: str) -> None:
    """What Google leaves in policies when an account goes: `deleted:` in front of it, for thirty days."""
    member = f"serviceAccount:{email}"
    for policy in state.policies.values():
        for binding in policy["bindings"]:
            if member in binding["members"]:
                binding["members"].remove(member)
                binding["members"].append(f"deleted:{member}?uid={unique_id}")
