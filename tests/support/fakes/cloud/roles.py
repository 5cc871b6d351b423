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
from tests.support.fakes.cloud.policies import by_id
from tests.support.fakes.cloud.stored import Stored, masked

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


def _role(call: Call) -> str:
    path = by_id(call.state, call.parameters["name"])
    _forget(call, path)
    return path


def _new_role(call: Call, parent: str) -> tuple[str, Json]:
    """A custom role, unless its id is, or was lately, another's."""
    role_id, role = call.body.get("roleId", ""), call.body.get("role", {})
    if not ROLE_ID.fullmatch(role_id):
        raise ApiError(400, "badRequest", f"The role_id {role_id} must match [a-zA-Z0-9_.]{{3,64}}.")
    _check_role(role)
    path = f"{parent}/roles/{role_id}"
    _forget(call, path)
    days = call.state.days_since_deletion(path)
    if days is not None and days < RESERVED_DAYS:
        raise _refused(f"You can't create a role_id ({role_id}) which has been marked for deletion.")
    call.state.deletions.pop(path, None)
    role = {"stage": "ALPHA", **role, "name": path}
    return path, {**role, "etag": fingerprint(role)}


def _taken(path: str) -> ApiError:
    parent, _, role_id = path.partition("/roles/")
    return ApiError(409, "alreadyExists", f"A role named {role_id} in {parent} already exists.")


def _is_listed(call: Call, role: Json) -> bool:
    """Deleted ones on request, for as long as they can be brought back."""
    _forget(call, role["name"])
    is_wanted = call.parameters.get("showDeleted", "false").lower() == "true" or not role.get("deleted")
    return is_wanted and role["name"] in call.state.resources


def _changed_role(call: Call, role: Json) -> Json:
    if role.get("deleted"):
        raise _refused("You can't update a deleted role.")
    _check_role(call.body)
    return {**masked(call, role), "etag": fingerprint(call.body)}


@answers("iam.projects.roles.delete")
def delete_role(call: Call) -> Json:
    """Mark as deleted."""
    path = ROLES.path(call)
    role = call.state.get(path)
    role["deleted"] = True
    call.state.deletions.setdefault(path, call.state.clock())
    return dict(role)


@answers("iam.projects.roles.undelete")
def undelete_role(call: Call) -> Json:
    """Bring back."""
    path = ROLES.path(call)
    role = call.state.get(path)
    role.pop("deleted", None)
    call.state.deletions.pop(path, None)
    return dict(role)


ROLES = Stored(
    service="iam.projects.roles",
    create=_new_role,
    absent="The role named {path} was not found.",
    taken=_taken,
    find=_role,
    listed=_is_listed,
    change=_changed_role,
).register()
