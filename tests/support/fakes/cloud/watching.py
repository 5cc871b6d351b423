"""Alert policies, notification channels, and budgets."""

import uuid
from collections.abc import Callable
from typing import Any

from tests.support.fakes.cloud.call import Call, fingerprint
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.policies import by_id, project_id
from tests.support.fakes.cloud.state import now
from tests.support.fakes.cloud.stored import Stored, masked

Json = dict[str, Any]


def _check_channel(call: Call, channel: Json) -> None:
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


Check = Callable[[Call, Json], None]


def _numbered(collection: str, check: Check) -> Callable[[Call, str], tuple[str, Json]]:
    """Make one with a name that the service chooses."""

    def create(call: Call, parent: str) -> tuple[str, Json]:
        check(call, call.body)
        path = f"{parent}/{collection}/{call.state.number()}"
        record = {"mutateTime": now(), "mutatedBy": "someone"}
        body = {"enabled": True, **call.body, "name": path, "creationRecord": record}
        for index, condition in enumerate(body.get("conditions", [])):
            body["conditions"][index] = {**condition, "name": f"{path}/conditions/{call.state.number()}"}
        return path, body

    return create


def _checked(check: Check) -> Callable[[Call, Json], Json]:
    def change(call: Call, resource: Json) -> Json:
        changed = masked(call, resource)
        check(call, changed)
        return changed

    return change


def _unused(call: Call, path: str) -> None:
    """A channel in use is deleted only by force."""
    forced = call.parameters.get("force", "false").lower() == "true"
    for user, one in call.state.under(f"projects/{call.state.settings.project}", "alertPolicies"):
        if path in one.get("notificationChannels", []) and not forced:
            message = f"Cannot delete notification channel {path}: it is used by {user}."
            raise ApiError(400, "failedPrecondition", message, status="FAILED_PRECONDITION")


for _name, _check in (("alertPolicies", _check_policy), ("notificationChannels", _check_channel)):
    Stored(
        service=f"monitoring.projects.{_name}",
        create=_numbered(_name, _check),
        has_size=True,
        change=_checked(_check),
        gone=_unused,
    ).register()


def _of_account(call: Call, name: str) -> str:
    if name.split("/")[1] not in call.state.settings.billing_accounts:
        raise ApiError(403, "forbidden", "The caller does not have permission")
    return name


def _stored_budget(call: Call, body: Json) -> Json:
    """Projects in filters come back by number."""
    numbered = dict(body.get("budgetFilter", {}))
    if "projects" in numbered:
        names = [project_id(call.state, one.rpartition("/")[2]) for one in numbered["projects"]]
        numbered["projects"] = [f"projects/{call.state.settings.number}" for _ in names]
    defaults = {"creditTypesTreatment": "INCLUDE_ALL_CREDITS", "calendarPeriod": "MONTH"}
    return {**body, "budgetFilter": {**defaults, **numbered}, "etag": fingerprint(body)}


def _new_budget(call: Call, parent: str) -> tuple[str, Json]:
    if len(call.body.get("amount", {})) != 1:
        raise ApiError(400, "badRequest", "Budget amount must be either specified or that of the last period.")
    path = f"{parent}/budgets/{uuid.UUID(int=int(call.state.number()))}"
    return path, {**_stored_budget(call, call.body), "name": path}


BUDGETS = Stored(
    service="billingbudgets.billingAccounts.budgets",
    create=_new_budget,
    absent="Requested entity was not found.",
    find=lambda call: _of_account(call, call.parameters["name"]),
    parent=lambda call: _of_account(call, call.parameters["parent"]),
    change=lambda call, budget: _stored_budget(call, {**budget, **call.body}),
).register()
