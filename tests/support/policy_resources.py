"""Resources that break no rule, as plain data; tests change one thing and see who objects."""

import copy
from typing import Any

LABELS = {"axion-stack": "dev", "axion-component": "host", "managed-by": "pulumi"}
RANGE_OF_IAP = "35.235.240.0/20"
GOOD: dict[str, dict[str, Any]] = {
    "gcp:compute/instance:Instance": {
        "name": "axion-dev-main",
        "machineType": "c4a-standard-8",
        "zone": "us-central1-a",
        "labels": LABELS,
        "bootDisk": {
            "initializeParams": {"image": "debian-12-arm64", "type": "hyperdisk-balanced", "labels": dict(LABELS)},
        },
        "networkInterfaces": [{"subnetwork": "axion-dev-subnet", "nicType": "GVNIC"}],
        "metadata": {"enable-oslogin": "TRUE", "hub-token-secret-id": "axion-dev-hub-token", "startup-script": "true"},
        "serviceAccount": {
            "email": "axion-dev-main@p.iam.gserviceaccount.com",
            "scopes": ["https://www.googleapis.com/auth/cloud-platform"],
        },
        "shieldedInstanceConfig": {
            "enableSecureBoot": True, "enableVtpm": True, "enableIntegrityMonitoring": True,
        },
    },
    "gcp:compute/disk:Disk": {
        "name": "axion-dev-data-main", "zone": "us-central1-a", "type": "hyperdisk-balanced", "labels": LABELS,
    },
    "gcp:compute/resourcePolicy:ResourcePolicy": {
        "name": "axion-dev-snapshots",
        "snapshotSchedulePolicy": {
            "schedule": {"dailySchedule": {"daysInCycle": 1, "startTime": "03:00"}},
            "snapshotProperties": {"labels": LABELS},
        },
    },
    "gcp:compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment": {
        "name": "axion-dev-snapshots", "disk": "axion-dev-data-main", "zone": "us-central1-a",
    },
    "gcp:compute/firewall:Firewall": {
        "name": "axion-dev-allow-iap-ssh",
        "network": "axion-dev",
        "allows": [{"protocol": "tcp", "ports": ["22"]}],
        "sourceRanges": [RANGE_OF_IAP],
    },
    "gcp:projects/iAMMember:IAMMember": {
        "project": "p", "role": "roles/logging.logWriter", "member": "serviceAccount:a@p.iam.gserviceaccount.com",
    },
    "gcp:projects/iAMCustomRole:IAMCustomRole": {
        "roleId": "axion_dev_stop", "title": "Stop", "permissions": ["compute.instances.stop"],
    },
    "gcp:secretmanager/secret:Secret": {
        "secretId": "axion-dev-hub-token", "labels": LABELS, "replication": {"auto": {}},
    },
    "gcp:secretmanager/secretVersion:SecretVersion": {
        "secret": "axion-dev-hub-token", "secretData": "correct-horse-battery",
    },
    "gcp:storage/bucket:Bucket": {"name": "axion-dev-p", "location": "US", "labels": LABELS},
    "gcp:monitoring/alertPolicy:AlertPolicy": {
        "displayName": "disk full", "combiner": "OR", "conditions": [{"displayName": "full"}], "userLabels": LABELS,
    },
}  # fmt: skip


def urn(resource_type: str) -> str:
    """The URN of the one resource of a type."""
    return f"urn:pulumi:dev::axion::{resource_type}::{resource_type.rpartition(':')[2].lower()}"


def changed(resource_type: str, path: str, value: Any) -> dict[str, Any]:
    """Inputs that break no rule but for the value at a dotted path; `...` takes the key out."""
    props: Any = copy.deepcopy(GOOD[resource_type])
    *parents, leaf = path.split("/")
    at = props
    for key in parents:
        at = at[int(key)] if isinstance(at, list) else at.setdefault(key, {})
    if value is ...:
        del at[leaf]
    else:
        at[leaf] = value
    return dict(props)
