"""Creates that were in flight: type, inputs, what is asked, what is answered, and the provider's id. Literals only."""

from typing import Any

CREATIONS: list[tuple[str, dict[str, str], str, Any, str | None]] = [
    (
        "compute/network:Network",
        {"name": "n"},
        "compute networks describe n",
        {"name": "n"},
        "projects/p/global/networks/n",
    ),
    (
        "compute/instance:Instance",
        {"name": "vm", "zone": "us-central1-b"},
        "compute instances describe vm --zone=us-central1-b",
        {"name": "vm"},
        "projects/p/zones/us-central1-b/instances/vm",
    ),
    (
        "compute/subnetwork:Subnetwork",
        {"name": "s", "project": "q"},
        "compute networks subnets describe s --region=us-central1",
        {"name": "s"},
        "projects/q/regions/us-central1/subnetworks/s",
    ),
    (
        "compute/routerNat:RouterNat",
        {"name": "nat", "router": "r"},
        "compute routers describe r --region=us-central1",
        {"nats": [{"name": "other"}, {"name": "nat"}]},
        "p/us-central1/r/nat",
    ),
    (
        "compute/routerNat:RouterNat",
        {"name": "nat", "router": "r"},
        "compute routers describe r --region=us-central1",
        {"name": "r"},
        None,
    ),
    (
        "compute/diskResourcePolicyAttachment:DiskResourcePolicyAttachment",
        {"name": "daily", "disk": "d"},
        "compute disks describe d --zone=us-central1-a",
        {"resourcePolicies": ["https://x/regions/r/resourcePolicies/daily"]},
        "p/us-central1-a/d/daily",
    ),
    (
        "serviceaccount/account:Account",
        {"accountId": "a"},
        "iam service-accounts describe a@p.iam.gserviceaccount.com",
        {"email": "a@p"},
        "projects/p/serviceAccounts/a@p.iam.gserviceaccount.com",
    ),
    ("projects/iAMCustomRole:IAMCustomRole", {"roleId": "r"}, "iam roles describe r", {"deleted": True}, None),
    (
        "projects/iAMCustomRole:IAMCustomRole",
        {"roleId": "r"},
        "iam roles describe r",
        {"name": "r"},
        "projects/p/roles/r",
    ),
    (
        "secretmanager/secretVersion:SecretVersion",
        {"secret": "projects/p/secrets/s"},
        "secrets versions list s",
        [
            {"name": "projects/1/secrets/s/versions/9", "state": "enabled"},
            {"name": "projects/1/secrets/s/versions/10", "state": "ENABLED"},
            {"name": "projects/1/secrets/s/versions/11", "state": "DESTROYED"},
        ],
        "projects/p/secrets/s/versions/10",
    ),
    ("storage/bucket:Bucket", {"name": "b"}, "storage buckets describe gs://b", {"name": "b"}, "b"),
    (
        "monitoring/alertPolicy:AlertPolicy",
        {"displayName": "full"},
        "alpha monitoring policies list",
        [{"name": "x/1", "displayName": "idle"}, {"name": "x/2", "displayName": "full"}],
        "x/2",
    ),
    ("compute/disk:Disk", {"name": "d"}, "compute disks describe d --zone=us-central1-a", None, None),
]
