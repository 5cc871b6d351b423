"""Ask Google which of the needed permissions the two accounts have. gcloud has no command for that; its token has.

`projects.testIamPermissions` needs no permission itself, and says nothing of what is granted on single resources, such
as the use of another project's subnet.
"""

import json
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from build.check import Check
from build.cloud.credentials import Surroundings, find_credentials
from build.cloud.gcloud import ENVIRONMENT, Gcloud, GcloudError, gcloud_command, in_parallel
from build.cloud.login import are_disabled, surroundings
from build.cloud.permissions import FAB, PULUMI, Need, permissions_of, roles_for
from build.cloud.subject import Subject
from build.errors import DeployError
from deployment.errors import why
from deployment.refusals.cloud_errors import classify

TIMEOUT_S = 30.0
AT_ONCE = 100
"""What one question may name (NV: no limit is documented; other services of Google's take a hundred)."""
ENDPOINT = "CLOUDSDK_API_ENDPOINT_OVERRIDES_CLOUDRESOURCEMANAGER"
SHOWN = 4
PAGE = "docs/permissions.md"
ON_SINGLE_RESOURCES = frozenset(
    {
        *("iam.serviceAccounts.actAs", "compute.subnetworks.use", "compute.subnetworks.useExternalIp"),
        *("iap.tunnelInstances.accessViaIAP", "compute.instances.osAdminLogin"),
    }
)
"""What organisations grant on one account, subnet or instance: missing on the project, it may still be there."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Who is asked about, for what, and how to act as it."""

    name: str
    needs: tuple[Need, ...]
    token: Callable[[], str]


def rights_checks(subject: Subject, gcloud: Gcloud) -> list[Check]:
    """One finding for each of the two accounts."""
    if are_disabled(os.environ):
        return []
    around = surroundings(subject.config)
    accounts = (
        Account(name="permissions of gcloud's account", needs=FAB, token=partial(_gcloud_token, gcloud)),
        Account(name="permissions of Pulumi's", needs=PULUMI, token=partial(_pulumi_token, around, gcloud)),
    )
    answers = in_parallel({each.name: partial(_held, each, subject) for each in accounts})
    return [judged(each, answers[each.name], subject) for each in accounts]


def judged(account: Account, answer: set[str] | DeployError, subject: Subject) -> Check:
    """What is missing, and the roles that would give it."""
    if isinstance(answer, DeployError):
        return Check(account.name, "warn", f"not asked: {' '.join(answer.problems)}")
    wanted = permissions_of(account.needs, subject.settings)
    missing = [one for one in wanted if one not in answer]
    if not missing:
        return Check(account.name, "pass", f"all {len(wanted)} that this stack needs")
    more = f" and {len(missing) - SHOWN} more" if len(missing) > SHOWN else ""
    roles = ", ".join(roles_for(set(missing), account.needs, subject.settings))
    advice = f"Have an owner of {subject.settings.project} grant {roles} (see {PAGE})"
    finding = f"{len(missing)} of {len(wanted)} missing: {', '.join(missing[:SHOWN])}{more}. {advice}"
    if ON_SINGLE_RESOURCES.issuperset(missing):
        return Check(account.name, "warn", f"{finding}, unless they are granted on the very thing")
    return Check(account.name, "fail", finding)


def _held(account: Account, subject: Subject) -> set[str]:
    """What Google says that it has."""
    token, wanted = account.token(), permissions_of(account.needs, subject.settings)
    held: set[str] = set()
    for begin in range(0, len(wanted), AT_ONCE):
        asked = {"permissions": wanted[begin : begin + AT_ONCE]}
        answer = _post(f"v1/projects/{subject.settings.project}:testIamPermissions", asked, token)
        held.update(answer.get("permissions") or ())
    return held


def _post(path: str, body: Mapping[str, Any], token: str) -> Mapping[str, Any]:
    """One call of the Resource Manager, where gcloud would send it. Raises DeployError when it is refused."""
    base = os.environ.get(ENDPOINT) or "https://cloudresourcemanager.googleapis.com/"
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    where, data = f"{base.rstrip('/')}/{path}", json.dumps(body).encode()
    request = urllib.request.Request(where, data, headers)  # noqa: S310 - Google's address, or where gcloud is sent
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:  # noqa: S310 - the same
            found: Mapping[str, Any] = json.load(answer)
            return found
    except urllib.error.HTTPError as error:
        text = error.read().decode(errors="replace")
        raise GcloudError("ask for permissions", classify(f"Error {error.code}: {text}")) from None
    except (OSError, ValueError) as error:
        raise DeployError(f"ask for permissions: no answer: {why(error)}. Check the network.") from None


def _gcloud_token(gcloud: Gcloud, *, env: Mapping[str, str] | None = None, words: tuple[str, ...] = ("auth",)) -> str:
    """A token as gcloud has it, acting as another account where its settings say so."""
    what = "get a token"
    command = gcloud_command(what, (*words[:2], "print-access-token", *words[2:]), None, TIMEOUT_S)
    result = gcloud.executor.run(replace(command, env={**ENVIRONMENT, **(env or {})}))
    if not result.succeeded:
        raise GcloudError(what, classify(result.stderr))
    try:
        return str(json.loads(result.stdout)["token"])
    except (ValueError, TypeError, KeyError):
        problem = f"{what}: gcloud printed none, got {len(result.stdout)} characters. Run `gcloud auth login`."
        raise DeployError(problem) from None


def _pulumi_token(around: Surroundings, gcloud: Gcloud) -> str:
    """A token of the credentials that the provider would find. Raises DeployError where gcloud cannot get one."""
    found = find_credentials(around)
    if found.problem:
        raise DeployError(f"{found.source or 'application login'}: {found.problem}.")
    impersonated = around.impersonated
    if found.token and not impersonated:
        return found.token
    if found.is_hidden or found.token or impersonated is True:
        raise DeployError(f"{found.source}: gcloud cannot act with it: no file. Ask with the same in a file.")
    acting = (f"--impersonate-service-account={impersonated}",) if impersonated else ()
    env = {"GOOGLE_APPLICATION_CREDENTIALS": str(found.file)} if found.file else {}
    return _gcloud_token(gcloud, env=env, words=("auth", "application-default", *acting))
