"""Projects, their enabled services, and service accounts."""

import re
import time
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import by_id, mark_deleted, project_id
from tests.support.fakes.cloud.stored import Stored

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


def _account(call: Call) -> str:
    return by_id(call.state, call.parameters["name"].replace("projects/-/", f"projects/{call.state.settings.project}/"))


def _new_account(call: Call, parent: str) -> tuple[str, Json]:
    account_id, project = call.body.get("accountId", ""), call.state.settings.project
    if not ACCOUNT_ID.fullmatch(account_id):
        message = (
            f'The account ID "{account_id}" does not have a length between 6 and 30 or is not of the form '
            "[a-z]([-a-z0-9]*[a-z0-9])."
        )
        raise ApiError(400, "badRequest", message)
    email = f"{account_id}@{project}.iam.gserviceaccount.com"
    path = f"{parent}/serviceAccounts/{email}"
    given = call.body.get("serviceAccount", {})
    unique_id = call.state.number()
    call.state.born.setdefault(path, time.monotonic())
    account = {**given, "name": path, "projectId": project, "email": email, "uniqueId": unique_id}
    return path, {**account, "oauth2ClientId": unique_id, "etag": fingerprint(given)}


def _taken(path: str) -> ApiError:
    _, project, _, email = path.split("/")
    account_id = email.partition("@")[0]
    message = f"Service account {account_id} already exists within project projects/{project}."
    return ApiError(409, "alreadyExists", message)


def _changed_account(call: Call, account: Json) -> Json:
    """Name and description; this API has the mask in the body."""
    mask = call.body.get("updateMask", "").replace("_", "").lower().split(",")
    changes = call.body.get("serviceAccount", {})
    return {**account, **{key: value for key, value in changes.items() if key.lower() in mask}}


def _leave_traces(call: Call, path: str) -> None:
    """Policies that name a deleted account keep a trace of it."""
    account = call.state.get(path)
    mark_deleted(call.state, account["email"], account["uniqueId"])
    call.state.born.pop(path, None)


ACCOUNTS = Stored(
    service="iam.projects.serviceAccounts",
    create=_new_account,
    absent="Unknown service account: {name}",
    taken=_taken,
    find=_account,
    change=_changed_account,
    gone=_leave_traces,
).register()
