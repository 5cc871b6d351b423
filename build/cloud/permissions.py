"""Which permissions `pulumi up`, `destroy` and fab need on the project, and which predefined roles give them.

The one table: `fab doctor --stack` asks Google for the permissions, docs/permissions.md shows the roles. Written from
the "IAM permissions" of each method in Google's API references and from "IAM basic and predefined roles reference".
"""

from collections.abc import Callable
from dataclasses import dataclass

from deployment.stack.settings import StackSettings


def always(settings: StackSettings) -> bool:
    """For every stack."""
    return True


def makes_network(settings: StackSettings) -> bool:
    """Whether the stack has a network of its own."""
    return settings.subnetwork is None


def uses_own_subnet(settings: StackSettings) -> bool:
    """Whether the hosts' subnet is of the stack's project: another project's is granted there."""
    return settings.subnetwork is None or settings.subnetwork.startswith(f"projects/{settings.project}/")


def opens_firewall(settings: StackSettings) -> bool:
    """Whether firewall rules are made, in a network of the stack's own or in one that is named."""
    return settings.subnetwork is None or settings.network.vpc is not None


def makes_accounts(settings: StackSettings) -> bool:
    """Whether some host gets a service account of its own."""
    return any(host.service_account is None for host in settings.hosts.values())


def makes_role(settings: StackSettings) -> bool:
    """Whether a role to stop oneself is made."""
    return makes_accounts(settings) and settings.stop_role is None


@dataclass(frozen=True, slots=True, kw_only=True)
class Need:
    """Permissions of one predefined role, what they are for, and for which stacks."""

    what: str
    role: str
    permissions: tuple[str, ...]
    when: str = "always"
    """In the words of the document."""
    is_for: Callable[[StackSettings], bool] = always


def _all(service: str, collection: str, verbs: str) -> tuple[str, ...]:
    return tuple(f"{service}.{collection}.{verb}" for verb in verbs.split())


CHANGED = "create get list update delete"

PULUMI = (
    Need(
        what="instances, disks, snapshots and their schedules",
        role="roles/compute.instanceAdmin.v1",
        permissions=(
            *_all(
                "compute", "instances", "create get list delete start stop setLabels setMetadata setTags setMachineType"
            ),
            *_all("compute", "instances", "setScheduling setServiceAccount updateShieldedInstanceConfig attachDisk"),
            *_all("compute", "instances", "detachDisk addAccessConfig deleteAccessConfig getIamPolicy setIamPolicy"),
            *_all("compute", "disks", "create get list delete update resize use setLabels createSnapshot"),
            *_all("compute", "disks", "addResourcePolicies removeResourcePolicies"),
            *_all("compute", "resourcePolicies", f"{CHANGED} use"),
            *_all("compute", "snapshots", "create get list delete setLabels useReadOnly"),
            *_all("compute", "images", "get getFromFamily useReadOnly"),
            *(f"compute.{name}.get" for name in ("projects", "regions", "zones", "machineTypes", "diskTypes")),
            *(f"compute.{scope}Operations.get" for scope in ("zone", "region", "global")),
        ),
    ),
    Need(
        what="the network",
        role="roles/compute.networkAdmin",
        permissions=(
            *_all("compute", "networks", f"{CHANGED} updatePolicy"),
            *_all("compute", "subnetworks", f"{CHANGED} expandIpCidrRange setPrivateIpGoogleAccess"),
            *_all("compute", "routers", CHANGED),
        ),
        when="without `axion:network.subnetwork`",
        is_for=makes_network,
    ),
    Need(
        what="the subnet's use",
        role="roles/compute.networkUser",
        permissions=("compute.subnetworks.use",),
        when="always; of another project's subnet, there",
        is_for=uses_own_subnet,
    ),
    Need(
        what="reserved addresses",
        role="roles/compute.networkAdmin",
        permissions=_all("compute", "addresses", "create get list delete use setLabels"),
        when="a host has `publicIp`",
        is_for=lambda settings: any(host.public_ip for host in settings.hosts.values()),
    ),
    Need(
        what="external addresses",
        role="roles/compute.networkUser",
        permissions=("compute.subnetworks.useExternalIp",),
        when="a host has `publicIp`",
        is_for=lambda settings: uses_own_subnet(settings) and any(host.public_ip for host in settings.hosts.values()),
    ),
    Need(
        what="the firewall",
        role="roles/compute.securityAdmin",
        permissions=(*_all("compute", "firewalls", CHANGED), "compute.networks.updatePolicy"),
        when="without `axion:network.subnetwork`, or with `vpc`",
        is_for=opens_firewall,
    ),
    Need(
        what="the hosts' service accounts",
        role="roles/iam.serviceAccountAdmin",
        permissions=_all("iam", "serviceAccounts", CHANGED),
        when="a host has no `serviceAccount`",
        is_for=makes_accounts,
    ),
    Need(
        what="to run hosts as those accounts",
        role="roles/iam.serviceAccountUser",
        permissions=("iam.serviceAccounts.actAs",),
        when="always; of an account that is given, on it",
    ),
    Need(
        what="the role with which a host stops itself",
        role="roles/iam.roleAdmin",
        permissions=_all("iam", "roles", f"{CHANGED} undelete"),
        when="without `axion:stopRole`, unless every host has a `serviceAccount`",
        is_for=makes_role,
    ),
    Need(
        what="logs and metrics for the hosts",
        role="roles/resourcemanager.projectIamAdmin",
        permissions=_all("resourcemanager", "projects", "get getIamPolicy setIamPolicy"),
        when="a host has no `serviceAccount`",
        is_for=makes_accounts,
    ),
    Need(
        what="secrets",
        role="roles/secretmanager.admin",
        permissions=(
            *_all("secretmanager", "secrets", f"{CHANGED} getIamPolicy setIamPolicy"),
            *_all("secretmanager", "versions", "add get access destroy enable disable"),
        ),
    ),
    Need(
        what="the bucket",
        role="roles/storage.admin",
        permissions=(
            *_all("storage", "buckets", f"{CHANGED} getIamPolicy setIamPolicy"),
            *_all("storage", "objects", "list delete"),
        ),
        when="`axion:bucket`",
        is_for=lambda settings: settings.bucket,
    ),
    Need(
        what="alerts",
        role="roles/monitoring.editor",
        permissions=(
            *_all("monitoring", "alertPolicies", CHANGED),
            *_all("monitoring", "notificationChannels", CHANGED),
        ),
        when="`axion:alerts`",
        is_for=lambda settings: settings.alerts is not None,
    ),
)
FAB = (
    Need(
        what="hosts: found, known by their keys, stopped and started",
        role="roles/compute.instanceAdmin.v1",
        permissions=(
            *_all("compute", "instances", "get list getGuestAttributes getSerialPortOutput start stop detachDisk"),
            *(f"compute.{name}.get" for name in ("projects", "regions", "zones", "machineTypes", "zoneOperations")),
            "compute.machineTypes.list",
        ),
    ),
    Need(
        what="`fab move`, `fab up`: data disks copied, and deleted while they are empty",
        role="roles/compute.instanceAdmin.v1",
        permissions=(
            *_all("compute", "disks", "create get delete createSnapshot setLabels"),
            *_all("compute", "snapshots", "create get list useReadOnly setLabels"),
        ),
    ),
    Need(
        what="SSH to hosts without an external address",
        role="roles/iap.tunnelResourceAccessor",
        permissions=("iap.tunnelInstances.accessViaIAP",),
    ),
    Need(what="root on hosts", role="roles/compute.osAdminLogin", permissions=("compute.instances.osAdminLogin",)),
    Need(
        what="to log in where the host's account could be used",
        role="roles/iam.serviceAccountUser",
        permissions=("iam.serviceAccounts.actAs",),
    ),
    Need(
        what="`fab census`: what is left",
        role="roles/viewer",
        permissions=(
            *(f"compute.{name}.list" for name in ("disks", "snapshots", "addresses", "resourcePolicies", "firewalls")),
            *(f"compute.{name}.list" for name in ("routers", "subnetworks", "networks")),
            *("iam.serviceAccounts.list", "iam.roles.list", "secretmanager.secrets.list", "storage.buckets.list"),
            *("monitoring.alertPolicies.list", "monitoring.notificationChannels.list"),
        ),
    ),
    Need(
        what="`fab doctor`: which APIs are on",
        role="roles/serviceusage.serviceUsageViewer",
        permissions=("serviceusage.services.list",),
    ),
)
ELSEWHERE = (
    ("the budget", "roles/billing.costsManager on the billing account", "`axion:budget`"),
    (
        "what the organisation's policies refuse, read by `fab doctor`",
        "roles/orgpolicy.policyViewer",
        "in an organisation",
    ),
    ("a person's calls counted on the project", "roles/serviceusage.serviceUsageConsumer", "with a quota project"),
    ("to act as another account", "roles/iam.serviceAccountTokenCreator on that account", "with impersonation"),
)
"""What no question to the project answers: which role, where, and when."""


def permissions_of(needs: tuple[Need, ...], settings: StackSettings) -> list[str]:
    """All that a stack needs, once each."""
    return sorted({one for need in needs if need.is_for(settings) for one in need.permissions})


def roles_for(missing: set[str], needs: tuple[Need, ...], settings: StackSettings) -> list[str]:
    """The roles that would give what is missing."""
    return sorted({need.role for need in needs if need.is_for(settings) and missing & set(need.permissions)})
