"""What to ask Google about a resource that was being created when `pulumi up` ended, and how the provider calls it.

Identities have the form that the provider itself gives them (each resource's "Import" section in its documentation).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

Item = Mapping[str, Any]
KEYS = (
    "project", "region", "zone", "name",
    "router", "disk", "accountId", "roleId", "secretId", "secret", "billingAccount",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """Where a stack's resources are unless they say otherwise."""

    project: str
    region: str
    zone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Creation:
    """A resource as its inputs describe it."""

    type: str
    inputs: Item
    place: Place

    def get(self, key: str) -> str:
        """An input's last path segment, or the stack's own place."""
        value = self.inputs.get(key) or getattr(self.place, key, "")
        return str(value).rstrip("/").rpartition("/")[2]

    def full(self, text: str) -> str:
        """Fill `{input}` in a template."""
        return text.format(**{key: self.get(key) for key in KEYS})


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """How one type is asked for. `find` turns gcloud's answer into the provider's id, or None when it is not there."""

    describe: str
    find: Callable[[Creation, Any], str | None]
    operations: str | None = None
    """Flags of `gcloud compute operations list` for its scope, where a create runs on as an operation."""


def _exists(identity: str) -> Callable[[Creation, Any], str | None]:
    def found(creation: Creation, answer: Any) -> str | None:
        # A deleted custom role can still be described; the provider brings it back itself.
        return creation.full(identity) if answer and not answer.get("deleted") else None

    return found


def _member(field: str, identity: str) -> Callable[[Creation, Any], str | None]:
    """A part of something larger: in its list by name, be it an object or a link."""

    def found(creation: Creation, answer: Any) -> str | None:
        parts = (answer or {}).get(field) or ()
        names = [part["name"] if isinstance(part, Mapping) else str(part).rpartition("/")[2] for part in parts]
        return creation.full(identity) if creation.get("name") in names else None

    return found


def _called(creation: Creation, answer: Any) -> str | None:
    """Known by a number that Google chose: the one with our display name."""
    names = [
        str(each["name"]) for each in answer or () if each.get("displayName") == creation.inputs.get("displayName")
    ]
    return names[-1] if names else None


def _newest_version(creation: Creation, answer: Any) -> str | None:
    """With the secret as the program spells it: Google names the project by number, and an import would differ."""
    enabled = [str(each["name"]) for each in answer or () if str(each.get("state", "")).upper() == "ENABLED"]
    newest = max((int(name.rpartition("/")[2]) for name in enabled), default=None)
    return None if newest is None else f"{creation.inputs['secret']}/versions/{newest}"


@dataclass(frozen=True, slots=True)
class Scope:
    """One of Compute's three: in a path, as a flag of `describe`, and of `operations list`."""

    path: str
    describe: str
    operations: str


GLOBAL = Scope("global", "", "--global")
REGION = Scope("regions/{region}", "--region={region}", "--regions={region}")
ZONE = Scope("zones/{zone}", "--zone={zone}", "--zones={zone}")


def _compute(noun: str, collection: str, scope: Scope) -> Known:
    """What has a name of its own in Compute; its create runs on as an operation."""
    return Known(
        describe=f"compute {noun} describe {{name}} {scope.describe}".rstrip(),
        find=_exists(f"projects/{{project}}/{scope.path}/{collection}/{{name}}"),
        operations=scope.operations,
    )


KNOWN: Mapping[str, Known] = {
    "gcp:compute/network:Network": _compute("networks", "networks", GLOBAL),
    "gcp:compute/subnetwork:Subnetwork": _compute("networks subnets", "subnetworks", REGION),
    "gcp:compute/router:Router": _compute("routers", "routers", REGION),
    "gcp:compute/routerNat:RouterNat": Known(
        describe="compute routers describe {router} --region={region}",
        find=_member("nats", "{project}/{region}/{router}/{name}"),
    ),
    "gcp:compute/firewall:Firewall": _compute("firewall-rules", "firewalls", GLOBAL),
    "gcp:compute/address:Address": _compute("addresses", "addresses", REGION),
    "gcp:compute/resourcePolicy:ResourcePolicy": _compute("resource-policies", "resourcePolicies", REGION),
    "gcp:compute/disk:Disk": _compute("disks", "disks", ZONE),
    "gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment": Known(
        describe="compute disks describe {disk} --zone={zone}",
        find=_member("resourcePolicies", "{project}/{zone}/{disk}/{name}"),
    ),
    "gcp:compute/instance:Instance": _compute("instances", "instances", ZONE),
    "gcp:serviceaccount/account:Account": Known(
        describe="iam service-accounts describe {accountId}@{project}.iam.gserviceaccount.com",
        find=_exists("projects/{project}/serviceAccounts/{accountId}@{project}.iam.gserviceaccount.com"),
    ),
    "gcp:projects/iAMCustomRole:IAMCustomRole": Known(
        describe="iam roles describe {roleId}", find=_exists("projects/{project}/roles/{roleId}")
    ),
    "gcp:secretmanager/secret:Secret": Known(
        describe="secrets describe {secretId}", find=_exists("projects/{project}/secrets/{secretId}")
    ),
    "gcp:secretmanager/secretVersion:SecretVersion": Known(
        describe="secrets versions list {secret}", find=_newest_version
    ),
    "gcp:storage/bucket:Bucket": Known(describe="storage buckets describe gs://{name}", find=_exists("{name}")),
    "gcp:monitoring/alertPolicy:AlertPolicy": Known(describe="alpha monitoring policies list", find=_called),
    "gcp:monitoring/notificationChannel:NotificationChannel": Known(
        describe="beta monitoring channels list", find=_called
    ),
    "gcp:billing/budget:Budget": Known(
        describe="billing budgets list --billing-account={billingAccount}", find=_called
    ),
}
# Granting what is granted already changes nothing: the next `pulumi up` may simply do it again.
REPEATABLE = frozenset(
    {
        "gcp:projects/iAMMember:IAMMember",
        "gcp:compute/instanceIAMMember:InstanceIAMMember",
        "gcp:secretmanager/secretIamMember:SecretIamMember",
        "gcp:storage/bucketIAMMember:BucketIAMMember",
    }
)
