"""Which permissions a call needs: written from the "IAM permissions" of each method in Google's API references, and on
purpose not from build/cloud/permissions: each checks the other.
"""

from typing import Any

from tests.support.fakes.cloud.call import Call

Json = dict[str, Any]
VERBS = {"insert": "create", "patch": "update", "aggregatedList": "list", "wait": "get"}
RENAMED = {
    "cloudresourcemanager.projects.get": "resourcemanager.projects.get",
    "cloudresourcemanager.projects.getIamPolicy": "resourcemanager.projects.getIamPolicy",
    "cloudresourcemanager.projects.setIamPolicy": "resourcemanager.projects.setIamPolicy",
    "cloudresourcemanager.projects.getEffectiveOrgPolicy": "orgpolicy.policy.get",
    "cloudresourcemanager.projects.testIamPermissions": "",
    "iamcredentials.projects.serviceAccounts.generateAccessToken": "",  # answered by the account's own policy
    "secretmanager.projects.secrets.addVersion": "secretmanager.versions.add",
    "compute.advice.capacity": "compute.advice.calendarMode",
}
ON_NETWORKS = ("compute.firewalls", "compute.routers", "compute.subnetworks")
"""Whose coming and going changes the network's policy."""


def _own(method_id: str) -> str:
    """The permission that has the method's own name, or nearly."""
    if method_id in RENAMED:
        return RENAMED[method_id]
    service, *collections, verb = method_id.split(".")
    collection = collections[-1]
    service = "billing" if service == "billingbudgets" else service
    return f"{service}.{collection}.{VERBS.get(verb, verb)}"


def needed(call: Call) -> set[str]:
    """All permissions that a call needs on the project that it is in."""
    method_id, project = call.method.id, call.parameters.get("project", call.state.settings.project)
    if project not in (call.state.settings.project, call.state.settings.number):
        return set()  # another's images, which are everybody's
    wanted = {_own(method_id)} - {""}
    collection, _, verb = method_id.rpartition(".")
    if collection in ON_NETWORKS and verb in ("insert", "patch", "delete"):
        wanted.add("compute.networks.updatePolicy")
    if verb in ("addResourcePolicies", "removeResourcePolicies"):
        wanted.add("compute.resourcePolicies.use")
    if method_id in ("compute.disks.insert", "compute.instances.insert") and call.body.get("labels"):
        wanted.add(f"{collection}.setLabels")
    if method_id == "compute.instances.insert":
        wanted |= _of_an_instance(call.body, call.project)
    if method_id == "compute.instances.setServiceAccount":
        wanted.add("iam.serviceAccounts.actAs")
    return wanted


def _of_an_instance(body: Json, project: str) -> set[str]:
    """Another project's subnet or account is granted there, not here."""
    wanted = set[str]()
    for card in body.get("networkInterfaces", ()):
        reference = card.get("subnetwork", "")
        if "projects/" not in reference or f"projects/{project}/" in reference:
            wanted |= {"compute.subnetworks.use"}
            wanted |= {"compute.subnetworks.useExternalIp"} if card.get("accessConfigs") else set()
    for disk in body.get("disks", ()):
        wanted.add("compute.disks.use" if "source" in disk else "compute.disks.create")
    for part, permission in (
        ("metadata", "setMetadata"),
        ("tags", "setTags"),
        ("serviceAccounts", "setServiceAccount"),
    ):
        if body.get(part):
            wanted.add(f"compute.instances.{permission}")
    if any(
        one.get("email", "").endswith(f"@{project}.iam.gserviceaccount.com") for one in body.get("serviceAccounts", ())
    ):
        wanted.add("iam.serviceAccounts.actAs")
    return wanted
