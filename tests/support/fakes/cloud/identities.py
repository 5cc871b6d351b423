"""Projects, their enabled services, and service accounts."""

import re
import time
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import by_id, mark_deleted, project_id

Json = dict[str, Any]
ACCOUNT_ID = re.compile(r"[a-z]([-a-z0-9]{4,28}[a-z0-9])")


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
    call.state.born[path] = time.monotonic()
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
