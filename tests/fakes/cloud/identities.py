"""Projects, their enabled services, service accounts and custom roles."""

import re
from typing import Any

from tests.fakes.cloud.call import Call, answers, fingerprint
from tests.fakes.cloud.errors import ApiError
from tests.fakes.cloud.policies import by_id, mark_deleted, project_id

Json = dict[str, Any]
ACCOUNT_ID = re.compile(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])")
ROLE_ID = re.compile(r"[a-zA-Z0-9_.]{3,64}")
PERMISSION = re.compile(r"[a-z]+(\.[a-zA-Z]+){2,}")


@answers("cloudresourcemanager.projects.get")
def get_project(call: Call) -> Json:
    """The project."""
    name = project_id(call.state, call.parameters["projectId"])
    return {
        "projectId": name,
        "projectNumber": call.state.settings.number,
        "name": name,
        "lifecycleState": "ACTIVE",
        "createTime": "2026-01-01T00:00:00.000Z",
    }


def _service(call: Call, name: str) -> Json:
    state = "ENABLED" if name in call.state.settings.services else "DISABLED"
    parent = f"projects/{call.state.settings.number}"
    return {"name": f"{parent}/services/{name}", "parent": parent, "state": state, "config": {"name": name}}


@answers("serviceusage.services.get")
def get_service(call: Call) -> Json:
    """Whether an API is enabled."""
    return _service(call, by_id(call.state, call.parameters["name"]).rpartition("/")[2])


@answers("serviceusage.services.list")
def list_services(call: Call) -> Json:
    """The enabled APIs, which is what everybody asks for."""
    project_id(call.state, call.parameters["parent"].rpartition("/")[2])
    return {"services": [_service(call, name) for name in sorted(call.state.settings.services)]}


@answers("serviceusage.services.enable")
def enable_service(call: Call) -> Json:
    """Enable an API at once."""
    name = by_id(call.state, call.parameters["name"]).rpartition("/")[2]
    call.state.settings.services.add(name)
    return {
        "name": f"operations/acat.{call.state.number()}",
        "done": True,
        "response": {"service": _service(call, name)},
    }


def _account_path(call: Call) -> str:
    path = call.parameters["name"].replace("projects/-/", f"projects/{call.state.settings.project}/")
    path = by_id(call.state, path)
    if path not in call.state.resources:
        raise ApiError(404, "notFound", f"Unknown service account: {path.rpartition('/')[2]}")
    return path


@answers("iam.projects.serviceAccounts.create")
def create_account(call: Call) -> Json:
    """A service account."""
    project = project_id(call.state, call.parameters["name"].rpartition("/")[2])
    account_id = call.body.get("accountId", "")
    if not ACCOUNT_ID.fullmatch(account_id):
        message = (
            f'The account ID "{account_id}" does not have a length between 6 and 30 or is not of the form '
            "[a-z]([-a-z0-9]*[a-z0-9])."
        )
        raise ApiError(400, "badRequest", message)
    email = f"{account_id}@{project}.iam.gserviceaccount.com"
    path = f"projects/{project}/serviceAccounts/{email}"
    if path in call.state.resources:
        raise ApiError(
            409, "alreadyExists", f"Service account {account_id} already exists within project projects/{project}."
        )
    given = call.body.get("serviceAccount", {})
    unique_id = call.state.number()
    account = {**given, "name": path, "projectId": project, "email": email, "uniqueId": unique_id}
    return dict(call.state.add(path, {**account, "oauth2ClientId": unique_id, "etag": fingerprint(given)}))


@answers("iam.projects.serviceAccounts.get")
def get_account(call: Call) -> Json:
    """A service account."""
    return dict(call.state.get(_account_path(call)))


@answers("iam.projects.serviceAccounts.list")
def list_accounts(call: Call) -> Json:
    """All service accounts of the project."""
    project = project_id(call.state, call.parameters["name"].rpartition("/")[2])
    return {"accounts": [one for _, one in call.state.under(f"projects/{project}", "serviceAccounts")]}


@answers("iam.projects.serviceAccounts.patch")
def patch_account(call: Call) -> Json:
    """Change name and description."""
    account = call.state.get(_account_path(call))
    mask = call.body.get("updateMask", "").replace("_", "").lower().split(",")
    changes = call.body.get("serviceAccount", {})
    account.update({key: value for key, value in changes.items() if key.lower() in mask})
    return dict(account)


@answers("iam.projects.serviceAccounts.delete")
def delete_account(call: Call) -> Json:
    """Delete; policies that name it keep a trace."""
    path = _account_path(call)
    account = call.state.get(path)
    mark_deleted(call.state, account["email"], account["uniqueId"])
    call.state.remove(path)
    return {}


def _check_role(role: Json) -> None:
    for permission in role.get("includedPermissions", []):
        if not PERMISSION.fullmatch(permission):
            raise ApiError(400, "badRequest", f"Permission {permission} is not valid.")


def _role_path(call: Call) -> str:
    path = by_id(call.state, call.parameters["name"])
    if path not in call.state.resources:
        raise ApiError(404, "notFound", f"The role named {path} was not found.")
    return path


@answers("iam.projects.roles.create")
def create_role(call: Call) -> Json:
    """A custom role; the id of a deleted one stays taken for weeks."""
    project = project_id(call.state, call.parameters["parent"].rpartition("/")[2])
    role_id = call.body.get("roleId", "")
    if not ROLE_ID.fullmatch(role_id):
        raise ApiError(400, "badRequest", f"The role_id {role_id} must match [a-zA-Z0-9_.]{{3,64}}.")
    _check_role(call.body.get("role", {}))
    path = f"projects/{project}/roles/{role_id}"
    if path in call.state.resources:
        raise ApiError(409, "alreadyExists", f"A role named {role_id} in projects/{project} already exists.")
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
    roles = [one for _, one in call.state.under(f"projects/{project}", "roles")]
    return {"roles": [one for one in roles if with_deleted or not one.get("deleted")]}


@answers("iam.projects.roles.patch")
def patch_role(call: Call) -> Json:
    """Change a role that is not deleted."""
    role = call.state.get(_role_path(call))
    if role.get("deleted"):
        raise ApiError(400, "failedPrecondition", "You can't update a deleted role.", status="FAILED_PRECONDITION")
    _check_role(call.body)
    mask = call.parameters.get("updateMask", "").split(",")
    changes = {key: value for key, value in call.body.items() if mask == [""] or key in mask}
    role.update({**changes, "etag": fingerprint(changes)})
    return dict(role)


@answers("iam.projects.roles.delete")
def delete_role(call: Call) -> Json:
    """Mark as deleted."""
    role = call.state.get(_role_path(call))
    role["deleted"] = True
    return dict(role)


@answers("iam.projects.roles.undelete")
def undelete_role(call: Call) -> Json:
    """Bring back."""
    role = call.state.get(_role_path(call))
    role.pop("deleted", None)
    return dict(role)
