"""Organisation policies refuse at the calls that they are about, in Google's words, and nothing else."""

from typing import Any

import pytest

from tests.support.cloud_calls import ARM_IMAGE, REGION, ZONE, booted, disk, done, instance, network, post, refusal
from tests.support.fakes.cloud.server import Cloud

BUCKET = "/storage/v1/b?project=axion-test"
SECRET = "/v1/projects/axion-test/secrets?secretId=s"
ACCOUNTS = "/v1/projects/axion-test/serviceAccounts"
VM = "projects/axion-test/zones/us-central1-a/instances/vm"
PAGES = "https://cloud.google.com/resource-manager/docs/organization-policy"
PUBLIC: dict[str, Any] = {
    "networkInterfaces": [{"subnetwork": "regions/us-central1/subnetworks/sub", "accessConfigs": [{}]}]
}
ENFORCED = {"booleanPolicy": {"enforced": True}}
NO_US = {"listPolicy": {"allowedValues": ["in:europe-locations"]}}
Call = tuple[str, dict[str, Any]]

REFUSED: dict[str, tuple[str, dict[str, Any], Call, int, str]] = {
    "an external address": (
        "compute.vmExternalIpAccess", {"listPolicy": {"allValues": "DENY"}}, (f"{ZONE}/instances", instance(**PUBLIC)),
        412, "Constraint constraints/compute.vmExternalIpAccess violated for project 123456789012. "
        f"Add instance {VM} to the constraint to use external IP with it.",
    ),
    "no secure boot": (
        "compute.requireShieldedVm", ENFORCED, (f"{ZONE}/instances", instance()),
        412, "Constraint constraints/compute.requireShieldedVm violated for project projects/axion-test. Secure Boot "
        "is not enabled in the 'shielded_instance_config' field. "
        f"See {PAGES}/org-policy-constraints for more information.",
    ),
    "a foreign image": (
        "compute.trustedImageProjects", {"listPolicy": {"allowedValues": ["projects/debian-cloud"]}},
        (f"{ZONE}/disks", disk(sourceImage=ARM_IMAGE)),
        412, "Constraint constraints/compute.trustedImageProjects violated for project axion-test. "
        "Use of images from project ubuntu-os-cloud is prohibited.",
    ),
    "a disk elsewhere": (
        "gcp.resourceLocations", NO_US, (f"{ZONE}/disks", disk()),
        412, "Location ZONE:us-central1-a violates constraint constraints/gcp.resourceLocations on the resource "
        "projects/axion-test/zones/us-central1-a/disks/data.",
    ),
    "a bucket elsewhere": (
        "gcp.resourceLocations", NO_US, (BUCKET, {"name": "b-b-b", "location": "US-CENTRAL1"}),
        412, "'us-central1' violates constraint 'constraints/gcp.resourceLocations'",
    ),
    "a secret everywhere": (
        "gcp.resourceLocations", {"listPolicy": {"allowedValues": ["in:us-locations"]}},
        (SECRET, {"replication": {"automatic": {}}}),
        400, "Constraint constraints/gcp.resourceLocations violated for [orgpolicy:projects/123456789012] attempting "
        f"to create a secret in [global]. For more information, see {PAGES}/defining-locations.",
    ),
    "a new service account": (
        "iam.disableServiceAccountCreation", ENFORCED, (ACCOUNTS, {"accountId": "axion-dev-main"}),
        400, "Service account creation is not allowed on this project.",
    ),
    "a disk without a key of one's own": (
        "gcp.restrictNonCmekServices", {"listPolicy": {"deniedValues": ["is:compute.googleapis.com"]}},
        (f"{ZONE}/disks", disk()),
        412, "Constraint constraints/gcp.restrictNonCmekServices violated for project axion-test: "
        "compute.googleapis.com needs a customer-managed encryption key.",
    ),
}  # fmt: skip
TAKEN: dict[str, tuple[str, dict[str, Any], Call]] = {
    "an instance by name": (
        "compute.vmExternalIpAccess", {"listPolicy": {"allowedValues": [VM]}},
        (f"{ZONE}/instances", instance(**PUBLIC)),
    ),
    "no external address": (
        "compute.vmExternalIpAccess", {"listPolicy": {"allValues": "DENY"}}, (f"{ZONE}/instances", instance()),
    ),
    "secure boot": (
        "compute.requireShieldedVm", ENFORCED,
        (f"{ZONE}/instances", instance(shieldedInstanceConfig={"enableSecureBoot": True})),
    ),
    "an image of a trusted project": (
        "compute.trustedImageProjects", {"listPolicy": {"allowedValues": ["projects/ubuntu-os-cloud"]}},
        (f"{ZONE}/disks", disk(sourceImage=ARM_IMAGE)),
    ),
    "a disk of the allowed group": (
        "gcp.resourceLocations", {"listPolicy": {"allowedValues": ["in:us-central1-locations"]}},
        (f"{ZONE}/disks", disk()),
    ),
    "a secret in allowed regions": (
        "gcp.resourceLocations", {"listPolicy": {"allowedValues": ["in:us-locations"]}},
        (SECRET, {"replication": {"userManaged": {"replicas": [{"location": "us-central1"}]}}}),
    ),
    "a policy that is not enforced": (
        "iam.disableServiceAccountCreation", {"booleanPolicy": {}}, (ACCOUNTS, {"accountId": "axion-dev-main"}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
def test_a_policy_refuses_what_it_is_about_and_leaves_nothing(cloud: Cloud, what: str) -> None:
    network(cloud)
    constraint, policy, (path, body), code, message = REFUSED[what]
    before = set(cloud.state.resources)
    cloud.state.settings.org_policies[constraint] = policy
    got = refusal(post(cloud, path, body))
    assert (got[0], got[2]) == (code, message)
    assert set(cloud.state.resources) == before
    cloud.state.settings.org_policies.clear()
    done(cloud, "POST", path, body)


@pytest.mark.parametrize("what", TAKEN)
def test_what_a_policy_lets_through_is_taken(cloud: Cloud, what: str) -> None:
    network(cloud)
    constraint, policy, (path, body) = TAKEN[what]
    cloud.state.settings.org_policies[constraint] = policy
    assert "error" not in done(cloud, "POST", path, body)


def test_a_secrets_refusal_names_the_constraint_in_its_details(cloud: Cloud) -> None:
    cloud.state.settings.org_policies["gcp.resourceLocations"] = NO_US
    _, answer = post(cloud, SECRET, {"replication": {"automatic": {}}})
    (detail,) = answer["error"]["details"]
    assert detail["violations"][0]["type"] == "constraints/gcp.resourceLocations"
    assert answer["error"]["status"] == "FAILED_PRECONDITION"


def test_nobody_reads_guest_attributes_where_they_are_disabled(cloud: Cloud) -> None:
    booted(cloud, metadata={"items": [{"key": "enable-guest-attributes", "value": "TRUE"}]})
    keys = f"{ZONE}/instances/vm/getGuestAttributes?queryPath=hostkeys/"
    assert cloud.answer("GET", keys, {})[0] == 200
    cloud.state.settings.org_policies["compute.disableGuestAttributesAccess"] = ENFORCED
    assert refusal(cloud.answer("GET", keys, {}))[:2] == (412, "conditionNotMet")


def test_the_policy_in_force_is_told_and_its_default_where_there_is_none(cloud: Cloud) -> None:
    where = "/v1/projects/axion-test:getEffectiveOrgPolicy"
    for constraint, default in (
        ("compute.vmExternalIpAccess", "listPolicy"),
        ("compute.requireOsLogin", "booleanPolicy"),
    ):
        assert default in done(cloud, "POST", where, {"constraint": f"constraints/{constraint}"})
    cloud.state.settings.org_policies["compute.requireOsLogin"] = ENFORCED
    told = done(cloud, "POST", where, {"constraint": "constraints/compute.requireOsLogin"})
    assert told == {"constraint": "constraints/compute.requireOsLogin", "booleanPolicy": {"enforced": True}}


def test_a_subnet_elsewhere_and_a_network_anywhere(cloud: Cloud) -> None:
    cloud.state.settings.org_policies["gcp.resourceLocations"] = NO_US
    done(cloud, "POST", "/compute/v1/projects/axion-test/global/networks", {"name": "net"})
    subnet = {"name": "sub", "network": "global/networks/net", "ipCidrRange": "10.0.0.0/24"}
    assert refusal(post(cloud, f"{REGION}/subnetworks", subnet))[0] == 412
