"""Which methods of which Google API the cloud offers. What is not listed here is answered with 404, as Google does."""


def _methods(prefix: str, table: dict[str, str]) -> tuple[str, ...]:
    return tuple(f"{prefix}.{resource}.{verb}" for resource, verbs in table.items() for verb in verbs.split())


_OPERATIONS = "get list wait"

OFFERED: dict[str, tuple[str, ...]] = {
    "compute.v1": _methods(
        "compute",
        {
            "projects": "get",
            "regions": "get list",
            "zones": "get list",
            "machineTypes": "get list aggregatedList",
            "diskTypes": "get list aggregatedList",
            "images": "get getFromFamily list",
            "networks": "insert get list patch delete",
            "subnetworks": "insert get list aggregatedList patch delete expandIpCidrRange setPrivateIpGoogleAccess",
            "routers": "insert get list aggregatedList patch delete",
            "firewalls": "insert get list patch delete",
            "addresses": "insert get list aggregatedList delete setLabels",
            "resourcePolicies": "insert get list aggregatedList patch delete",
            "disks": "insert get list aggregatedList delete resize setLabels update"
            " addResourcePolicies removeResourcePolicies createSnapshot",
            "snapshots": "insert get list delete setLabels",
            "instances": "insert get list aggregatedList delete start stop reset setMachineType setLabels setMetadata"
            " setTags setScheduling setDeletionProtection setServiceAccount updateShieldedInstanceConfig attachDisk"
            " detachDisk setDiskAutoDelete addAccessConfig deleteAccessConfig getGuestAttributes getIamPolicy"
            " setIamPolicy getSerialPortOutput",
            "advice": "capacity",
            "zoneOperations": _OPERATIONS,
            "regionOperations": _OPERATIONS,
            "globalOperations": _OPERATIONS,
        },
    ),
    "iam.v1": _methods(
        "iam.projects",
        {
            "serviceAccounts": "create get list patch delete getIamPolicy setIamPolicy",
            "roles": "create get list patch delete undelete",
        },
    ),
    "iamcredentials.v1": _methods("iamcredentials.projects", {"serviceAccounts": "generateAccessToken"}),
    "cloudresourcemanager.v1": _methods(
        "cloudresourcemanager",
        {"projects": "get getIamPolicy setIamPolicy testIamPermissions getEffectiveOrgPolicy"},
    ),
    "secretmanager.v1": _methods(
        "secretmanager.projects",
        {
            "secrets": "create get list patch delete addVersion getIamPolicy setIamPolicy",
            "secrets.versions": "get list access destroy enable disable",
        },
    ),
    "storage.v1": _methods(
        "storage", {"buckets": "insert get list patch delete getIamPolicy setIamPolicy", "objects": "list"}
    ),
    "monitoring.v3": _methods(
        "monitoring.projects",
        {"alertPolicies": "create get list patch delete", "notificationChannels": "create get list patch delete"},
    ),
    "billingbudgets.v1": _methods("billingbudgets.billingAccounts", {"budgets": "create get list patch delete"}),
    "serviceusage.v1": _methods("serviceusage", {"services": "get list enable"}),
}
