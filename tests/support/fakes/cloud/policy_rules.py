"""Which calls each organisation policy refuses, and with which words."""

from typing import Any

from tests.support.fakes.cloud.call import Call
from tests.support.fakes.cloud.errors import ApiError
from tests.support.fakes.cloud.org_policies import allows, broken, enforces, images, made

Json = dict[str, Any]
PAGES = "https://cloud.google.com/resource-manager/docs/organization-policy"
MORE, LOCATIONS = f"See {PAGES}/org-policy-constraints for more information.", f"{PAGES}/defining-locations"
ZONAL, REGIONAL = ("instances", "disks"), ("subnetworks", "addresses", "resourcePolicies", "routers")
PLACED = tuple(f"compute.{name}.insert" for name in (*ZONAL, *REGIONAL))


@enforces("compute.vmExternalIpAccess", "compute.instances.insert", "compute.instances.addAccessConfig")
def external_address(call: Call, policy: Json) -> None:
    """The sentence: compute-image-tools #1834, gardener-extension-provider-gcp #415."""
    cards = call.body.get("networkInterfaces", ())
    if not (any(card.get("accessConfigs") for card in cards) or call.method.id.endswith("addAccessConfig")):
        return
    path = f"{call.parent}/instances/{call.parameters.get('instance') or call.body.get('name')}"
    if not allows(policy, path):
        rest = f"Add instance {path} to the constraint to use external IP with it."
        raise broken(call.state, "compute.vmExternalIpAccess", rest, of=call.state.settings.number)


@enforces("compute.requireShieldedVm", "compute.instances.insert", "compute.instances.updateShieldedInstanceConfig")
def shielded(call: Call, policy: Json) -> None:
    """The sentence: packer #7846, terraform-example-foundation #1056."""
    asked = call.body.get("shieldedInstanceConfig", {}) if "disks" in call.body else call.body
    if not asked.get("enableSecureBoot", "disks" not in call.body):
        rest = f"Secure Boot is not enabled in the 'shielded_instance_config' field. {MORE}"
        raise broken(call.state, "compute.requireShieldedVm", rest, of=f"projects/{call.project}")


@enforces("compute.trustedImageProjects", "compute.instances.insert", "compute.disks.insert")
def trusted_image(call: Call, policy: Json) -> None:
    """A project's own images pass ("Setting up trusted image policies"); the sentence: Batch's "Troubleshooting"."""
    for path in images(call):
        owner = path.split("/")[1]
        if owner != call.project and not allows(policy, f"projects/{owner}"):
            rest = f"Use of images from project {owner} is prohibited."
            raise broken(call.state, "compute.trustedImageProjects", rest)


@enforces("gcp.resourceLocations", *PLACED)
def compute_location(call: Call, policy: Json) -> None:
    """The sentence with ZONE: oss-test-infra #2703, codelabs feedback #351; with REGION by analogy (NV).

    "Resource locations supported services": networks, firewalls and other global resources are not judged. That a
    region's name alone does not stand for its zones is read from the constraint's description, of multi-regions (NV).
    """
    kind, _, place = call.scope.partition("s/")
    if not allows(policy, place):
        path = made(call, call.method.id.split(".")[1])
        message = (
            f"Location {kind.upper()}:{place} violates constraint constraints/gcp.resourceLocations on the resource"
        )
        raise ApiError(412, "conditionNotMet", f"{message} {path}.")


@enforces("gcp.resourceLocations", "compute.disks.createSnapshot", "compute.snapshots.insert")
def snapshot_location(call: Call, policy: Json) -> None:
    """The sentence, of an image without a storage location: cluster-toolkit #1121; of snapshots gce-rescue #23."""
    zone = call.parameters.get("zone", "")
    place = (call.body.get("storageLocations") or [zone.partition("-")[0]])[0]
    if not allows(policy, place):
        path = f"projects/{call.project}/global/snapshots/{call.body.get('name', '')}"
        message = f"Location {place} violates constraint constraints/gcp.resourceLocations on the resource {path}."
        raise ApiError(412, "conditionNotMet", message)


@enforces("gcp.resourceLocations", "storage.buckets.insert")
def bucket_location(call: Call, policy: Json) -> None:
    """The sentence: spark-bigquery-connector #231, cloud-guardrails-gcp #11."""
    place = call.body.get("location", "US").lower()
    if not allows(policy, place):
        raise ApiError(412, "conditionNotMet", f"'{place}' violates constraint 'constraints/gcp.resourceLocations'")


@enforces("gcp.resourceLocations", "secretmanager.projects.secrets.create")
def secret_location(call: Call, policy: Json) -> None:
    """Automatic replication is the location `global`; the sentence and its details: firebase-tools #6454."""
    replicas = call.body.get("replication", {}).get("userManaged", {}).get("replicas", ())
    for place in [one["location"] for one in replicas] or ["global"]:
        if not allows(policy, place):
            subject = f"orgpolicy:projects/{call.state.settings.number}"
            message = (
                f"Constraint constraints/gcp.resourceLocations violated for [{subject}] attempting to create a secret "
                f"in [{place}]. For more information, see {LOCATIONS}."
            )
            raise precondition("constraints/gcp.resourceLocations", subject, message)


def precondition(constraint: str, subject: str, message: str) -> ApiError:
    """400, FAILED_PRECONDITION: how the newer APIs say that a constraint is violated."""
    violation = {"type": constraint, "subject": subject, "description": message}
    detail = {"@type": "type.googleapis.com/google.rpc.PreconditionFailure", "violations": [violation]}
    return ApiError(400, "failedPrecondition", message, details=[detail], status="FAILED_PRECONDITION")


@enforces("iam.disableServiceAccountCreation", "iam.projects.serviceAccounts.create")
def no_new_account(call: Call, policy: Json) -> None:
    """The form of Google's answer for keys (GAM #1678, create-service-account #21); this sentence by analogy (NV)."""
    message = "Service account creation is not allowed on this project."
    raise precondition("constraints/iam.disableServiceAccountCreation", call.parameters["name"], message)


@enforces("compute.disableGuestAttributesAccess", "compute.instances.getGuestAttributes")
def guest_attributes(call: Call, policy: Json) -> None:
    """The API's access to them is off ("Setting and querying guest attributes"); code and sentence (NV)."""
    raise broken(call.state, "compute.disableGuestAttributesAccess", f"Guest attributes are disabled. {MORE}")


@enforces("compute.requireOsLogin", "compute.instances.insert", "compute.instances.setMetadata")
def os_login(call: Call, policy: Json) -> None:
    """Metadata that switches it off is refused ("Set up OS Login"); code and sentence by analogy (NV)."""
    items = call.body.get("metadata", call.body).get("items", ())
    if any(item["key"] == "enable-oslogin" and item.get("value", "").upper() == "FALSE" for item in items):
        raise broken(call.state, "compute.requireOsLogin", f"The metadata key enable-oslogin must not be FALSE. {MORE}")


@enforces("compute.disableSerialPortAccess", "compute.instances.insert", "compute.instances.setMetadata")
def serial_port(call: Call, policy: Json) -> None:
    """Metadata that switches it on is refused ("Organization policy constraints"); the sentence is a guess (NV)."""
    items = call.body.get("metadata", call.body).get("items", ())
    if any(item["key"] == "serial-port-enable" and item.get("value", "").upper() in ("TRUE", "1") for item in items):
        raise broken(call.state, "compute.disableSerialPortAccess", f"The serial port must not be enabled. {MORE}")


@enforces("compute.restrictSharedVpcSubnetworks", "compute.instances.insert")
def shared_subnetwork(call: Call, policy: Json) -> None:
    """Subnetworks of other projects only; values are paths, or `under:projects/P`. Sentence by analogy (NV)."""
    for card in call.body.get("networkInterfaces", ()):
        path = call.resolve(card.get("subnetwork", ""))
        if not path.startswith(f"projects/{call.project}/") and not allows(policy, path):
            raise broken(call.state, "compute.restrictSharedVpcSubnetworks", f"{path} must not be used. {MORE}")


@enforces("compute.restrictCloudNATUsage", "compute.routers.insert", "compute.routers.patch")
def cloud_nat(call: Call, policy: Json) -> None:
    """Values are networks' or subnetworks' paths that may use Cloud NAT. Sentence by analogy (NV)."""
    for nat in call.body.get("nats", ()):
        for one in nat.get("subnetworks", ()):
            path = call.resolve(one["name"])
            if not allows(policy, path):
                raise broken(call.state, "compute.restrictCloudNATUsage", f"{path} must not use Cloud NAT. {MORE}")


@enforces("compute.requireVpcFlowLogs", "compute.subnetworks.insert", "compute.subnetworks.patch")
def flow_logs(call: Call, policy: Json) -> None:
    """Values ESSENTIAL, LIGHT and COMPREHENSIVE are sampling rates; without logs none is met. Sentence (NV)."""
    listed = policy.get("listPolicy", {})
    if listed.get("allowedValues") and not call.body.get("logConfig", {}).get("enable"):
        raise broken(call.state, "compute.requireVpcFlowLogs", f"VPC flow logs must be enabled. {MORE}")


NEED_KEYS = {
    "compute.disks.insert": ("compute.googleapis.com", "diskEncryptionKey"),
    "storage.buckets.insert": ("storage.googleapis.com", "encryption"),
}


@enforces("gcp.restrictNonCmekServices", *NEED_KEYS, "secretmanager.projects.secrets.create")
def own_keys(call: Call, policy: Json) -> None:
    """Denied services make nothing without a key of Cloud KMS ("CMEK organization policies"). Sentence (NV)."""
    service, field = NEED_KEYS.get(call.method.id, ("secretmanager.googleapis.com", ""))
    replication = call.body.get("replication", {})
    parts = [replication.get("automatic", {}), *replication.get("userManaged", {}).get("replicas", ())]
    has_key = bool(call.body.get(field)) if field else any("customerManagedEncryption" in part for part in parts)
    if not has_key and not allows(policy, service):
        message = (
            f"Constraint constraints/gcp.restrictNonCmekServices violated for project {call.state.settings.project}: "
        )
        raise ApiError(412, "conditionNotMet", f"{message}{service} needs a customer-managed encryption key.")
