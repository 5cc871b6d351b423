"""The project's own program with everything in it, a way to break each create, and what is there against the state."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fakes.cloud.server import Cloud
from tests.support.pulumi_stack import PulumiStack

PROJECT = "axion-test"
METHODS: Mapping[str, str] = {
    "Network": "compute.networks.insert",
    "ResourcePolicy": "compute.resourcePolicies.insert",
    "Disk": "compute.disks.insert",
    "Bucket": "storage.buckets.insert",
    "Secret": "secretmanager.projects.secrets.create",
    "Account": "iam.projects.serviceAccounts.create",
    "IAMCustomRole": "iam.projects.roles.create",
    "NotificationChannel": "monitoring.projects.notificationChannels.create",
    "Subnetwork": "compute.subnetworks.insert",
    "Router": "compute.routers.insert",
    "Firewall": "compute.firewalls.insert",
    "DiskResourcePolicyAttachment": "compute.disks.addResourcePolicies",
    "SecretVersion": "secretmanager.projects.secrets.addVersion",
    "SecretIamMember": "secretmanager.projects.secrets.setIamPolicy",
    "BucketIAMMember": "storage.buckets.setIamPolicy",
    "IAMMember": "cloudresourcemanager.projects.setIamPolicy",
    "AlertPolicy": "monitoring.projects.alertPolicies.create",
    "Budget": "billingbudgets.billingAccounts.budgets.create",
    "RouterNat": "compute.routers.patch",
    "Instance": "compute.instances.insert",
    "InstanceIAMMember": "compute.instances.setIamPolicy",
}
NEEDS: Mapping[str, tuple[str, ...]] = {
    "Subnetwork": ("Network",),
    "Router": ("Network",),
    "Firewall": ("Network",),
    "DiskResourcePolicyAttachment": ("Disk", "ResourcePolicy"),
    "SecretVersion": ("Secret",),
    "SecretIamMember": ("Secret", "Account"),
    "BucketIAMMember": ("Bucket", "Account"),
    "IAMMember": ("Account",),
    "AlertPolicy": ("NotificationChannel",),
    "Budget": ("NotificationChannel",),
    "RouterNat": ("Subnetwork", "Router"),
    "Instance": ("Disk", "Subnetwork", "RouterNat", "Account"),
    "InstanceIAMMember": ("Instance", "IAMCustomRole", "Account"),
}
HOW_MANY = Counter(
    {
        **dict.fromkeys(METHODS, 1),
        "Disk": 2,
        "Secret": 2,
        "SecretVersion": 2,
        "SecretIamMember": 2,
        "IAMMember": 2,
        "AlertPolicy": 4,
    }
)


def everything(base: Path, cli: Path, cloud: Cloud) -> PulumiStack:
    """The prod example with every optional part switched on: all 21 types."""
    stack = PulumiStack.of_checkout(base, cli, cloud, name="prod")
    for key, value in {
        "deleteData": ["axion-prod-data-main", "axion-prod-axion-test"],
        "maxHourlyUsd": 10,
        "alerts": {"email": "me@example.com"},
        "budget": {"monthlyAmount": 900, "billingAccount": "012345-6789AB-CDEF01"},
    }.items():
        stack.config(key, value)
    for key in ("gatewayApiKeys", "hubToken"):
        stack.config(f"axion:{key}", f"planted-{key}", is_secret=True)
    return stack


@dataclass(frozen=True, slots=True)
class Held:
    """What the cloud has and what the state says, both as sorted lists of names in one spelling: a double shows."""

    cloud: list[str]
    state: list[str]

    @property
    def orphans(self) -> list[str]:
        return sorted((Counter(self.cloud) - Counter(self.state)).elements())

    @property
    def ghosts(self) -> list[str]:
        return sorted((Counter(self.state) - Counter(self.cloud)).elements())


def held(stack: PulumiStack) -> Held:
    """Compare the cloud's inventory with the state, resource by resource."""
    return Held(sorted(_in_cloud(stack.cloud)), sorted(_in_state(resources_of(stack))))


def _checkpoint(stack: PulumiStack) -> Mapping[str, Any]:
    """The state as the file backend holds it; the CLI takes most of a second to export the same."""
    file = stack.folder.parent / "state" / ".pulumi" / "stacks" / "axion" / f"{stack.name}.json"
    latest: Mapping[str, Any] = json.loads(file.read_text())["checkpoint"]["latest"] or {}
    return latest


def resources_of(stack: PulumiStack) -> list[Mapping[str, Any]]:
    """What the state has."""
    return list(_checkpoint(stack).get("resources") or ())


def pending_in_state(stack: PulumiStack) -> list[str]:
    """What was begun and has not ended, as `creating network-vpc`."""
    operations = _checkpoint(stack).get("pending_operations") or ()
    return sorted(f"{each['type']} {each['resource']['urn'].rpartition('::')[2]}" for each in operations)


def kinds_in_state(stack: PulumiStack) -> Counter[str]:
    """How many of each type the state has."""
    types = (one["type"] for one in resources_of(stack))
    return Counter(kind.rpartition(":")[2] for kind in types if kind.startswith("gcp:"))


def _in_cloud(cloud: Cloud) -> Iterator[str]:
    resources: Mapping[str, Any] = cloud.state.resources
    for path, one in resources.items():
        # A boot disk comes and goes with its instance.
        if "/disks/" not in path or path.replace("/disks/", "/instances/") not in resources:
            yield path
        for nat in one.get("nats") or ():
            yield f"{PROJECT}/us-central1/{one['name']}/{nat['name']}"
        if "/disks/" in path:
            for policy in one.get("resourcePolicies") or ():
                yield f"{PROJECT}/us-central1-a/{one['name']}/{policy.rpartition('/')[2]}"
    for path, policy in cloud.state.policies.items():
        for binding in policy["bindings"]:
            yield from (f"{path}/{binding['role']}/{member}" for member in binding["members"])


def _in_state(resources: list[Mapping[str, Any]]) -> Iterator[str]:
    for one in resources:
        kind, identity = one["type"].rpartition(":")[2], str(one.get("id", ""))
        if one["type"].startswith("gcp:"):
            before = {"Bucket": "b/", "IAMMember": "projects/"}.get(kind, "")
            yield before + re.sub(r"^projects/123456789012/", f"projects/{PROJECT}/", identity)
