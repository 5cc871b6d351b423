"""Alert policies, notification channels, and budgets."""

import uuid
from typing import Any

from tests.support.fakes.cloud.call import Call, answers, fingerprint
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import by_id, project_id
from tests.support.fakes.cloud.state import now

Json = dict[str, Any]
COLLECTIONS = ("alertPolicies", "notificationChannels")


def _collection(call: Call) -> str:
    return call.method.id.split(".")[2]


def _path(call: Call) -> str:
    path = by_id(call.state, call.parameters["name"])
    if path not in call.state.resources:
        raise ApiError(404, "notFound", f"The resource {path} was not found.")
    return path


def _check_channel(channel: Json) -> None:
    needed = {"email": "email_address", "slack": "channel_name", "webhook_tokenauth": "url", "pubsub": "topic"}
    kind = channel.get("type", "")
    if kind not in needed:
        raise ApiError(400, "badRequest", f'Field type had an invalid value of "{kind}": Unknown channel type.')
    if needed[kind] not in channel.get("labels", {}):
        raise ApiError(400, "badRequest", f"Field labels had an invalid value: '{needed[kind]}' is required.")


def _check_policy(call: Call, policy: Json) -> None:
    for name in ("displayName", "conditions", "combiner"):
        if not policy.get(name):
            raise ApiError(400, "badRequest", f"Field alert_policy.{name} is required.")
    for condition in policy["conditions"]:
        kinds = [key for key in condition if key.startswith("condition")]
        if len(kinds) != 1:
            raise ApiError(
                400, "badRequest", "Field alert_policy.conditions[0] must have exactly one kind of condition."
            )
        if kinds[0] in ("conditionThreshold", "conditionAbsent") and not condition[kinds[0]].get("filter"):
            raise ApiError(400, "badRequest", f"Field alert_policy.conditions[0].{kinds[0]}.filter is required.")
    for channel in policy.get("notificationChannels", []):
        if by_id(call.state, channel) not in call.state.resources:
            raise ApiError(400, "badRequest", f"Notification channel {channel} does not exist.")


def _check(call: Call, body: Json) -> None:
    if _collection(call) == "alertPolicies":
        _check_policy(call, body)
    else:
        _check_channel(body)


@answers(*(f"monitoring.projects.{name}.create" for name in COLLECTIONS))
def create(call: Call) -> Json:
    """A policy or a channel, with a name that the service chooses."""
    project = project_id(call.state, call.parameters["name"].rpartition("/")[2])
    _check(call, call.body)
    path = f"projects/{project}/{_collection(call)}/{call.state.number()}"
    body = {"enabled": True, **call.body, "name": path, "creationRecord": {"mutateTime": now(), "mutatedBy": "someone"}}
    for index, condition in enumerate(body.get("conditions", [])):
        body["conditions"][index] = {**condition, "name": f"{path}/conditions/{call.state.number()}"}
    return dict(call.state.add(path, body))


@answers(*(f"monitoring.projects.{name}.get" for name in COLLECTIONS))
def get(call: Call) -> Json:
    """A policy or a channel."""
    return dict(call.state.get(_path(call)))


@answers(*(f"monitoring.projects.{name}.list" for name in COLLECTIONS))
def list_all(call: Call) -> Json:
    """All policies or channels of the project."""
    project = project_id(call.state, call.parameters["name"].rpartition("/")[2])
    found = [one for _, one in call.state.under(f"projects/{project}", _collection(call))]
    return {_collection(call): found, "totalSize": len(found)}


@answers(*(f"monitoring.projects.{name}.patch" for name in COLLECTIONS))
def patch(call: Call) -> Json:
    """Change what the mask names, or everything."""
    path = _path(call)
    found = call.state.get(path)
    mask = [name for name in call.parameters.get("updateMask", "").split(",") if name]
    for key in mask or call.body:
        top = key.partition(".")[0]
        if top in call.body:
            found[top] = call.body[top]
        else:
            found.pop(top, None)
    _check(call, found)
    return dict(found)


@answers(*(f"monitoring.projects.{name}.delete" for name in COLLECTIONS))
def delete(call: Call) -> Json:
    """Delete; a channel in use only by force."""
    path = _path(call)
    forced = call.parameters.get("force", "false").lower() == "true"
    for user, one in call.state.under(f"projects/{call.state.settings.project}", "alertPolicies"):
        if path in one.get("notificationChannels", []) and not forced:
            message = f"Cannot delete notification channel {path}: it is used by {user}."
            raise ApiError(400, "failedPrecondition", message, status="FAILED_PRECONDITION")
    call.state.remove(path)
    return {}


def _account(call: Call, name: str) -> str:
    if name.split("/")[1] not in call.state.settings.billing_accounts:
        raise ApiError(403, "forbidden", "The caller does not have permission")
    return name


def _budget_path(call: Call) -> str:
    path = _account(call, call.parameters["name"])
    if path not in call.state.resources:
        raise ApiError(404, "notFound", "Requested entity was not found.")
    return path


def _stored_budget(call: Call, body: Json) -> Json:
    """Projects in filters come back by number."""
    numbered = dict(body.get("budgetFilter", {}))
    if "projects" in numbered:
        names = [project_id(call.state, one.rpartition("/")[2]) for one in numbered["projects"]]
        numbered["projects"] = [f"projects/{call.state.settings.number}" for _ in names]
    defaults = {"creditTypesTreatment": "INCLUDE_ALL_CREDITS", "calendarPeriod": "MONTH"}
    return {**body, "budgetFilter": {**defaults, **numbered}, "etag": fingerprint(body)}


@answers("billingbudgets.billingAccounts.budgets.create")
def create_budget(call: Call) -> Json:
    """A budget."""
    parent = _account(call, call.parameters["parent"])
    if len(call.body.get("amount", {})) != 1:
        raise ApiError(400, "badRequest", "Budget amount must be either specified or that of the last period.")
    path = f"{parent}/budgets/{uuid.UUID(int=int(call.state.number()))}"
    return dict(call.state.add(path, {**_stored_budget(call, call.body), "name": path}))


@answers("billingbudgets.billingAccounts.budgets.get")
def get_budget(call: Call) -> Json:
    """A budget."""
    return dict(call.state.get(_budget_path(call)))


@answers("billingbudgets.billingAccounts.budgets.list")
def list_budgets(call: Call) -> Json:
    """All budgets of the account."""
    parent = _account(call, call.parameters["parent"])
    return {"budgets": [one for _, one in call.state.under(parent, "budgets")]}


@answers("billingbudgets.billingAccounts.budgets.patch")
def patch_budget(call: Call) -> Json:
    """Change the given fields."""
    budget = call.state.get(_budget_path(call))
    budget.update(_stored_budget(call, {**budget, **call.body}))
    return dict(budget)


@answers("billingbudgets.billingAccounts.budgets.delete")
def delete_budget(call: Call) -> Json:
    """Delete."""
    call.state.remove(_budget_path(call))
    return {}
