"""Custom roles, and how long the id of a deleted one stays taken.

"Create and manage custom roles" (IAM documentation): a deleted role can be undeleted for 7 days; then its removal takes
30 days more, and until 37 days have passed no role of that id can be made. What the API says meanwhile was read in
public reports: `roles.get` and `roles.undelete` answer 404 after the 7 days (so Google's provider, which asks first
and undeletes what it finds deleted, goes on to create), and `roles.create` answers 400 FAILED_PRECONDITION, reason
failedPrecondition (terraform-google-bastion-host #14, gke-autoneg-controller #71, azul #4390).
"""

import re
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import by_id, project_id

Json = dict[str, Any]
ROLE_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
PERMISSION = re.compile(r"[a-z]+(\.[a-zA-Z]+){2,}")
UNDELETABLE_DAYS, RESERVED_DAYS = 7, 37


def _refused(message: str) -> ApiError:
    return ApiError(400, "failedPrecondition", message, status="FAILED_PRECONDITION")


def _check_role(role: Json) -> None:
    for permission in role.get("includedPermissions", []):
        if not PERMISSION.fullmatch(permission):
            raise ApiError(400, "badRequest", f"Permission {permission} is not valid.")


def _forget(call: Call, path: str) -> None:
    """Let what was deleted long enough go, with the bindings of it."""
    days = call.state.days_since_deletion(path)
    if days is None or days < UNDELETABLE_DAYS:
        return
    call.state.remove(path)
    for policy in call.state.policies.values():
        policy["bindings"] = [one for one in policy["bindings"] if one["role"] != path]


def _role_path(call: Call) -> str:
    path = by_id(call.state, call.parameters["name"])
    _forget(call, path)
    if path not in call.state.resources:
        raise ApiError(404, "notFound", f"The role named {path} was not found.")
    return path


@answers("iam.projects.roles.create")
def create_role(call: Call) -> Json:
    """A custom role, unless its id is, or was lately, another's."""
    project = project_id(call.state, call.parameters["parent"].rpartition("/")[2])
    role_id = call.body.get("roleId", "")
    if not ROLE_ID.fullmatch(role_id):
        raise ApiError(400, "badRequest", f"The role_id {role_id} must match [a-zA-Z0-9_.]{{3,64}}.")
    _check_role(call.body.get("role", {}))
    path = f"projects/{project}/roles/{role_id}"
    _forget(call, path)
    days = call.state.days_since_deletion(path)
    if days is not None and days < RESERVED_DAYS:
        raise _refused(f"You can't create a role_id ({role_id}) which has been marked for deletion.")
    if path in call.state.resources:
        raise ApiError(409, "alreadyExists", f"A role named {role_id} in projects/{project} already exists.")
    call.state.deletions.pop(path, None)
    role = {"stage": "ALPHA", **call.body.get("role", {}), "name": path}
    return dict(call.state.add(path, {**role, "etag": fingerprint(role)}))


@answers("iam.projects.roles.get")
def get_role(call: Call) -> Json:
    """A custom role, deleted or not."""
    return dict(call.state.get(_role_path(call)))


@answers("iam.projects.roles.list")
def list_roles(call: Call) -> Json:
    """The project's roles; deleted ones on request, permissions in the full view only."""
    project = project_id(call.state, call.parameters["parent"].rpartition("/")[2])
    with_deleted = call.parameters.get("showDeleted", "false").lower() == "true"
    for path, _ in list(call.state.under(f"projects/{project}", "roles")):
        _forget(call, path)
    roles = [one for _, one in call.state.under(f"projects/{project}", "roles")]
    return {"roles": [one for one in roles if with_deleted or not one.get("deleted")]}


@answers("iam.projects.roles.patch")
def patch_role(call: Call) -> Json:
    """Change a role that is not deleted."""
    role = call.state.get(_role_path(call))
    if role.get("deleted"):
        raise _refused("You can't update a deleted role.")
    _check_role(call.body)
    mask = call.parameters.get("updateMask", "").split(",")
    changes = {key: value for key, value in call.body.items() if mask == [""] or key in mask}
    role.update({**changes, "etag": fingerprint(changes)})
    return dict(role)


@answers("iam.projects.roles.delete")
def delete_role(call: Call) -> Json:
    """Mark as deleted."""
    path = _role_path(call)
    role = call.state.get(path)
    role["deleted"] = True
    call.state.deletions.setdefault(path, call.state.clock())
    return dict(role)


@answers("iam.projects.roles.undelete")
def undelete_role(call: Call) -> Json:
    """Bring back."""
    path = _role_path(call)
    role = call.state.get(path)
    role.pop("deleted", None)
    call.state.deletions.pop(path, None)
    return dict(role)
