"""Who calls: by the token that came, for itself or as a service account, with a quota project or without; and what
the caller may do.

A call without a token, or with one that nobody issued, is `Settings.caller`'s. `Settings.tokens` says whose the others
are, `Settings.holds` which permissions somebody has who has not all of them.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.support.fakes.cloud.call import Call, answers
from tests.support.fakes.cloud.errors import ApiError, permission_denied
from tests.support.fakes.cloud.permissions import needed
from tests.support.fakes.cloud.policies import project_id

Json = dict[str, Any]
BEARER = re.compile(r"[Bb]earer (.+)")
CREATOR = "roles/iam.serviceAccountTokenCreator"
GCLOUDS_OWN_PROJECT = "764086051850"
"""On which a person's calls count that name no other: the one that gcloud's login belongs to (pulumi-gcp #2896)."""

NEED_QUOTA_PROJECT = frozenset({"billingbudgets.googleapis.com"})
"""Services of ours that are no part of a project, so that they cannot tell on which to count ("Troubleshoot your ADC
setup", Google's documentation)."""


def caller(call: Call) -> str:
    """The caller's e-mail address."""
    found = BEARER.fullmatch(call.headers.get("authorization", ""))
    settings = call.state.settings
    return settings.tokens.get(found[1], settings.caller) if found else settings.caller


def is_person(email: str) -> bool:
    """Whether it is a user account; the owner of this cloud's tests counts as a service account."""
    return bool(email) and not email.endswith("gserviceaccount.com")


def missing(call: Call, asked: Iterable[str]) -> list[str]:
    """Those of the asked permissions that the caller does not have."""
    held = call.state.settings.holds.get(caller(call))
    return [] if held is None else sorted(set(asked) - held)


def check_permissions(call: Call) -> None:
    """Refuse who lacks a permission that the call needs."""
    for permission in missing(call, needed(call)):
        raise permission_denied(permission, f"projects/{call.state.settings.project}")


def check_quota_project(call: Call) -> None:
    """A person's calls must count on some project (the sentence and its details: pulumi-gcp #2896)."""
    service = call.method.service
    if service not in NEED_QUOTA_PROJECT or not is_person(caller(call)) or call.headers.get("x-goog-user-project"):
        return
    message = (
        f"Your application is authenticating by using local Application Default Credentials. The {service} API "
        "requires a quota project, which is not set by default. To learn how to set your quota project, see "
        "https://cloud.google.com/docs/authentication/adc-troubleshooting/user-creds ."
    )
    info = {
        "@type": "type.googleapis.com/google.rpc.ErrorInfo",
        "reason": "SERVICE_DISABLED",
        "domain": "googleapis.com",
        "metadata": {"service": service, "consumer": f"projects/{GCLOUDS_OWN_PROJECT}"},
    }
    raise ApiError(403, "forbidden", message, details=[info])


@answers("iamcredentials.projects.serviceAccounts.generateAccessToken")
def generate_token(call: Call) -> Json:
    """A token of a service account for who may create one; being the project's owner is not enough for that.

    The sentence, also for an account that is not there: google-github-actions/auth #340, stratus-red-team #299.
    """
    email, project = call.parameters["name"].rpartition("/")[2], call.state.settings.project
    path = f"projects/{project}/serviceAccounts/{email}"
    kind = "user" if is_person(caller(call)) else "serviceAccount"
    member = f"{kind}:{caller(call)}"
    policies = (call.state.policies.get(where, {}) for where in (path, f"projects/{project}"))
    bindings = [one for policy in policies for one in policy.get("bindings", []) if one["role"] == CREATOR]
    if path not in call.state.resources or not any(member in one["members"] for one in bindings):
        permission = "iam.serviceAccounts.getAccessToken"
        info = {
            "@type": "type.googleapis.com/google.rpc.ErrorInfo",
            "reason": "IAM_PERMISSION_DENIED",
            "domain": "iam.googleapis.com",
            "metadata": {"permission": permission},
        }
        message = f"Permission '{permission}' denied on resource (or it may not exist)."
        raise ApiError(403, "forbidden", message, details=[info])
    token = f"token-{call.state.number()}"
    call.state.settings.tokens[token] = email
    expires = datetime.now(UTC) + timedelta(hours=1)
    return {"accessToken": token, "expireTime": expires.strftime("%Y-%m-%dT%H:%M:%SZ")}


@answers("cloudresourcemanager.projects.testIamPermissions")
def permitted(call: Call) -> Json:
    """Those of the asked permissions that the caller has; a billing account's are not a project's to ask for (NV)."""
    project_id(call.state, call.parameters["resource"])
    asked = call.body.get("permissions", [])
    for permission in asked:
        if not re.fullmatch(r"[a-z]+(\.[a-zA-Z]+){2}", permission) or permission.startswith("billing."):
            raise ApiError(400, "badRequest", f"Permission {permission} is not valid for this resource.")
    having = [permission for permission in asked if permission not in missing(call, asked)]
    return {"permissions": having} if having else {}
