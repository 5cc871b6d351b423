"""What a stack borrows from others, for `fab doctor`: whether it is there, and whether its owner has done their part.

Whoever asks may not be allowed to look: the doctor then says so, and nothing is known.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from build.check import Check
from build.cloud.gcloud import Gcloud
from deployment.stack.organisation import AGENTS, KMS_ROLE, STOP_PERMISSION
from deployment.stack.settings import StackSettings

Question = Callable[[], list[Check]]


def borrowed_questions(settings: StackSettings, gcloud: Gcloud) -> Mapping[str, Question]:
    """One question for each thing that the stack's file names and the stack does not make."""
    asked: dict[str, Question] = {}
    if settings.subnetwork is not None:
        asked["subnet"] = partial(_subnet, settings.subnetwork, gcloud)
    for account in sorted({host.service_account for host in settings.hosts.values() if host.service_account}):
        asked[f"account {account}"] = partial(_account, account, gcloud)
    if settings.stop_role is not None:
        asked["stop role"] = partial(_stop_role, settings.stop_role, gcloud)
    if settings.kms_key is not None:
        asked["kms key"] = partial(_key, settings, gcloud)
    return asked


def _subnet(path: str, gcloud: Gcloud) -> list[Check]:
    _, project, _, region, _, name = path.split("/")
    there = Gcloud(gcloud.executor, project)
    found = there.ask_or_none("subnet", "compute", "networks", "subnets", "describe", name, f"--region={region}")
    if found is None:
        return [Check("subnet", "fail", f"{path} is not there. Correct axion:network subnetwork")]
    if not found.get("privateIpGoogleAccess"):
        command = f"gcloud compute networks subnets update {name} --region={region} --project={project}"
        why = "has no private Google access, so hosts read no secrets without NAT. Its owner runs"
        return [Check("subnet", "warn", f"{path} {why} `{command} --enable-private-ip-google-access`")]
    return [Check("subnet", "pass", f"{path}, {found.get('ipCidrRange')}, with private Google access")]


def _account(email: str, gcloud: Gcloud) -> list[Check]:
    there = Gcloud(gcloud.executor, email.partition("@")[2].partition(".")[0])
    found = there.ask_or_none("account", "iam", "service-accounts", "describe", email)
    name = f"account {email}"
    if found is None:
        return [Check(name, "fail", "not there. Correct the host's serviceAccount, or have it made")]
    if found.get("disabled"):
        return [Check(name, "fail", f"switched off. Its owner runs `gcloud iam service-accounts enable {email}`")]
    return [Check(name, "pass", "there")]


def _stop_role(path: str, gcloud: Gcloud) -> list[Check]:
    kind, owner, _, name = path.split("/")
    scope = f"--organization={owner}" if kind == "organizations" else f"--project={owner}"
    found = gcloud.ask("stop role", "iam", "roles", "describe", name, scope, is_scoped=False)
    return stop_role_checks(path, found or {})


def stop_role_checks(path: str, role: Mapping[str, Any]) -> list[Check]:
    """Whether a role lets a host stop itself, and nothing besides."""
    permissions = set(role.get("includedPermissions") or ())
    if role.get("deleted") or STOP_PERMISSION not in permissions:
        why = "deleted" if role.get("deleted") else f"without {STOP_PERMISSION}"
        return [Check("stop role", "fail", f"{path} is {why}. Have it mended, or leave axion:stopRole out")]
    more = sorted(permissions - {STOP_PERMISSION})
    if more:
        return [Check("stop role", "warn", f"{path} lets a host do more to itself: {', '.join(more)}")]
    return [Check("stop role", "pass", path)]


def _key(settings: StackSettings, gcloud: Gcloud) -> list[Check]:
    key = settings.kms_key or ""
    _, project, _, location, _, ring, _, name = key.split("/")
    there = Gcloud(gcloud.executor, project)
    words = ("kms", "keys", "get-iam-policy", name, f"--keyring={ring}", f"--location={location}")
    policy = there.ask_or_none("kms key", *words)
    if policy is None:
        return [Check("kms key", "fail", f"{key} is not there. Correct axion:kmsKey")]
    number = gcloud.ask("project", "projects", "describe", settings.project, is_scoped=False)["projectNumber"]
    return key_checks(settings, str(number), policy.get("bindings") or ())


def key_checks(settings: StackSettings, number: str, bindings: Sequence[Mapping[str, Any]]) -> list[Check]:
    """Which of the services that use the key may not. A grant on ring or project does not show here: only a warning."""
    key = settings.kms_key or ""
    _, project, _, location, _, ring, _, name = key.split("/")
    granted = {member for each in bindings if each.get("role") == KMS_ROLE for member in each.get("members") or ()}
    found = []
    for what, agent in AGENTS.items():
        member = f"serviceAccount:service-{number}@{agent}.iam.gserviceaccount.com"
        if member in granted or (what == "the bucket" and not settings.bucket):
            continue
        command = (
            f"gcloud kms keys add-iam-policy-binding {name} --keyring={ring} --location={location} --project={project} "
            f"--member={member} --role={KMS_ROLE}"
        )
        found.append(Check(f"kms key for {what}", "warn", f"not granted on the key itself. Its owner runs `{command}`"))
    return found or [Check("kms key", "pass", key)]
