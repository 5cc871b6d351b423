"""One violation for each rule: what is changed, the rule that objects, and its whole message. Literals only."""

from dataclasses import dataclass
from typing import Any

INSTANCE, DISK = "gcp:compute/instance:Instance", "gcp:compute/disk:Disk"
FIREWALL, GRANT = "gcp:compute/firewall:Firewall", "gcp:projects/iAMMember:IAMMember"
ATTACHMENT = "gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment"
TO_SECRET_MANAGER = "Put it into Secret Manager and give the host its id."


@dataclass(frozen=True)
class Violation:
    rule: str
    type: str
    path: str
    value: Any
    message: str
    urn_of: str = ""
    """Type of the resource that the message is about, where it is another one."""


VIOLATIONS = (
    Violation(
        "no-public-ip", INSTANCE, "networkInterfaces/0/accessConfigs", [{"networkTier": "PREMIUM"}],
        "networkInterfaces[0].accessConfigs: a public address, got 1. Remove it and connect through IAP, or have "
        "axion-dev-main put on `allow` in the pack's configuration.",
    ),
    Violation(
        "hyperdisk-only", INSTANCE, "bootDisk/initializeParams/type", "pd-balanced",
        "bootDisk.initializeParams.type: C4A starts from Hyperdisk only, got pd-balanced. Write hyperdisk-balanced.",
    ),
    Violation(
        "hyperdisk-only", DISK, "type", "pd-ssd",
        "type: not a Hyperdisk, got pd-ssd. Write hyperdisk-balanced.",
    ),
    Violation(
        "gvnic", INSTANCE, "networkInterfaces/0/nicType", "gvnic",
        "networkInterfaces[0].nicType: not gVNIC, got gvnic. Write GVNIC.",
    ),
    Violation(
        "os-login", INSTANCE, "metadata/enable-oslogin", "FALSE",
        'metadata.enable-oslogin: OS Login is not on, got FALSE. Write "TRUE".',
    ),
    Violation(
        "shielded-vm", INSTANCE, "shieldedInstanceConfig/enableSecureBoot", False,
        "shieldedInstanceConfig.enableSecureBoot: not on, got false. Write true.",
    ),
    Violation(
        "shielded-vm", INSTANCE, "shieldedInstanceConfig/enableVtpm", ...,
        "shieldedInstanceConfig.enableVtpm: not on, got nothing. Write true.",
    ),
    Violation(
        "shielded-vm", INSTANCE, "shieldedInstanceConfig/enableIntegrityMonitoring", False,
        "shieldedInstanceConfig.enableIntegrityMonitoring: not on, got false. Write true.",
    ),
    Violation(
        "own-service-account", INSTANCE, "serviceAccount/email", "12-compute@developer.gserviceaccount.com",
        "serviceAccount.email: not an account of the host's own, got 12-compute@developer.gserviceaccount.com. "
        "Make a serviceaccount.Account.",
    ),
    Violation(
        "own-service-account", INSTANCE, "serviceAccount/scopes", ["https://www.googleapis.com/auth/compute"],
        "serviceAccount.scopes: too broad, got https://www.googleapis.com/auth/compute. "
        "Write cloud-platform and let the roles decide.",
    ),
    Violation(
        "narrow-roles", GRANT, "role", "roles/owner",
        "role: a basic role, got roles/owner. Grant the one predefined role that is needed.",
    ),
    Violation(
        "narrow-roles", GRANT, "role", "roles/editor",
        "role: a basic role, got roles/editor. Grant the one predefined role that is needed.",
    ),
    Violation(
        "narrow-roles", GRANT, "role", "roles/compute.admin",
        "role: too much for a whole project, got roles/compute.admin. Grant it on the one resource that needs it.",
    ),
    Violation(
        "narrow-roles", GRANT, "member", "allUsers",
        "member: everybody on the internet, got allUsers. Name an account.",
    ),
    Violation(
        "narrow-roles", "gcp:projects/iAMCustomRole:IAMCustomRole", "permissions", ["iam.serviceAccounts.actAs"],
        "permissions: lets its holder become somebody else, got iam.serviceAccounts.actAs. Take it out.",
    ),
    Violation(
        "no-open-firewall", FIREWALL, "sourceRanges", ["10.0.0.0/8", "0.0.0.0/0"],
        "sourceRanges: open to the world, got 0.0.0.0/0. Name the ranges that may connect.",
    ),
    Violation(
        "no-open-firewall", FIREWALL, "sourceRanges", ...,
        "sourceRanges: open to the world, got nothing, which means 0.0.0.0/0. Name the ranges that may connect.",
    ),
    Violation(
        "labels", "gcp:storage/bucket:Bucket", "labels/axion-stack", "prod",
        "labels.axion-stack: missing or wrong, got prod. Write dev.",
    ),
    Violation(
        "labels", INSTANCE, "bootDisk/initializeParams/labels/managed-by", ...,
        "bootDisk.initializeParams.labels.managed-by: missing or wrong, got nothing. Write pulumi.",
    ),
    Violation(
        "labels", "gcp:monitoring/alertPolicy:AlertPolicy", "userLabels/axion-component", ...,
        "userLabels.axion-component: missing. Write the component that it belongs to.",
    ),
    Violation(
        "snapshot-schedule", ATTACHMENT, "disk", "axion-dev-another",
        "disk: no snapshot schedule, got no attached policy. Attach one by a DiskResourcePolicyAttachment.", DISK,
    ),
    Violation(
        "no-secrets-in-metadata", INSTANCE, "metadata/hub-token", "abc",
        f"metadata.hub-token: looks like a secret by its name, got 3 characters. {TO_SECRET_MANAGER}",
    ),
    Violation(
        "no-secrets-in-metadata", INSTANCE, "metadata/startup-script", "export X=hf_" + "a" * 34,
        f"metadata.startup-script: holds what looks like a secret, got 46 characters. {TO_SECRET_MANAGER}",
    ),
    Violation(
        "no-kept-secret-in-metadata", INSTANCE, "metadata/note", "it is correct-horse-battery!",
        f"metadata.note: holds the value of secretversion, got it in clear. {TO_SECRET_MANAGER}",
    ),
)  # fmt: skip
